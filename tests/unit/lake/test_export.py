"""An export is all of one state of the lake, whole or not there, in files and partitions of bounded number and size."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import LakeError, UsageError
from pipeline.lake import export_files, writer
from pipeline.lake.export import ON_WISH, choose, export
from pipeline.lake.export_place import Place
from pipeline.lake.views import views
from pipeline.model import MediaObject
from pipeline.store import open_store
from tests.unit.lake.made import OTHER_RECIPE, media, tagging
from tests.unit.lake.test_hidden import see

DAY = timedelta(days=1)
HALF = """
    SELECT count(*) FROM {media} AS looks
    WHERE frames <> (SELECT count(*) FROM {timestamps} AS moments WHERE moments.tagging_id = looks.tagging_id)
"""
TOLD = ("media", "timestamps", "tags", "runs")


of_one_kind = pytest.mark.parametrize("catalog", ["sqlite"], indirect=True)
"""For what no catalog has a part in."""


@pytest.fixture
def place(tmp_path):
    uri = str(tmp_path / "tables")
    return Place(uri, open_store(uri))


@pytest.fixture
def reader(lake, open_it):  # noqa: ARG001 (it has to be there)
    opened = open_it()
    yield opened
    opened.close()


@pytest.fixture
def run(place, tmp_path):
    """Exports these views, the usual ones where none is named."""
    (tmp_path / "scratch").mkdir()

    def exported(lake, *named, watch=lambda *_: None, grace=DAY):
        chosen = choose(lake, named)
        return export(lake, place, chosen, grace=grace, scratch=tmp_path / "scratch", watch=watch)

    return exported


def parquet(report, view):
    """As DuckDB reads it, without shotlog."""
    return f"read_parquet('{report['uri']}/{view}/**/*.parquet', hive_partitioning = true, union_by_name = true)"


def differences(lake, report, view):
    """Rows that the view or the files alone have."""
    columns = [name for name, *_ in lake.con.execute(f"DESCRIBE {view}").fetchall()]
    mine, theirs = (f"(SELECT {', '.join(columns)} FROM {each})" for each in (view, parquet(report, view)))
    return lake.con.execute(f"(FROM {mine} EXCEPT ALL FROM {theirs}) UNION ALL (FROM {theirs} EXCEPT ALL FROM {mine})")


def count(lake, source):
    return lake.con.execute(f"SELECT count(*) FROM {source}").fetchone()[0]


def latest(place):
    return json.loads(Path(place.uri, "latest.json").read_text())


def folders(place):
    return {path.name for path in Path(place.uri).iterdir() if path.is_dir()}


def at(name, moment, **more):
    return tagging(MediaObject(f"/archive/{name}", "1", 100, moment), **more)


def fill(lake):
    """A look that stands, one that was superseded, one of an object that is gone, one that failed."""
    looks = [tagging(media(name)) for name in ("a.mp4", "b.mp4", "gone.mp4")]
    writer.commit_batch(lake, "run-1", "000000", [*looks, tagging(media("bad.mp4"), status="failed", code="corrupt")])
    writer.commit_batch(lake, "run-2", "000000", [tagging(media("b.mp4"), recipe=OTHER_RECIPE, frames=3)])
    see(lake, "gone.mp4", "gone", datetime.now(UTC))


def test_every_view_comes_out_row_by_row_and_what_it_hides_does_not(lake, reader, run):
    fill(lake)
    report = run(reader, "all")
    assert set(report["views"]) == set(views())
    for view, told in report["views"].items():
        assert differences(reader, report, view).fetchall() == [], view
        assert told["rows"] == count(reader, parquet(report, view)), view
    names = reader.con.execute(f"SELECT DISTINCT parse_filename(uri) FROM {parquet(report, 'tags')} ORDER BY 1")
    assert names.fetchall() == [("a.mp4",), ("b.mp4",)]
    assert report["views"]["timestamps"]["rows"] == 2 + 3
    assert report["views"]["failures"]["rows"] == 1


@of_one_kind
def test_pictures_and_what_changed_are_written_only_where_they_are_named(reader):
    assert set(choose(reader, [])) == set(views()) - set(ON_WISH)
    assert choose(reader, ["thumbnails", "media", "media"]) == ["thumbnails", "media"]
    assert set(choose(reader, ["media", "all"])) == set(views())
    with pytest.raises(UsageError, match=r"unknown view 'tgas': known are .*media.* — did you mean tags"):
        choose(reader, ["media", "tgas"])


def test_all_views_are_of_one_state_though_batches_are_committed_in_between(lake, reader, run):
    fill(lake)
    before = {view: count(reader, view) for view in TOLD}
    reader.con.execute("SET TimeZone = 'Asia/Tokyo'")
    written = []

    def commit(view, rows):
        if rows == 0:
            written.append(writer.commit_batch(lake, "run-3", view, [tagging(media(f"{view}.mp4")), tagging()]))

    report = run(reader, *TOLD, watch=commit)
    assert written == [True] * len(TOLD)
    assert {view: told["rows"] for view, told in report["views"].items()} == before
    later = run(reader, "media", "timestamps")
    assert later["snapshot"] > report["snapshot"]
    assert later["views"]["media"]["rows"] == before["media"] + len(written)
    for each in (report, later):
        half = HALF.format(media=parquet(each, "media"), timestamps=parquet(each, "timestamps"))
        assert reader.con.execute(half).fetchone() == (0,)


@of_one_kind
def test_partitions_are_kinds_and_years_in_utc_and_no_more(lake, reader, run):
    reader.con.execute("SET TimeZone = 'Asia/Tokyo'")
    moments = [datetime(2024, 12, 31, 23, 30, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC), None]
    looks = [at(f"{place}-{n}.mp4", moment) for place, moment in enumerate(moments) for n in range(20)]
    writer.commit_batch(lake, "run-1", "000000", looks)
    report = run(reader, "media", "tags", "runs")
    for view in ("media", "tags"):
        found = [path.relative_to(Path(report["uri"], view)) for path in Path(report["uri"], view).rglob("*.parquet")]
        years = ("2024", "2025", "__HIVE_DEFAULT_PARTITION__")
        assert {str(path) for path in found} == {
            f"media_kind=video/modified_year={year}/part-00000.parquet" for year in years
        }
    assert [path.name for path in Path(report["uri"], "runs").rglob("*")] == ["part-00000.parquet"]
    schemas = [pq.read_schema(path) for path in Path(report["uri"]).glob("media/**/*.parquet")]
    assert {str(schema.field("tagged_at").type) for schema in schemas} == {"timestamp[us, tz=UTC]"}
    years = f"SELECT modified_year, count(*) FROM {parquet(report, 'media')} GROUP BY ALL ORDER BY ALL"
    assert reader.con.execute(years).fetchall() == [(2024, 20), (2025, 20), (None, 20)]


@of_one_kind
def test_files_and_row_groups_stay_below_their_sizes(lake, reader, run, monkeypatch):
    for name, size in {"FILE_BYTES": 4_000, "GROUP_BYTES": 50_000, "HELD_BYTES": 100_000}.items():
        monkeypatch.setattr(export_files, name, size)
    monkeypatch.setattr("pipeline.lake.export.BATCH_ROWS", 100)
    looks = [at(f"{n}.mp4", datetime(2020 + n % 3, 1, 1, tzinfo=UTC), frames=40) for n in range(60)]
    writer.commit_batch(lake, "run-1", "000000", looks)
    report = run(reader, "tags")
    assert differences(reader, report, "tags").fetchall() == []
    files = list(Path(report["uri"]).rglob("*.parquet"))
    assert len(files) == report["views"]["tags"]["files"] > 3
    assert {path.parent.name for path in files} == {f"modified_year={2020 + n}" for n in range(3)}
    for path in files:
        footer = pq.read_metadata(path)
        sizes = [footer.row_group(number).total_byte_size for number in range(footer.num_row_groups)]
        assert max(sizes) < 50_000
        assert path.stat().st_size < 4_000 + 50_000
        assert footer.row_group(0).column(0).compression == "ZSTD"


@of_one_kind
def test_an_empty_lake_comes_out_as_columns_without_rows(reader, run):
    report = run(reader, "media", "tags", "runs")
    for view, told in report["views"].items():
        assert (told["rows"], told["files"]) == (0, 1)
        assert differences(reader, report, view).fetchall() == []


# --- one export after the other --------------------------------------------------------------------------------------


@of_one_kind
def test_the_next_one_takes_its_place_and_the_first_stays_for_its_readers_for_a_grace(lake, reader, run, place):
    fill(lake)
    first = run(reader, "media", "tags")
    before = count(reader, parquet(first, "tags"))
    writer.commit_batch(lake, "run-3", "000000", [tagging(media("new.mp4"))])
    second = run(reader, "media", "tags")
    assert latest(place)["folder"] == second["folder"]
    assert count(reader, parquet(second, "media")) == count(reader, parquet(first, "media")) + 1
    assert count(reader, parquet(first, "tags")) == before
    assert folders(place) == {first["folder"], second["folder"]}
    third = run(reader, "media", grace=timedelta(microseconds=0))
    assert folders(place) == {third["folder"]}
    assert latest(place)["replaced"] == {}


@of_one_kind
def test_one_that_breaks_off_leaves_the_latest_as_it_was_and_no_file(lake, reader, run, place):
    fill(lake)
    first = run(reader, "media", "tags")

    def interrupt(view, rows):
        if view == "tags" and rows:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(reader, "media", "tags", watch=interrupt)
    assert latest(place)["folder"] == first["folder"]
    assert folders(place) == {first["folder"]}
    assert differences(reader, run(reader, "tags"), "tags").fetchall() == []


@of_one_kind
def test_what_a_killed_one_left_goes_after_a_day(reader, run, place):
    run(reader, "media")
    now = datetime.now(UTC)
    old, young = (f"{now - ago:%Y%m%dT%H%M%SZ}-0123abcd" for ago in (2 * DAY, DAY / 2))
    for name in (old, young, "notes"):
        Path(place.uri, name).mkdir()
        Path(place.uri, name, "part-00000.parquet").touch()
    run(reader, "media", grace=timedelta(0))
    assert old not in folders(place)
    assert {young, "notes"} <= folders(place)


@of_one_kind
def test_a_place_that_is_something_else_is_left_as_it_is(reader, run, place):
    Path(place.uri).mkdir()
    Path(place.uri, "holiday.jpg").touch()
    with pytest.raises(UsageError, match="holds something that is no export: give a new or empty folder as --to"):
        run(reader, "media")
    Path(place.uri, "holiday.jpg").unlink()
    Path(place.uri, "export.json").write_text("[]")
    with pytest.raises(UsageError, match="is not an export's"):
        run(reader, "media")
    Path(place.uri, "export.json").write_text('{"lake_id": "another"}')
    with pytest.raises(UsageError, match=r"holds exports of another lake \(another, this one is"):
        run(reader, "media")
    assert Counter(path.name for path in Path(place.uri).rglob("*")) == {"export.json": 1}


@of_one_kind
def test_a_data_file_that_is_gone_is_named_and_a_repair_offered(lake, reader, run, place):
    fill(lake)
    first = run(reader, "tags")
    for path in Path(lake.uri, "data", "log", "tags").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(LakeError, match=r"has lost a data file, '.*/data/log/tags/.*maintain --repair --dry-run"):
        run(reader, "tags")
    assert folders(place) == {first["folder"]}
