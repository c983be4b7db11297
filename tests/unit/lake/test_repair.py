"""Data files that are lost: which they are is said, and what they held is forgotten, so that it is found anew."""

from pathlib import Path

import pytest

from pipeline.errors import LakeError
from pipeline.lake import repair, writer
from pipeline.lake.catalog import plainly
from tests.faults.invariants import odd
from tests.unit.lake.made import media, tagging
from tests.unit.lake.test_hidden import see
from tests.unit.lake.test_maintenance import rows, upkeep

TABLES = ("taggings", "timestamps", "thumbnails", "sightings", "hidden")


def commit(lake, *names, run_id="run-1"):
    batch = "-".join(names)
    looks = [tagging(media(name), run_id=run_id, batch_id=batch) for name in names]
    writer.commit_batch(lake, run_id, batch, looks)


def lose(lake, table):
    """The first of a table's files that is in use."""
    with plainly(lake):
        query = """
            SELECT parse_filename(file.path)
            FROM plain.ducklake_data_file AS file JOIN plain.ducklake_table USING (table_id)
            WHERE table_name = ? ORDER BY data_file_id LIMIT 1
        """
        (name,) = lake.con.execute(query, [table]).fetchone()
    Path(lake.uri, "data", "log", table, name).unlink()
    return name


@pytest.mark.parametrize("table", TABLES)
def test_what_a_lost_file_held_is_forgotten_and_nothing_else(table, lake):
    commit(lake, "a.mp4", "b.mp4")
    see(lake, "gone.mp4", "new", rows(lake, "SELECT now()")[0][0])
    commit(lake, "b.mp4", run_id="run-2")  # takes the place of the first look
    commit(lake, "c.mp4")
    name = lose(lake, table)
    (lost,) = repair.lost_files(lake)
    assert (lost.name, lost.table, lost.rows > 0) == (name, table, True)
    with pytest.raises(LakeError, match=rf"lost a data file, '.*{name}': .*maintain --repair --dry-run --lake"):
        lake.read(lambda con: con.execute(f"SELECT * FROM log.{table}").fetchall())
    files, gone = repair.repair(lake)
    assert [file.name for file in files] == [name]
    assert gone == (2 if table in ("timestamps", "thumbnails") else 0)
    assert odd(lake).keys() <= {"batches without all of their media"}
    shown = {uri for (uri,) in rows(lake, "SELECT uri FROM media")}
    in_it = table in ("taggings", "timestamps", "thumbnails")
    assert shown == {"/archive/b.mp4", "/archive/c.mp4"} | (set() if in_it else {"/archive/a.mp4"})
    assert repair.lost_files(lake) == []
    assert repair.repair(lake) == ([], 0)
    commit(lake, "a.mp4", run_id="run-3")
    upkeep(lake)
    assert len(rows(lake, "FROM media")) == 3


def test_what_was_listed_by_a_run_of_whatever_kind_is_seen_again_so_that_it_can_be_gone(lake):
    for kind in ("tag", "backfill", "job", "serve"):
        lake.transaction(lambda con, kind=kind: writer.insert(con, {"runs": [{"run_id": kind, "kind": kind}]}))
        commit(lake, f"{kind}.mp4", run_id=kind)
    see(lake, "backfill.mp4", "new", rows(lake, "SELECT now()")[0][0])
    lose(lake, "sightings")
    repair.repair(lake)
    assert rows(lake, "SELECT parse_filename(uri), state FROM log.sightings ORDER BY ALL") == [
        ("backfill.mp4", "new"),
        ("job.mp4", "new"),
        ("tag.mp4", "new"),
    ]


def test_a_whole_lake_has_nothing_to_repair(lake):
    commit(lake, "a.mp4")
    before = rows(lake, "FROM log.taggings")
    assert repair.repair(lake) == ([], 0)
    assert rows(lake, "FROM log.taggings") == before


def test_a_disk_that_isnt_mounted_is_no_loss(lake):
    commit(lake, "a.mp4")
    data = Path(lake.uri, "data")
    data.rename(elsewhere := data.with_name("elsewhere"))
    data.mkdir()
    for verb in (repair.lost_files, repair.repair):
        with pytest.raises(
            LakeError, match=r"none of the \d+ data files of this lake is below .*: is its disk mounted\?"
        ):
            verb(lake)
    data.rmdir()
    elsewhere.rename(data)
    assert repair.repair(lake) == ([], 0)
    assert rows(lake, "SELECT count(*) FROM media") == [(1,)]


def test_a_repair_that_died_between_its_two_steps_is_ended_by_the_next(lake, monkeypatch):
    commit(lake, "a.mp4")
    commit(lake, "b.mp4")
    name = lose(lake, "tags")
    with monkeypatch.context() as patch:
        patch.setattr(repair, "_make_whole", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            repair.repair(lake)
    assert rows(lake, "SELECT count(*) FROM media") == [(2,)], "the file is forgotten, its tagging isn't"
    assert repair.lost_files(lake) == []
    assert repair.repair(lake) == ([], 1)
    assert rows(lake, "SELECT uri FROM media") == [("/archive/b.mp4",)]
    assert name not in str(list(Path(lake.uri).rglob("*.parquet")))


def test_a_lost_list_of_what_was_deleted(lake):
    commit(lake, "a.mp4", "b.mp4")
    lake.transaction(lambda con: repair.delete(con, f"media_id = '{media('a.mp4').media_id}'"))
    (path,) = Path(lake.uri, "data", "log", "taggings").glob("*-delete.parquet")
    path.unlink()
    assert [file.name for file in repair.lost_files(lake)] == [path.name]
    assert repair.repair(lake)[1] == 1
    assert rows(lake, "SELECT uri FROM media") == [("/archive/b.mp4",)]
    assert odd(lake).keys() <= {"batches without all of their media"}
