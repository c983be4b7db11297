"""Whole runs in one process: what is new or changed is tagged, once, and nothing else is (DESIGN.md §4, §5.1, §5.5)."""

import shutil
from contextlib import closing

import pytest

import pipeline
from pipeline.errors import StoreError
from pipeline.lake.tables import TABLES
from pipeline.lake.views import views
from pipeline.steps import listing
from pipeline.steps.listing import begin_run, list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.publish import publish_run
from pipeline.steps.query import queries, sql
from pipeline.steps.tag import tag_batch
from pipeline.steps.workplace import Workplace
from tests.integration.doors import ask, files, fill, rows, shotlog, tag


@pytest.fixture
def archive(tmp_path):
    return fill(tmp_path / "archive", "cfr.mp4", "late_start.mp4", "deep/still.webp")


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def counts(summary, *names):
    return {name: summary[name] for name in names}


def test_a_rerun_adds_no_row(archive, lake):
    first = tag(lake, archive)
    assert counts(first, "state", "listed", "new", "ok", "frames") == {
        "state": "finished",
        "listed": 3,
        "new": 3,
        "ok": 3,
        "frames": 5,
    }
    before = rows(lake)
    assert before["taggings"] == before["sightings"] == 3
    again = tag(lake, archive)
    assert counts(again, "listed", "new", "changed", "gone", "unchanged", "ok", "frames") == {
        "listed": 3,
        "new": 0,
        "changed": 0,
        "gone": 0,
        "unchanged": 3,
        "ok": 0,
        "frames": 0,
    }
    assert rows(lake) == before


def test_a_listing_in_several_parts_is_planned_whole(archive, lake, monkeypatch):
    monkeypatch.setattr(listing, "PART_ROWS", 2)
    request = {"sources": str(archive), "lake": str(lake), "tagger": "null"}
    run_id = list_media(request, "parts")["run_id"]
    assert len(list((lake / "work" / run_id / "listing").iterdir())) == 2
    assert plan_batches(request, run_id)["new"] == 3


def test_a_changed_object_is_retagged_and_its_old_tagging_is_history(archive, lake):
    tag(lake, archive)
    shutil.copy(archive / "late_start.mp4", archive / "cfr.mp4")
    summary = tag(lake, archive)
    assert counts(summary, "new", "changed", "unchanged", "ok") == {"new": 0, "changed": 1, "unchanged": 2, "ok": 1}
    assert files(lake) == ["cfr.mp4", "still.webp", "late_start.mp4"]
    of_it = "WHERE uri LIKE '%/cfr.mp4'"
    shown = ask(lake, f"SELECT container_start_s FROM media {of_it}")
    history = ask(lake, f"SELECT container_start_s FROM log.taggings {of_it} ORDER BY tagged_at")
    assert (shown, history) == ([(5.0,)], [(0.0,), (5.0,)])
    assert ask(lake, f"SELECT count(*) FROM timestamps {of_it}") == [(2,)]
    assert ask(lake, "SELECT count(*) FROM log.timestamps") == [(7,)]
    assert ask(lake, f"SELECT state FROM log.sightings {of_it} ORDER BY seen_at") == [("new",), ("changed",)]


def test_a_gone_object_is_sighted_once_and_again_when_it_comes_back(archive, lake):
    tag(lake, archive)
    (archive / "cfr.mp4").rename(archive.parent / "away.mp4")
    assert tag(lake, archive)["gone"] == 1
    assert tag(lake, archive)["gone"] == 0
    for view in ("media", "timestamps"):
        assert ask(lake, f"SELECT count(*) FROM {view} WHERE uri LIKE '%/cfr.mp4'") == [(0,)]
    assert ask(lake, "SELECT count(*) FROM log.timestamps WHERE uri LIKE '%/cfr.mp4'") == [(2,)]
    (archive.parent / "away.mp4").rename(archive / "cfr.mp4")
    back = tag(lake, archive)
    assert counts(back, "new", "unchanged", "ok") == {"new": 0, "unchanged": 3, "ok": 0}
    states = ask(lake, "SELECT state FROM log.sightings WHERE uri LIKE '%/cfr.mp4' ORDER BY seen_at")
    assert states == [("new",), ("gone",), ("new",)]
    assert "cfr.mp4" in files(lake)


