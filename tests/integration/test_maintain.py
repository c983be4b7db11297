"""Upkeep beside writers and readers: no commit is lost, no reader sees half of anything."""

import json
import multiprocessing
import re
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import LakeError
from pipeline.lake import writer
from pipeline.lake.catalog import open_lake, plainly
from pipeline.steps.maintain import maintain, repair
from pipeline.store import open_store
from tests.integration.doors import ask, fill, shotlog, tag
from tests.integration.test_postgres import HALF, ONCE, ORPHANS
from tests.unit.lake.made import media, tagging
from tests.unit.lake.test_maintenance import COUNTS, let_go_at, parquet, upkeep

WRITERS, BATCHES, MEDIA = 2, 12, 3


def opened(lake, catalog, **options):
    return open_lake(lake, open_store(lake), catalog=catalog, **options)


def commit_on(lake, catalog, number):
    with closing(opened(lake, catalog, read_only=False)) as mine:
        for batch in range(BATCHES):
            name = f"{number}{batch:03}"
            looks = [tagging(media(f"{number}-{batch}-{n}.mp4"), batch_id=name, frames=4) for n in range(MEDIA)]
            writer.commit_batch(mine, "run-1", name, [*looks, tagging(media("shared.mp4"), batch_id=name)])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_upkeep_beside_writers_and_readers(kind, request, tmp_path):
    catalog = request.getfixturevalue("postgres").url if kind == "postgres" else None
    lake = str(tmp_path / "lake")
    opened(lake, catalog, create=True, read_only=False).close()
    over, wrong, reads = threading.Event(), [], []

    def read_on():
        with closing(opened(lake, catalog)) as reader:
            while not over.is_set():
                different = reader.con.execute(ONCE).fetchone()
                bad = [reader.con.execute(query).fetchone()[0] for query in (HALF, ORPHANS)]
                reads.append(different)
                if different[0] != different[1] or any(bad):
                    wrong.append((different, bad))

    kept, rounds, reader = timedelta(hours=1), 0, threading.Thread(target=read_on)
    reader.start()
    try:
        with ProcessPoolExecutor(WRITERS, mp_context=multiprocessing.get_context("spawn")) as pool:
            writing = [pool.submit(commit_on, lake, catalog, number) for number in range(WRITERS)]
            with closing(opened(lake, catalog, read_only=False)) as mine:
                while not all(one.done() for one in writing) or rounds < 2:
                    upkeep(mine, grace=kept, superseded=datetime.now(UTC))
                    rounds += 1
            for one in writing:
                one.result()
    finally:
        over.set()
        reader.join()
    assert wrong == []
    assert len(reads) > 1
    with closing(opened(lake, catalog, read_only=False)) as mine:
        assert mine.con.execute(ONCE).fetchone() == (WRITERS * BATCHES * MEDIA + 1,) * 2
        before = mine.con.execute(COUNTS).fetchall()
        two_days_ago = datetime.now(UTC) - timedelta(days=2)
        with plainly(mine):
            mine.con.execute("UPDATE plain.ducklake_snapshot SET snapshot_time = $1", [str(two_days_ago)])
        assert upkeep(mine, grace=kept)["expired_snapshots"] > 0
        let_go_at(mine, two_days_ago)
        assert upkeep(mine, grace=kept)["removed_files"] > 0
        assert mine.con.execute(COUNTS).fetchall() == before
        named = "SELECT sum(file_count + delete_file_count) FROM ducklake_table_info('lake')"
        assert mine.con.execute(named).fetchone() == (len(parquet(mine)),), "no orphan is left"


def test_the_command_reports_each_step_and_a_dry_run_does_nothing(tmp_path):
    archive = fill(tmp_path / "in", "cfr.mp4", "vfr.mkv")
    tag(tmp_path / "lake", archive)
    tag(tmp_path / "lake", archive, max_frames=1, retag=True)
    before = ask(tmp_path / "lake", "SELECT count(*) FROM log.taggings")
    command = ["maintain", "--lake", "lake", "--keep-superseded-days", "0", "--format", "json"]
    due = shotlog(*command, "--dry-run", cwd=tmp_path)
    assert (due.returncode, json.loads(due.stdout)["taggings"]) == (0, 2), due.stderr
    assert ask(tmp_path / "lake", "SELECT count(*) FROM log.taggings") == before == [(4,)]
    done = json.loads(shotlog(*command, cwd=tmp_path).stdout)
    assert (done["taggings"], done["removed_files"]) == (2, 0)
    assert done["merged_files"] > 0
    assert ask(tmp_path / "lake", "SELECT count(*) FROM log.taggings") == [(2,)]
    assert ask(tmp_path / "lake", "SELECT count(*) FROM media") == [(2,)]
    shown = shotlog("maintain", "--lake", "lake", cwd=tmp_path)
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [
        *("step", "taggings", "thumbnails", "flushed", "merged"),
        *("rewritten", "expired", "removed", "removed"),
    ]


def test_what_an_environment_says_is_headed_as_what_it_is(tmp_path):
    tag(tmp_path / "lake", fill(tmp_path / "in", "still.webp"))
    for setting, head in (("true", "due"), ("false", "done")):
        shown = shotlog("maintain", "--lake", "lake", cwd=tmp_path, SHOTLOG_DRY_RUN=setting)
        assert shown.stdout.split()[:2] == ["step", head]


@pytest.mark.parametrize("verb", [lambda request: maintain(request, print), repair], ids=["maintain", "repair"])
def test_a_dry_run_doesnt_bring_an_older_lake_up_to_date(verb, tmp_path, monkeypatch):
    lake = str(tmp_path / "lake")
    with monkeypatch.context() as older:
        older.setattr("pipeline.lake.upgrade.views_version", lambda: "older")
        opened(lake, None, create=True, read_only=False).close()
    with pytest.raises(
        LakeError, match=r"another version of shotlog.*`shotlog maintain --lake .*` brings it up to date"
    ):
        verb({"lake": lake, "dry_run": True})
    with closing(opened(lake, None)) as reader:
        assert not reader.is_current
    verb({"lake": lake})
    with closing(opened(lake, None)) as reader:
        assert reader.is_current


VERBS = {
    "plan": ("taggings", ["plan", "in"]),
    "runs": ("runs", ["runs"]),
    "recipes": ("recipes", ["recipes", "list"]),
    "compare": ("timestamps", ["compare", "shown", "newest"]),
    "forget": ("taggings", ["forget", "a.mp4", "--yes"]),
    "export": ("tags", ["export", "--to", "out"]),
}


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lost")
    fill(folder / "in", "still.webp")
    tag(folder / "lake", folder / "in", tagger="builtin")
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_names_the_data_file_that_is_lost_and_offers_to_forget_it(verb, looked_at, tmp_path):
    table, command = VERBS[verb]
    shutil.copytree(looked_at, tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "lake" / "data" / "log" / table).iterdir():
        file.unlink()
    done = shotlog(*command, "--lake", "lake", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stderr.split())
    assert re.search(rf"has lost a data file, '\S*lake/data/log/{table}/\S+\.parquet': restore it", said), said
    assert "`shotlog maintain --repair --dry-run --lake " in said


def test_a_lake_that_isnt_there_is_said_so(tmp_path):
    for verb in (["maintain"], ["forget", "a.mp4", "--yes"]):
        done = shotlog(*verb, "--lake", "none", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (3, "")
        assert "there is no lake at" in done.stderr
