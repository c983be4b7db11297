"""Upkeep makes a lake smaller and takes nothing that anybody needs (DESIGN.md §5.6)."""

import fcntl
import os
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipeline.lake import freeze, writer
from pipeline.lake.catalog import plainly
from pipeline.lake.connection import open_duckdb
from pipeline.lake.frozen import frozen_catalogs
from pipeline.lake.maintenance import maintain
from pipeline.lake.retention import Retention
from tests.unit.lake.made import OTHER_RECIPE, media, tagging
from tests.unit.lake.test_hidden import see

NONE = timedelta(minutes=-1)  # what is let go while upkeep runs, too
DAY = timedelta(days=1)
COUNTS = "SELECT (SELECT count(*) FROM timestamps), (SELECT count(*) FROM tags), (SELECT count(*) FROM media)"


def rows(lake, query):
    return lake.con.execute(query).fetchall()


def parquet(lake):
    return set(Path(lake.uri, "data").rglob("*.parquet"))


def upkeep(lake, *, grace=NONE, dry_run=False, **retention):
    return maintain(lake, retention=Retention(**retention), grace=grace, dry_run=dry_run, watch=lambda _: None)


def let_go_at(lake, moment):
    """As though the files that were let go had been then."""
    with plainly(lake):
        lake.con.execute("UPDATE plain.ducklake_files_scheduled_for_deletion SET schedule_start = $1", [str(moment)])


def fill(lake, batches=8, run_id="run-1"):
    for number in range(batches):
        looks = [tagging(media(f"{number}-{each}.mp4"), batch_id=f"{number:06}", frames=6) for each in range(3)]
        writer.commit_batch(lake, run_id, f"{number:06}", looks)


def test_a_look_that_may_go_for_two_reasons_goes_once(lake):
    writer.commit_batch(lake, "run-1", "000000", [tagging(status="failed", code="unreadable")])
    writer.commit_batch(lake, "run-2", "000000", [tagging(), tagging(media("stays.mp4"))])
    now = datetime.now(UTC) + DAY
    see(lake, "a.mp4", "gone", datetime.now(UTC))
    for kept in ({"superseded": now}, {"gone": now}, {"superseded": now, "gone": now}):
        due = upkeep(lake, dry_run=True, **kept)["taggings"]
        assert due == (2 if "gone" in kept else 1), kept
    assert upkeep(lake, dry_run=True)["taggings"] == 0
    assert upkeep(lake, superseded=now, gone=now)["taggings"] == 2
    assert rows(lake, "SELECT uri FROM log.taggings") == [(media("stays.mp4").uri,)]


def test_small_files_become_one_and_every_row_stays(lake):
    fill(lake)
    before, files = rows(lake, COUNTS), len(parquet(lake))
    report = upkeep(lake)
    assert report["merged_files"] > 8
    assert rows(lake, COUNTS) == before
    assert len(parquet(lake)) < files / 2
    assert rows(lake, "SELECT max(file_count) FROM ducklake_table_info('lake')") == [(1,)]
    again = upkeep(lake)
    assert (again["merged_files"], again["rewritten_files"]) == (0, 0)


def test_upkeep_keeps_none_of_the_files_that_it_has_read_in_memory(lake, open_it):
    fill(lake)
    with open_it(read_only=False) as fresh:
        assert upkeep(fresh)["merged_files"] > 8
        kept = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag = 'EXTERNAL_FILE_CACHE'"
        assert rows(fresh, kept) == [(0,)]


def test_a_dry_run_says_how_much_is_due_and_does_nothing(lake):
    fill(lake)
    writer.commit_batch(lake, "run-2", "000000", [tagging(media("0-0.mp4"))])
    before, files = rows(lake, COUNTS), parquet(lake)
    snapshots = rows(lake, "SELECT count(*) FROM ducklake_snapshots('lake')")
    due = upkeep(lake, dry_run=True, superseded=datetime.now(UTC), thumbnails=datetime.now(UTC))
    assert due["taggings"] == 1
    assert due["thumbnails"] == 8 * 3 * 6 + 2
    assert min(due["merged_files"], due["expired_snapshots"]) > 0
    assert (rows(lake, COUNTS), parquet(lake)) == (before, files)
    assert rows(lake, "SELECT count(*) FROM ducklake_snapshots('lake')") == snapshots


