"""The grace is held to the minute, with every kind of catalog."""

from datetime import UTC, datetime, timedelta

from pipeline.lake import writer
from pipeline.lake.catalog import plainly
from tests.unit.lake.made import media, tagging
from tests.unit.lake.test_maintenance import fill, let_go_at, parquet, rows, upkeep


def test_files_let_go_an_hour_ago_stay_for_two(lake):
    fill(lake)
    upkeep(lake, grace=timedelta(hours=2))
    files = parquet(lake)
    let_go_at(lake, datetime.now(UTC) - timedelta(minutes=61))
    assert upkeep(lake, grace=timedelta(hours=2))["removed_files"] == 0
    assert parquet(lake) == files
    assert upkeep(lake, grace=timedelta(hours=1))["removed_files"] > 8
    assert parquet(lake) < files


def test_a_snapshot_of_an_hour_ago_stays_for_two(lake):
    fill(lake, 2)
    (first,) = rows(lake, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")[0]
    with plainly(lake):
        moment = str(datetime.now(UTC) - timedelta(minutes=61))
        lake.con.execute("UPDATE plain.ducklake_snapshot SET snapshot_time = $1", [moment])
    writer.commit_batch(lake, "run-2", "000000", [tagging(media("later.mp4"))])
    assert upkeep(lake, grace=timedelta(hours=2))["expired_snapshots"] == 0
    assert rows(lake, f"SELECT count(*) FROM log.taggings AT (VERSION => {first})") == [(6,)]
    assert upkeep(lake, grace=timedelta(hours=1))["expired_snapshots"] > 1