def test_a_source_that_isnt_listed_is_not_gone(archive, lake):
    tag(lake, archive)
    assert tag(lake, archive / "deep")["gone"] == 0


def test_a_renamed_object_is_gone_and_new(archive, lake):
    tag(lake, archive)
    (archive / "cfr.mp4").rename(archive / "renamed.mp4")
    assert counts(tag(lake, archive), "new", "gone", "ok") == {"new": 1, "gone": 1, "ok": 1}
    assert "renamed.mp4" in files(lake)


def test_only_what_is_new_is_looked_at(archive, lake):
    tag(lake, archive)
    fill(archive, "vfr.mp4")
    assert counts(tag(lake, archive), "new", "unchanged", "ok") == {"new": 1, "unchanged": 3, "ok": 1}


def test_patterns_choose_and_what_they_leave_out_is_counted_and_may_come_later(archive, lake):
    summary = tag(lake, archive, include="*.mp4,*.webp", exclude="late_*")
    assert counts(summary, "listed", "excluded", "ok") == {"listed": 2, "excluded": 1, "ok": 2}
    assert files(lake) == ["cfr.mp4", "still.webp"]
    assert counts(tag(lake, archive, include="*/deep/*"), "excluded", "gone", "ok") == {
        "excluded": 2,
        "gone": 0,
        "ok": 0,
    }
    assert counts(tag(lake, archive), "new", "ok") == {"new": 1, "ok": 1}


def test_a_limit_leaves_the_rest_to_the_next_run(archive, lake):
    assert counts(tag(lake, archive, limit=2), "new", "ok") == {"new": 3, "ok": 2}
    assert ask(lake, "SELECT count(*) FROM failures") == [(0,)], "what a budget leaves undone is no failure"
    assert counts(tag(lake, archive), "new", "unchanged", "ok") == {"new": 1, "unchanged": 2, "ok": 1}
    assert rows(lake)["taggings"] == 3


def test_overlapping_sources_are_looked_at_once(archive, lake):
    sources = [archive, archive / "deep", archive / "cfr.mp4", f"{archive}/../archive", f"file://{archive}"]
    assert counts(tag(lake, *sources), "listed", "new", "ok") == {"listed": 3, "new": 3, "ok": 3}
    assert rows(lake)["taggings"] == 3


@pytest.mark.parametrize(
    ("sources", "says_so"), [(("archive", "archive/deep"), True), (("archive/deep", "archive/cfr.mp4"), False)]
)
@pytest.mark.usefixtures("archive")
def test_it_says_that_sources_overlap(sources, says_so, tmp_path):
    done = shotlog("tag", *sources, "--lake", "lake", "--tagger", "null", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("what is listed twice is looked at once" in done.stderr) == says_so


def test_unknown_types_are_counted_and_no_failure(archive, lake):
    for name in ("notes.txt", "film.mp4.part", "README"):
        (archive / name).write_text("not media")
    assert counts(tag(lake, archive), "listed", "unknown", "ok", "failed") == {
        "listed": 3,
        "unknown": 3,
        "ok": 3,
        "failed": 0,
    }


def test_a_lake_inside_a_source_is_not_media(archive):
    tag(archive / "lake", archive, tagger="builtin")  # writes thumbnails
    fill(archive / "lake" / "data", "vfr.mp4")
    assert counts(tag(archive / "lake", archive), "listed", "new", "unknown") == {"listed": 3, "new": 0, "unknown": 0}


# --- what is merely stale (§5.5) -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", [{"max_frames": 1}, {"tagger": "builtin"}, {"metadata": "tags"}, {"sampling": "shots"}]
)
def test_what_is_merely_stale_is_counted_and_tagged_on_retag_only(change, archive, lake):
    tag(lake, archive)
    before = rows(lake)
    summary = tag(lake, archive, **change)
    assert counts(summary, "stale", "unchanged", "ok") == {"stale": 3, "unchanged": 3, "ok": 0}
    assert rows(lake) == {**before, "recipes": 2}
    assert len(sql({"lake": str(lake)}, "stale")[1]) == 3
    assert counts(tag(lake, archive, retag=True, **change), "stale", "ok") == {"stale": 3, "ok": 3}
    settled = rows(lake)
    assert settled["taggings"] == 6
    assert counts(tag(lake, archive, retag=True, **change), "stale", "ok") == {"stale": 0, "ok": 0}
    assert counts(tag(lake, archive, retag=True), "stale", "ok") == {"stale": 0, "ok": 0}, "paid for already"
    assert rows(lake) == settled
    assert len(files(lake)) == 3


