"""A lake of an older format is read as it is, and upgraded when it is written to: nothing of it is lost."""

import json
import multiprocessing
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import LakeError, ShotlogError
from pipeline.lake import writer
from pipeline.lake.catalog import open_lake
from pipeline.lake.connection import connect
from pipeline.lake.reader import answered_frames, load_cost
from pipeline.lake.sqlite import SqliteCatalog
from pipeline.lake.tables import FORMAT, TABLES
from pipeline.lake.upgrade import columns
from pipeline.lake.views import views
from pipeline.steps.compare import compare
from pipeline.steps.forecast import forecast
from pipeline.steps.maintain import maintain
from pipeline.steps.query import sql
from pipeline.steps.recipes import list_recipes
from pipeline.steps.runs import list_runs
from pipeline.store import open_store
from tests.unit.lake.made import SAID, TRACKS, media, reused, tagging

FORMAT_1 = Path(__file__).with_name("format_1.sql").read_text("utf-8")
IDENTITIES = "SELECT format FROM log.identity ORDER BY written_at"


@pytest.fixture
def folder(tmp_path):
    """A lake that the first shotlog made."""
    folder = tmp_path / "lake"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as plain:
        plain.execute("PRAGMA journal_mode=WAL")
    place = SqliteCatalog(folder / "catalog.sqlite")
    with connect(str(folder), open_store(str(folder)), place, read_only=False) as con:
        con.execute(f"BEGIN; {FORMAT_1}; COMMIT")
    (folder / "lake.json").write_text(json.dumps({"lake_id": "first", "format": 1, "catalog": "sqlite"}))
    return folder


def opened(folder, **options):
    return open_lake(str(folder), open_store(str(folder)), catalog=None, **options)


def rows(lake, query):
    return lake.con.execute(query).fetchall()


def test_an_older_lake_is_read_as_it_is_and_not_touched(folder):
    lake = opened(folder)
    assert rows(lake, "SELECT caption, count(*) FROM timestamps GROUP BY ALL ORDER BY ALL") == [
        ("a film", 30),
        ("a picture", 1),
    ]
    assert rows(lake, "SELECT state, frames FROM runs") == [("finished", 31)]
    assert load_cost(lake, "builtin", None) is None
    assert rows(lake, IDENTITIES) == [(1,)]
    assert "reused_from_s" not in columns(lake.con)["tags"]


READING = {
    "plan": lambda asked, folder: forecast({**asked, "sources": str(folder), "tagger": "null"}),
    "runs": lambda asked, _: list_runs(asked, short=True),
    "recipes": lambda asked, _: list_recipes(asked),
    "compare": lambda asked, _: compare(asked, "shown", "newest"),
    "sql": lambda asked, _: sql(asked, "SELECT count(*) FROM log.hidden"),
}


@pytest.mark.parametrize("verb", READING)
def test_who_asks_an_older_lake_for_what_it_lacks_is_told_how_to_bring_it_up_to_date(verb, folder, tmp_path):
    (tmp_path / "in").mkdir()
    told = rf"another version of shotlog, and lacks .*: `shotlog maintain --lake {folder}` brings it up to date"
    with pytest.raises(ShotlogError, match=told):
        READING[verb]({"lake": str(folder)}, tmp_path / "in")
    assert sql({"lake": str(folder)}, "SELECT count(*) FROM media")[1] == [(2,)], "what it has can be asked for"
    maintain({"lake": str(folder)}, lambda _: None)
    assert sql({"lake": str(folder)}, "SELECT count(*) FROM log.hidden")[1] == [(0,)]