def test_within_the_grace_no_file_goes_and_a_reader_of_the_past_finds_all_of_it(lake):
    fill(lake)
    files, before = parquet(lake), rows(lake, COUNTS)
    (snapshot,) = rows(lake, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")[0]
    report = upkeep(lake, grace=DAY)
    assert (report["removed_files"], report["removed_orphans"], report["expired_snapshots"]) == (0, 0, 0)
    assert parquet(lake) >= files
    past = f"SELECT count(*) FROM log.timestamps AT (VERSION => {snapshot})"
    assert rows(lake, past) == [(before[0][0],)]


def test_a_reader_in_the_middle_of_a_transaction_keeps_seeing_what_it_saw(lake, open_it):
    fill(lake)
    reader = open_it()
    reader.con.execute("BEGIN")
    before = rows(reader, COUNTS)
    upkeep(lake, grace=DAY, superseded=datetime.now(UTC))
    fill(lake, 2, "run-2")
    assert rows(reader, COUNTS) == before
    reader.con.execute("COMMIT")
    reader.close()


def test_what_no_catalog_names_goes_past_the_grace_only(lake):
    fill(lake, 1)
    orphan, recent = (Path(lake.uri, "data", "log", "tags", f"{name}.parquet") for name in ("orphan", "recent"))
    for path in (orphan, recent):
        lake.con.execute(f"COPY (SELECT 1 AS x) TO '{path}'")
    old = time.time() - 2 * 86400
    os.utime(orphan, (old, old))
    assert upkeep(lake, grace=DAY)["removed_orphans"] == 1
    assert (orphan.exists(), recent.exists()) == (False, True)


def test_superseded_looks_go_by_age_and_what_is_shown_stays(lake):
    writer.commit_batch(lake, "run-1", "000000", [tagging(media("a.mp4")), tagging(media("b.mp4"))])
    writer.commit_batch(lake, "run-2", "000000", [tagging(media("a.mp4"), recipe=OTHER_RECIPE)])
    failed = tagging(media("b.mp4"), status="failed", code="unreadable")
    writer.commit_batch(lake, "run-3", "000000", [failed])
    before = rows(lake, COUNTS), rows(lake, "SELECT tagging_id FROM failures")
    assert upkeep(lake, superseded=datetime.now(UTC) - DAY)["taggings"] == 0
    assert upkeep(lake, superseded=datetime.now(UTC) + DAY)["taggings"] == 1
    assert (rows(lake, COUNTS), rows(lake, "SELECT tagging_id FROM failures")) == before
    assert rows(lake, "SELECT count(*) FROM log.taggings") == [(3,)]
    assert rows(lake, "SELECT count(*) FROM log.timestamps") == [(4,)]
    assert rows(lake, "SELECT count(*) FROM log.hidden") == [(0,)]


def test_gone_media_and_thumbnails_go_by_age(lake):
    writer.commit_batch(lake, "run-1", "000000", [tagging(media("a.mp4")), tagging(media("b.mp4"))])
    see(lake, "a.mp4", "gone", datetime.now(UTC) - 2 * DAY)
    assert upkeep(lake, gone=datetime.now(UTC) - 3 * DAY)["taggings"] == 0
    assert upkeep(lake, gone=datetime.now(UTC) - DAY)["taggings"] == 1
    assert rows(lake, "SELECT uri FROM log.taggings") == [("/archive/b.mp4",)]
    assert upkeep(lake, thumbnails=datetime.now(UTC) + DAY)["thumbnails"] == 2
    assert rows(lake, "SELECT count(*) FROM log.thumbnails") == [(0,)]
    assert rows(lake, "SELECT count(*) FROM tags WHERE label = 'hat'") == [(2,)]


# ---- frozen catalogs


def attached(uri):
    con = open_duckdb()
    con.execute(f"ATTACH 'ducklake:{uri}' AS lake (READ_ONLY)")
    return con.execute("USE lake")


def test_a_frozen_catalog_shows_the_lake_as_it_was(lake):
    fill(lake, 2)
    before = rows(lake, COUNTS)
    uri = freeze.publish(lake)
    fill(lake, 2, "run-2")
    lake.transaction(lambda con: con.execute("DELETE FROM log.tags"))
    with attached(uri) as con:
        assert con.execute(COUNTS).fetchall() == before
        assert con.execute("SELECT count(*), max(tagged_at) > '2026-01-01' FROM media").fetchall() == [(6, True)]
        with pytest.raises(duckdb.Error, match="read-only"):
            con.execute("DELETE FROM log.tags")


def test_the_files_that_a_frozen_catalog_names_stay_as_long_as_it_does(lake):
    fill(lake)
    old = freeze.publish(lake)
    before = rows(lake, COUNTS)
    report = upkeep(lake, superseded=datetime.now(UTC))
    assert report["merged_files"] > 0
    assert report["removed_files"] == 0
    with attached(old) as con:
        assert con.execute(COUNTS).fetchall() == before
    newest = frozen_catalogs(lake.uri, lake.store)[-1].uri
    assert newest != old
    lake.store.delete(old)
    let_go_at(lake, datetime.now(UTC) - timedelta(minutes=5))
    assert upkeep(lake)["removed_files"] > 0
    with attached(newest) as con:
        assert con.execute(COUNTS).fetchall() == rows(lake, COUNTS)


def is_somebodys(catalog):
    """Whether the turn is held."""
    if catalog.kind == "sqlite":
        with catalog.path.with_name(f"{catalog.path.name}.commit.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    with catalog._connected() as session:
        found = session.execute("SELECT pg_try_advisory_lock(%s)", [catalog._key("commit")]).fetchone()
        return found == (False,)


def test_a_copy_is_made_named_and_published_in_one_turn(lake, open_it, monkeypatch):
    fill(lake, 1)
    write, held = lake.store.write, []
    with closing(open_it()) as other:

        def watched(uri, data, **how):
            held.append(is_somebodys(other.catalog))
            return write(uri, data, **how)

        monkeypatch.setattr(lake.store, "write", watched)
        freeze.publish(lake)
        assert held == [True, True]
        assert not is_somebodys(other.catalog)


def test_frozen_catalogs_past_their_grace_go_but_never_the_newest(lake):
    fill(lake, 1)
    first = freeze.publish(lake)
    aged = first.replace(first.rsplit("-", 1)[1], "20200101T000000Z.duckdb")
    Path(first).rename(aged)
    assert [one.uri for one in frozen_catalogs(lake.uri, lake.store)] == [aged]
    second = freeze.publish(lake)
    assert [one.uri for one in frozen_catalogs(lake.uri, lake.store)] == [second]
    assert freeze.prune(lake, keep=second, grace=NONE) == []