def test_what_doesnt_decide_the_answer_makes_nothing_stale(archive, lake):
    tag(lake, archive)
    summary = tag(lake, archive, workers=1, thumbnails=False, decoder="decord", decode_deadline_s=7, batch_frames=1)
    assert counts(summary, "stale", "unchanged") == {"stale": 0, "unchanged": 3}


# --- what failed (§5.1) --------------------------------------------------------------------------------------------


def test_what_failed_for_a_passing_reason_is_tried_by_the_next_run(archive, lake):
    request = {"sources": str(archive), "lake": str(lake), "tagger": "null"}
    run_id = list_media(request)["run_id"]
    (batch_id,) = plan_batches(request, run_id)["batches"]
    (archive / "cfr.mp4").rename(archive.parent / "away.mp4")
    fill(archive, "late_start.mp4=vfr.mp4")
    assert counts(tag_batch(request, run_id, batch_id), "ok", "failed") == {"ok": 1, "failed": 2}
    publish_run(request, run_id)
    codes = ask(lake, "SELECT error_code FROM failures ORDER BY uri")
    assert codes == [("not_found",), ("object_changed",)]
    (archive.parent / "away.mp4").rename(archive / "cfr.mp4")
    again = tag(lake, archive)
    assert counts(again, "new", "changed", "unchanged", "retried", "ok") == {
        "new": 0,
        "changed": 1,
        "unchanged": 2,
        "retried": 1,
        "ok": 2,
    }
    assert ask(lake, "SELECT count(*) FROM failures") == [(0,)]


def test_what_failed_for_good_waits_until_it_changes_or_is_asked_for(archive, lake):
    fill(archive, "text.mp4", "truncated.mp4", "empty.mp4")
    assert counts(tag(lake, archive), "ok", "partial", "failed", "skipped") == {
        "ok": 3,
        "partial": 1,
        "failed": 1,
        "skipped": 1,
    }
    before = rows(lake)
    assert counts(tag(lake, archive), "waiting", "retried", "failed") == {"waiting": 3, "retried": 0, "failed": 0}
    assert rows(lake) == before
    asked = tag(lake, archive, retry_failed=True)
    assert counts(asked, "waiting", "retried", "ok", "partial", "failed", "skipped") == {
        "waiting": 0,
        "retried": 3,
        "ok": 0,
        "partial": 1,
        "failed": 1,
        "skipped": 1,
    }
    assert files(lake, "failures") == ["empty.mp4", "text.mp4", "truncated.mp4"]
    fill(archive, "text.mp4=cfr.mp4")
    assert counts(tag(lake, archive), "changed", "waiting", "ok") == {"changed": 1, "waiting": 2, "ok": 1}
    assert files(lake, "failures") == ["empty.mp4", "truncated.mp4"]


def test_another_recipe_is_a_reason_to_try_what_failed(archive, lake):
    fill(archive, "truncated.mp4")
    tag(lake, archive)
    summary = tag(lake, archive, max_frames=1)
    assert counts(summary, "stale", "retried", "partial", "ok") == {"stale": 3, "retried": 1, "partial": 1, "ok": 0}


# --- runs ----------------------------------------------------------------------------------------------------------


def test_a_run_that_breaks_is_recorded_with_its_reason(archive, lake):
    with pytest.raises(StoreError, match="there is no folder or file"):
        tag(lake, archive.parent / "nowhere")
    ((state, error),) = ask(lake, "SELECT state, error FROM runs")
    assert state == "incomplete"
    assert "there is no folder or file" in error


def test_a_run_that_died_before_it_listed_anything_is_not_running_for_ever(archive, lake):
    tag(lake, archive)
    work = Workplace.of({"sources": str(archive), "lake": str(lake), "tagger": "null"})
    with closing(work.lake(read_only=False)) as opened:
        begin_run(work, opened, "killed")
    assert ask(lake, "SELECT state FROM runs WHERE run_id = 'killed'") == [("running",)]
    tag(lake, archive)
    assert ask(lake, "SELECT state FROM runs WHERE run_id = 'killed'") == [("died",)]


