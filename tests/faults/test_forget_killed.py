"""SIGKILL of `forget` after each of its stages: the next one finds what is left to do, and does all of it."""

import json
import multiprocessing
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest

from pipeline.errors import LakeError
from pipeline.lake import base, freeze, postgres, sqlite, writer
from pipeline.lake import forget as forgetting
from pipeline.steps import forget as step
from tests.faults.children import KILLED, child, code, die, run_in_child
from tests.faults.invariants import odd, opened
from tests.unit.lake.made import media, tagging

FORKED = multiprocessing.get_context("forkserver")
SECRET = media("interview-with-a-witness.mp4")
STAGES = {
    "work cleared": (step, "_clear_work"),
    "rows gone": (forgetting, "_delete_rows"),
    "files let go": (forgetting, "_let_go_of_files"),
    "frozen anew": (forgetting, "_freeze_anew"),
    "wiped": (None, "wipe"),
    "some files gone": (forgetting, "_remove"),
}
"""After which it dies."""


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request):
    return request.getfixturevalue("postgres").url if request.param == "postgres" else None


@pytest.fixture
def lake(catalog, tmp_path):
    """A lake that knows of SECRET in every way, and its folder."""
    folder = tmp_path / "lake"
    with closing(opened(folder, catalog, create=True, read_only=False)) as mine:
        run = {"run_id": "run-1", "kind": "tag", "sources": [SECRET.uri], "request": json.dumps({"of": SECRET.uri})}
        mine.transaction(lambda con: writer.insert(con, {"runs": [run]}))
        writer.commit_batch(mine, "run-1", "0", [tagging(SECRET), tagging(media("other.mp4"))])
        writer.commit_batch(mine, "run-1", "1", [tagging(SECRET, batch_id="1")])
        sighting = {"media_id": SECRET.media_id, "run_id": "run-1", "uri": SECRET.uri, "etag": "1", "state": "new"}
        mine.transaction(lambda con: writer.insert(con, {"sightings": [{**sighting, "seen_at": datetime.now(UTC)}]}))
        writer.record_event(mine, "run-1", "finished", {"refused": [[SECRET.uri, "not_found", f"no '{SECRET.uri}'"]]})
        mine.store.write(mine.work_uri("run-1", "journal", "x.json"), json.dumps({"uri": SECRET.uri}).encode())
        freeze.publish(mine)
    return folder


def forget(lake, catalog, named):
    return step.forget({"lake": str(lake), **({"catalog": catalog} if catalog else {})}, [named])


def forget_until(where, lake, catalog, named):
    owner, name = STAGES[where]
    owner = owner or (postgres.PostgresCatalog if catalog else sqlite.SqliteCatalog)
    real = getattr(owner, name)

    def last(*arguments):
        if where == "some files gone":
            real(arguments[0], arguments[1][:-1])
        else:
            real(*arguments)
        die()

    setattr(owner, name, last)
    forget(lake, catalog, named)


def held(lake, catalog):
    """Where any of the lake's bytes still tell of SECRET."""
    everything = {str(path): path.read_bytes() for path in lake.rglob("*") if path.is_file()}
    if catalog:
        schema = f"shotlog_{json.loads((lake / 'lake.json').read_text())['lake_id']}"
        with psycopg.connect(catalog) as session:
            query = "SELECT schemaname, tablename FROM pg_tables WHERE starts_with(schemaname, %s)"
            for place in session.execute(query, [schema]).fetchall():
                rows = session.execute('SELECT * FROM "{}"."{}"'.format(*place)).fetchall()
                everything["/".join(place)] = str(rows).encode()
    return [name for name, data in everything.items() if SECRET.media_id.encode() in data or b"witness" in data]


@pytest.mark.parametrize("where", STAGES)
def test_killed_after_any_stage_it_is_finished_by_the_next(where, lake, catalog):
    first, second = (SECRET.uri, SECRET.media_id) if catalog else (SECRET.media_id, SECRET.uri)
    assert run_in_child(forget_until, where, lake, catalog, first) == KILLED
    assert held(lake, catalog)
    report = forget(lake, catalog, second)
    assert (report["media"], report["unknown"]) == (1, [])
    assert held(lake, catalog) == []
    assert len(list((lake / "frozen").glob("*.duckdb"))) == 1
    with closing(opened(lake, catalog)) as after:
        assert after.con.execute("SELECT uri FROM media").fetchall() == [(media("other.mp4").uri,)]
        assert odd(after).keys() <= {"batches without all of their media"}
    assert forget(lake, catalog, second)["unknown"] == [second]


def test_what_somebody_killed_has_half_written_goes_too_and_hinders_nothing(lake, catalog):
    whole = max((lake / "data" / "log" / "timestamps").glob("*.parquet"))
    whole.with_name("half.parquet").write_bytes(whole.read_bytes()[:-9])
    for folder in ("work/run-1/journal", "work/run-2", "frozen"):
        (lake / folder).mkdir(parents=True, exist_ok=True)
        (lake / folder / ".part-0").write_bytes(SECRET.uri.encode())
    assert forget(lake, catalog, "/archive/nothing.mp4")["unknown"] == ["/archive/nothing.mp4"]
    assert forget(lake, catalog, SECRET.uri)["media"] == 1
    assert held(lake, catalog) == []
    assert not whole.with_name("half.parquet").exists()
    assert not list(lake.rglob(".part-*"))


def read_on(lake, catalog, reads, over):
    with closing(opened(lake, catalog)) as mine:
        mine.con.execute("BEGIN")
        mine.con.execute("FROM media").fetchall()
        reads.set()
        over.wait(60)


def test_who_reads_the_lake_as_it_was_hinders_it_and_is_said_so(lake, catalog, monkeypatch):
    monkeypatch.setattr(base, "READERS_PATIENCE_S", 0.5)
    reads, over = FORKED.Event(), FORKED.Event()
    with child(read_on, lake, catalog, reads, over) as reader:
        assert reads.wait(60)
        with pytest.raises(LakeError, match=r"somebody reads the lake as it was.*: end them .* and run it again"):
            forget(lake, catalog, SECRET.uri)
        with closing(opened(lake, catalog, read_only=False)) as another:  # nobody has to wait for the reader
            writer.commit_batch(another, "run-2", "0", [tagging(media("new.mp4"))])
        over.set()
        assert code(reader) == 0
        assert forget(lake, catalog, SECRET.uri)["media"] == 1
        assert held(lake, catalog) == []


def test_who_has_the_lake_open_and_asks_nothing_hinders_nobody(lake, catalog, monkeypatch):
    monkeypatch.setattr(base, "READERS_PATIENCE_S", 0.5)
    with closing(opened(lake, catalog)) as just_opened, closing(opened(lake, catalog)) as reader:
        assert reader.read(lambda con: con.execute("SELECT uri FROM log.timestamps").fetchone())
        assert forget(lake, catalog, SECRET.uri)["media"] == 1
        assert held(lake, catalog) == []
        assert just_opened.con.execute("SELECT uri FROM media").fetchall() == [(media("other.mp4").uri,)]