def test_an_older_lake_keeps_its_rows_and_takes_new_ones_beside_them(folder):
    lake = opened(folder, read_only=False)
    looked = replace(tagging(media("new.mp4")), frames=(*tagging().frames, reused(2.0, from_s=1.0)), frame_budget=24)
    looked = replace(looked, info=replace(looked.info, **TRACKS), subtitles=SAID)
    assert writer.commit_batch(lake, "run-1", "000000", [looked], load_s=9.0)
    assert rows(lake, "SELECT uri, frames, frame_budget FROM media ORDER BY uri") == [
        ("/archive/film.mp4", 30, None),
        ("/archive/new.mp4", 3, 24),
        ("/archive/picture.png", 1, None),
    ]
    assert rows(lake, "SELECT rotation, hdr, audio_languages FROM media ORDER BY uri") == [
        (None, None, None),
        (90, "hlg", ["eng", "und"]),
        (None, None, None),
    ]
    assert rows(lake, "SELECT DISTINCT uri, count(*) FROM subtitles GROUP BY uri") == [("/archive/new.mp4", 3)]
    assert rows(lake, "SELECT caption, count(*), sum(prompt_tokens) FROM timestamps GROUP BY ALL ORDER BY ALL") == [
        ("1 person.", 3, 1000),
        ("a film", 30, None),
        ("a picture", 1, None),
    ]
    assert rows(lake, "SELECT label, count(*), count(reused_from_s) FROM tags GROUP BY ALL ORDER BY ALL") == [
        ("hat", 3, 1),
        ("person", 33, 1),
    ]
    assert rows(lake, 'SELECT label, "count", score, reused_from_s FROM participants ORDER BY ALL LIMIT 1') == [
        ("dog", 2, 0.8, None)
    ]
    assert rows(lake, "SELECT DISTINCT uri, label FROM rating") == [("/archive/new.mp4", "safe")]
    for table in ("timestamps", "tags", "participants"):
        assert rows(lake, f"SELECT count(*) FROM log.{table} WHERE uri IS NULL OR uri NOT LIKE '/archive/%'") == [(0,)]
    assert [frame.timestamp_s for frame in answered_frames(lake, "film.mp4")] == [float(n) for n in range(30)]
    assert rows(lake, "SELECT run_id, load_s FROM log.batches ORDER BY run_id") == [("run-0", None), ("run-1", 9.0)]


def test_an_upgraded_lake_has_what_a_new_one_has_in_the_same_order(folder, tmp_path):
    upgraded = opened(folder, read_only=False)
    new = opened(tmp_path / "new", create=True, read_only=False)
    for name in [*(f"log.{table}" for table in TABLES), *views()]:
        assert rows(upgraded, f"DESCRIBE {name}") == rows(new, f"DESCRIBE {name}"), name


def test_a_reader_that_was_there_before_sees_the_upgrade(folder):
    reader = opened(folder)
    assert rows(reader, "SELECT count(*) FROM tags") == [(30,)]
    opened(folder, read_only=False).close()
    assert rows(reader, "SELECT count(*), count(reused_from_s) FROM tags") == [(30, 0)]


def test_before_an_upgrade_the_catalog_is_backed_up(folder):
    opened(folder, read_only=False).close()
    backup = folder / "catalog.sqlite.format-1"
    assert backup.is_file()
    place = SqliteCatalog(backup)
    with connect(str(folder), open_store(str(folder)), place, read_only=True) as con:
        assert con.execute(IDENTITIES).fetchall() == [(1,)]
        assert con.execute("SELECT count(*) FROM tags").fetchone() == (30,), "its files are there, too"


def test_a_lake_is_upgraded_once(folder):
    for _ in range(2):
        lake = opened(folder, read_only=False)
        assert rows(lake, IDENTITIES) == [(1,), (FORMAT,)]
        lake.close()


def _open_and_commit(folder, number):
    lake = opened(folder, read_only=False)
    written = writer.commit_batch(lake, f"run-{number}", "000000", [tagging(media(f"{number}.mp4"))])
    lake.close()
    return written


def test_of_processes_that_open_it_at_once_one_upgrades_it_and_all_write(folder):
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert all(pool.map(_open_and_commit, [folder] * 3, range(1, 4)))
    lake = opened(folder)
    assert rows(lake, IDENTITIES) == [(1,), (FORMAT,)]
    assert rows(lake, "SELECT count(*) FROM media") == [(5,)]


def test_an_upgrade_that_breaks_leaves_the_lake_as_it_was(folder, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr("pipeline.lake.upgrade.views", lambda: {"media": "SELECT nothing FROM nowhere"})
        with pytest.raises(LakeError, match="can't be read or written"):
            opened(folder, read_only=False)
    lake = opened(folder)
    assert rows(lake, IDENTITIES) == [(1,)]
    assert rows(lake, "SELECT count(*) FROM tags") == [(30,)]
    assert "rating" not in columns(lake.con)
    assert rows(opened(folder, read_only=False), "SELECT count(*) FROM rating") == [(0,)]


@pytest.mark.parametrize("made", ["upgraded", "new"])
def test_a_shotlog_of_format_1_refuses_it(made, folder, tmp_path, monkeypatch):
    """Played by this shotlog, told that it knows no more: it asks lake.json and the catalog in the same way."""
    folder = folder if made == "upgraded" else tmp_path / "new"
    opened(folder, create=True, read_only=False).close()
    monkeypatch.setattr("pipeline.lake.catalog.FORMAT", 1)
    with pytest.raises(LakeError, match=f"has format {FORMAT}, this shotlog knows 1: upgrade shotlog"):
        opened(folder)


def test_what_an_older_recipe_was_called_it_is_still_called(folder):
    lake = opened(folder, read_only=False)
    assert rows(lake, "SELECT DISTINCT recipe_id FROM media") == [(tagging().recipe_id,)]