def test_a_run_keeps_what_was_asked_of_it(archive, lake):
    run_id = tag(lake, archive, limit=1, max_frames=7)["run_id"]
    found = ask(lake, "SELECT run_id, request->>'limit', request->>'max_frames', sources FROM log.runs")
    assert found == [(run_id, "1", "7", [f"{archive}/"])]
    shown = ask(lake, "SELECT state, tagger, new, media_planned, media_done, ok, seconds > 0, error FROM runs")
    assert shown == [("finished", "null", 3, 1, 1, 1, True, None)]


def test_a_finished_run_leaves_no_work_behind(archive, lake):
    tag(lake, archive)
    assert [path for path in (lake / "work").rglob("*") if path.is_file()] == []


# --- the lake that analysts open -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film_lake(tmp_path_factory):
    """A film of six shots and a photograph, looked at by the builtin tagger."""
    folder = tmp_path_factory.mktemp("films")
    fill(folder / "in", "bikes.mp4", "chelsea.png")
    tag(folder / "lake", folder / "in", tagger="builtin", sampling="shots", max_frames=4)
    return folder / "lake"


def test_a_limit_of_frames_limits_what_is_looked_at_and_not_what_is_listed(film_lake):
    assert ask(film_lake, "SELECT round(start_s * 25)::INT FROM shots ORDER BY shot_index") == [
        (frame,) for frame in (0, 30, 76, 137, 187, 242)
    ]
    looked = ask(film_lake, "SELECT shot_index FROM timestamps WHERE uri LIKE '%bikes.mp4' ORDER BY timestamp_s")
    assert len(looked) == len(set(looked)) == 4
    assert ask(film_lake, "SELECT kind, frames FROM media ORDER BY kind") == [("image", 1), ("video", 4)]


def test_what_is_seen_comes_with_its_evidence(film_lake):
    assert ask(film_lake, "SELECT DISTINCT label, kind FROM participants WHERE uri LIKE '%chelsea.png'") == [
        ("cat", "animal")
    ]
    people = ask(film_lake, "SELECT max(\"count\") FROM participants WHERE label = 'person'")
    assert people[0][0] >= 1
    assert ask(film_lake, "SELECT DISTINCT caption_source FROM timestamps") == [("template",)]
    bare = "SELECT count(*) FROM timestamps ANTI JOIN thumbnails USING (tagging_id, timestamp_s)"
    assert ask(film_lake, bare) == [(0,)]
    assert ask(film_lake, "SELECT DISTINCT greatest(width, height), image[1:4] FROM thumbnails") == [(320, b"RIFF")]


def test_thumbnails_can_be_left_out(lake, archive):
    tag(lake, archive / "deep", tagger="builtin", thumbnails=False)
    assert rows(lake)["thumbnails"] == 0
    assert rows(lake)["timestamps"] == 1


def test_views_lie_in_main_and_tables_in_log(film_lake):
    found = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'log'"
    assert {name for (name,) in ask(film_lake, found)} == set(TABLES)
    found = "SELECT view_name, schema_name FROM duckdb_views() WHERE database_name = 'lake' AND NOT internal"
    assert set(ask(film_lake, found)) == {(name, "main") for name in views()}


def test_a_view_has_its_tables_columns_and_uri_and_media_id(film_lake):
    with pipeline.connect(str(film_lake)) as con:
        for name in views().keys() - {"runs", "tag_changes"}:
            table = "taggings" if name in ("media", "failures") else name
            columns = [row[0] for row in con.execute(f"DESCRIBE {name}").fetchall()]
            assert set(columns) == {*TABLES[table].names, "uri", "media_id"}, name
            assert len(columns) == len(set(columns)), name


@pytest.mark.parametrize("name", sorted(queries()))
def test_every_query_of_the_cookbook_runs(name, film_lake):
    columns, found = sql({"lake": str(film_lake)}, name)
    assert columns
    assert found or name in ("stale", "what_failed")


def test_a_moved_lake_works_from_any_directory(film_lake, archive, tmp_path, monkeypatch):
    moved = tmp_path / "it's [a] lake?"
    shutil.copytree(film_lake, moved)
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    assert ask("../it's [a] lake?", "SELECT count(*) FROM timestamps") == [(5,)]
    assert tag("../it's [a] lake?", archive)["ok"] == 3
    assert ask(moved, "SELECT count(*), count(image) FROM thumbnails") == [(5, 5)]
    assert ask(moved, "SELECT count(*) FROM timestamps") == [(10,)]
