"""Backfills: what they are asked for alone, in pieces, beside other runs, killed, paused, resumed and cancelled."""

import json
import os
import random
import signal
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline.errors import LakeError, UsageError
from pipeline.steps import backfill, claims
from pipeline.steps import plan as plan_steps
from pipeline.steps import run as whole_run
from pipeline.steps.forecast import forecast
from pipeline.steps.forget import forget
from pipeline.steps.tag import tag_batch
from pipeline.steps.workplace import Workplace
from tests.integration.doors import SHOTLOG, ask, environment, files, fill, rows, shotlog, tag
from tests.integration.quiet import Quiet
from tests.integration.test_postgres import HALF, ONCE, ORPHANS

NAMES = ("a.mp4=cfr.mp4", "b.mp4=vfr.mkv", "c.mp4=hevc.mp4", "d.png=coffee.png", "e.mp4=cfr.mov", "f.jpg=china.jpg")


@pytest.fixture
def archive(tmp_path):
    folder = fill(tmp_path / "in", *NAMES)
    for day, path in enumerate(sorted(folder.iterdir(), reverse=True), start=1):
        at = datetime(2026, 1, day, tzinfo=UTC).timestamp()
        os.utime(path, (at, at))
    return folder


@pytest.fixture
def request_(archive, tmp_path):
    few = {"max_frames": 2, "batch_frames": 2, "piece_batches": 2}
    return {"sources": str(archive), "lake": str(tmp_path / "lake"), "tagger": "null", "workers": 1, **few}


def run(request, **more):
    return backfill.backfill({**request, **more}, Quiet())


def looked_at(lake, run_id):
    query = f"SELECT parse_filename(uri) FROM log.taggings WHERE run_id = '{run_id}' ORDER BY batch, tagged_at"
    return [name for (name,) in ask(lake, query)]


def check_everything_once(lake, count):
    assert ask(lake, ONCE) == [(count, count)]
    assert [ask(lake, query)[0][0] for query in (HALF, ORPHANS)] == [0, 0]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, {"a.mp4", "b.mp4", "c.mp4", "d.png", "e.mp4", "f.jpg"}),
        ({"media_kinds": "image"}, {"d.png", "f.jpg"}),
        ({"media_kinds": "video", "exclude": "b.*"}, {"a.mp4", "c.mp4", "e.mp4"}),
        ({"modified_since": "2026-01-04"}, {"a.mp4", "b.mp4", "c.mp4"}),
        ({"modified_since": "2026-01-02", "modified_before": "2026-01-04T00:00:00+00:00"}, {"d.png", "e.mp4"}),
        ({"only": "stale"}, set()),
        ({"limit": 3}, {"a.mp4", "b.mp4", "c.mp4"}),
    ],
)
def test_only_what_is_asked_for(wish, expected, request_):
    summary = run(request_, **wish)
    assert summary["state"] == "finished"
    assert set(looked_at(request_["lake"], summary["run_id"])) == expected
    gone = ask(request_["lake"], "SELECT count(*) FROM log.sightings WHERE state = 'gone'")
    assert gone == [(0,)], "what a run leaves out isn't gone"


@pytest.mark.parametrize(("order", "first"), [("path", "a.mp4"), ("oldest", "f.jpg"), ("newest", "a.mp4")])
def test_what_comes_first(order, first, request_):
    summary = run(request_, order=order, batch_frames=1)
    names = looked_at(request_["lake"], summary["run_id"])
    assert (names[0], names == sorted(names, reverse=order == "oldest")) == (first, True)


def test_only_what_is_stale_or_failed_so(request_, archive):
    (archive / "b.mp4").write_bytes(b"")
    (archive / "c.mp4").write_bytes(b"<html>")
    tag(request_["lake"], archive)
    stale = run(request_, only="stale", max_frames=1, media_kinds="video")
    assert set(looked_at(request_["lake"], stale["run_id"])) == {"a.mp4", "e.mp4"}
    empty = run(request_, only="failed:empty_file", max_frames=60)
    assert looked_at(request_["lake"], empty["run_id"]) == ["b.mp4"]
    failed = run(request_, only="failed", max_frames=60)
    assert set(looked_at(request_["lake"], failed["run_id"])) == {"b.mp4", "c.mp4"}


def test_a_sample_of_what_is_stale_stands_beside_what_is_there(request_, archive):
    tag(request_["lake"], archive)
    before = ask(request_["lake"], "FROM media ORDER BY uri")
    assert run(request_, only="stale", max_frames=1, sample="99%")["ok"] > 0
    assert ask(request_["lake"], "FROM media ORDER BY uri") == before, "the views stay as they are"


def test_it_is_done_in_pieces_and_says_how_far_it_is(request_, archive):
    (archive / "z.mp4").write_bytes(b"")  # of nothing nobody can be a copy
    run_id = backfill.begin(request_, "by-hand")
    far, piece = [], 0
    while piece is not None:
        planned = backfill.plan(request_, run_id, piece, 1_000)
        assert planned == backfill.plan(request_, run_id, piece, 1_000), "a retry gets the same piece"
        assert len(planned["batches"]) <= 2
        for task in planned["tasks"]:
            tag_batch(request_, run_id, task["batch_id"], "backfills")
            far += ask(request_["lake"], "SELECT media_planned, media_done, progress, left_s FROM runs")
        last, piece = piece, backfill.end_piece(request_, run_id)
    assert last == 2
    assert [row[0] for row in far] == [7] * len(far)
    assert all(row[3] >= 0 for row in far), "and when it will be done"
    for column in (1, 2):
        numbers = [row[column] for row in far]
        assert numbers == sorted(set(numbers)), "it grows with every batch"
    assert ask(request_["lake"], "SELECT state, progress, left_s FROM runs") == [("finished", 1, None)]
    assert not (Path(request_["lake"]) / "work" / run_id).exists()
    assert files(request_["lake"], "failures") == ["z.mp4"]
    check_everything_once(request_["lake"], 6)


def test_a_piece_whose_batches_are_missing_doesnt_end(request_):
    run_id = backfill.begin(request_, "by-hand")
    planned = backfill.plan(request_, run_id, 0, 1_000)
    tag_batch(request_, run_id, planned["batches"][0], "backfills")
    with pytest.raises(LakeError, match=f"1 batches are missing.* shotlog backfill --resume {run_id}"):
        backfill.end_piece(request_, run_id)
    assert backfill.backfill({"lake": request_["lake"]}, Quiet(), run_id)["state"] == "finished"
    check_everything_once(request_["lake"], 6)


def test_hourly_runs_go_on_beside_it_and_leave_it_what_it_has_planned(request_, archive, monkeypatch):
    lake = request_["lake"]
    run_id = backfill.begin(request_, "by-hand")
    batches = backfill.plan(request_, run_id, 0, 1_000)["batches"]
    fill(archive, "new.mp4=cfr.mkv")
    hourly = tag(lake, archive, max_frames=2)
    assert looked_at(lake, hourly["run_id"]) == ["new.mp4"]
    assert ask(lake, f"SELECT state, claimed FROM runs WHERE run_id = '{hourly['run_id']}'") == [("finished", 6)]
    for batch_id in batches:
        tag_batch(request_, run_id, batch_id, "backfills")
    backfill.end_piece(request_, run_id)
    other = backfill.backfill({**request_, "order": "newest"}, Quiet())
    assert looked_at(lake, other["run_id"]) == [], "nor does another backfill"
    monkeypatch.setattr(claims, "STALLED", timedelta(0))
    assert len(looked_at(lake, tag(lake, archive, max_frames=2)["run_id"])) == 4, (
        "one that stands still holds up nobody"
    )
    assert backfill.backfill({"lake": lake}, Quiet(), run_id)["state"] == "finished"
    assert ask(lake, "SELECT count(*) FROM log.taggings") == [(7,)], "and pays for nothing twice"
    check_everything_once(lake, 7)


@pytest.mark.parametrize("kind", ["tag", "backfill"])
def test_a_run_at_rest_holds_nothing_back_and_pays_for_nothing_twice(kind, request_):
    lake = request_["lake"]

    class CtrlC(Quiet):
        def planned(self, _):
            raise KeyboardInterrupt

    how = request_ if kind == "backfill" else {name: request_[name] for name in request_ if name != "piece_batches"}
    with pytest.raises(KeyboardInterrupt):
        {"tag": whole_run.tag, "backfill": backfill.backfill}[kind](how, CtrlC())
    ((first, state),) = ask(lake, "SELECT run_id, state FROM runs")
    assert state == "interrupted"
    assert len(looked_at(lake, run(request_)["run_id"])) == 6
    if kind == "backfill":
        assert backfill.backfill({"lake": lake}, Quiet(), first)["state"] == "finished"
    assert ask(lake, "SELECT count(*) FROM log.taggings") == [(6,)]


def test_one_that_ends_while_another_run_compares_holds_nothing_back(request_, archive, monkeypatch):
    lake = request_["lake"]
    run_id = backfill.begin(request_, "by-hand")
    backfill.plan(request_, run_id, 0, 1_000)
    asked, find = [], claims.claims_of_others

    def cancelled_then(lake, own_id, **how):
        found = find(lake, own_id, **how)
        if not asked:
            backfill.cancel(request_, run_id)
        asked.append(found)
        return found

    monkeypatch.setattr(claims, "claims_of_others", cancelled_then)
    assert tag(lake, archive, max_frames=2)["ok"] == 6
    assert len(asked[0]) == 1


def test_what_a_caller_of_the_api_asks_for_is_looked_at_whoever_has_planned_it(request_, archive):
    run_id = backfill.begin(request_, "by-hand")
    backfill.plan(request_, run_id, 0, 1_000)
    assert tag(request_["lake"], archive / "f.jpg", max_frames=2, callers_urls=True)["ok"] == 1
    assert backfill.backfill({"lake": request_["lake"]}, Quiet(), run_id)["state"] == "finished"
    check_everything_once(request_["lake"], 6)


@pytest.mark.seeds(3, 30)
def test_one_that_is_killed_at_any_moment_goes_on(seed, request_, archive, tmp_path):
    chance, lake = random.Random(seed), request_["lake"]
    options = ["--tagger", "null", "--max-frames", "2", "--workers", "1", "--format", "json"]
    env = environment(tmp_path, SHOTLOG_BATCH_FRAMES="2", SHOTLOG_PIECE_BATCHES="2")
    command = [SHOTLOG, "backfill", str(archive), "--lake", lake, *options]
    for _ in range(chance.randint(2, 4)):
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                process.wait(chance.uniform(0.5, 5))
            except subprocess.TimeoutExpired:
                process.kill()
        begun = ask(lake, "SELECT run_id FROM runs") if (Path(lake) / "lake.json").exists() else []
        if begun:
            command = [SHOTLOG, "backfill", "--lake", lake, "--resume", begun[0][0], *options]
    last = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    finished = ask(lake, "SELECT state FROM runs") == [("finished",)]
    assert last.returncode == 0 or (finished and "no backfill" in last.stderr), last.stderr
    assert finished
    check_everything_once(lake, 6)


def test_ctrl_c_pauses_it(request_, archive, tmp_path):
    env = environment(tmp_path, SHOTLOG_BATCH_FRAMES="1", SHOTLOG_PIECE_BATCHES="1")
    command = [SHOTLOG, "backfill", str(archive), "--lake", request_["lake"], "--tagger", "null", "--workers", "1"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "shotlog backfill --resume RUN" in said
    ((run_id, state),) = ask(request_["lake"], "SELECT run_id, state FROM runs")
    assert state == "interrupted"
    again = shotlog("backfill", "--lake", "lake", "--resume", run_id, "--format", "json", cwd=tmp_path)
    assert (again.returncode, json.loads(again.stdout)["state"]) == (0, "finished"), again.stderr
    check_everything_once(request_["lake"], 6)


def test_one_that_is_cancelled_keeps_what_it_did_and_does_no_more(request_, archive, tmp_path):
    lake = request_["lake"]
    run_id = backfill.begin(request_, "by-hand")
    batches = backfill.plan(request_, run_id, 0, 1_000)["batches"]
    tag_batch(request_, run_id, batches[0], "backfills")
    done = shotlog("backfill", "--lake", "lake", "--cancel", run_id, "--format", "json", cwd=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "cancelled"), done.stderr
    assert sum(tag_batch(request_, run_id, batches[1], "backfills").values()) == 0
    assert backfill.end_piece(request_, run_id) is None
    assert backfill.plan(request_, run_id, 1, 1_000)["batches"] == []
    assert not (Path(lake) / "work" / run_id).exists()
    assert files(lake) == ["a.mp4"]
    assert len(looked_at(lake, tag(lake, archive, max_frames=2)["run_id"])) == 5
    for verb in ("--resume", "--cancel"):
        again = shotlog("backfill", "--lake", "lake", verb, run_id, cwd=tmp_path)
        assert again.returncode == 2
        assert f"there is no backfill '{run_id}' to go on with: open ones are none" in again.stderr


def test_one_whose_cancelling_was_interrupted_is_cancelled_by_another_try(request_):
    run_id = backfill.begin(request_, "by-hand")
    batches = backfill.plan(request_, run_id, 0, 1_000)["batches"]
    with (
        patch("pipeline.lake.writer.commit_batch", side_effect=ConnectionAbortedError),
        suppress(ConnectionAbortedError),
    ):
        tag_batch(request_, run_id, batches[0], "backfills")  # answered, and not committed
    work = Workplace.of(request_)
    with work.lake(read_only=False) as lake, lake.at_work("backfills", alone=False):  # a batch is being looked at
        with pytest.raises(KeyboardInterrupt):
            backfill.cancel(request_, run_id, interrupted)
    assert (Path(request_["lake"]) / "work" / run_id).exists()
    assert backfill.cancel(request_, run_id)["state"] == "cancelled"
    assert not (Path(request_["lake"]) / "work" / run_id).exists()
    assert files(request_["lake"]) == ["a.mp4"], "what was answered is kept"


def interrupted():
    raise KeyboardInterrupt


def test_a_forecast_leaves_out_what_a_backfill_has_planned(request_, archive):
    backfill.plan(request_, backfill.begin({**request_, "media_kinds": "image"}, "by-hand"), 0, 1_000)
    found = forecast({**request_, "sources": str(archive)})
    assert [found[name] for name in ("new", "claimed", "media")] == [6, 2, 4]


def test_a_dry_run_cancels_nothing_and_foresees_what_is_left(request_, tmp_path):
    run_id = backfill.begin({**request_, "media_kinds": "image"}, "by-hand")
    done = shotlog("backfill", "--lake", "lake", "--cancel", run_id, "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert "a backfill is cancelled for good" in done.stderr
    dry = shotlog("backfill", "--lake", "lake", "--resume", run_id, "--dry-run", "--format", "json", cwd=tmp_path)
    assert (dry.returncode, json.loads(dry.stdout)["media"]) == (0, 2), dry.stderr
    assert ask(request_["lake"], "SELECT state FROM runs") == [("running",)]


def test_a_dry_run_foresees_what_is_left_of_one_that_was_killed(request_):
    run_id = backfill.begin({**request_, "limit": 4}, "by-hand")
    batches = backfill.plan(request_, run_id, 0, 1_000)["batches"]
    tag_batch(request_, run_id, batches[0], "backfills")
    found = backfill.foresee({"lake": request_["lake"]}, run_id)
    assert [found[name] for name in ("media", "claimed", "gone")] == [3, 0, 0]
    assert found["frames"]["expected"] == 5, "two films and a picture"
    before = rows(request_["lake"])
    assert backfill.backfill({"lake": request_["lake"]}, Quiet(), run_id)["ok"] == 4
    assert rows(request_["lake"])["taggings"] == before["taggings"] + 3


@pytest.mark.parametrize("moment", ["listed", "planned", "in pieces"])
def test_its_older_listing_never_undoes_what_others_have_seen_since(moment, request_, archive):
    """Whether they saw it before its plan was made, before what it planned was looked at, or before its next piece."""
    lake, how = request_["lake"], {**request_, "piece_batches": 500 if moment == "planned" else 2}
    newer = "SELECT tagging_id FROM media WHERE parse_filename(uri) IN ('f.jpg', 'new.jpg') ORDER BY uri"
    if moment == "listed":
        tag(lake, archive / "e.mp4", archive / "f.jpg", max_frames=2)
    run_id = backfill.begin(how, "by-hand")
    if moment != "listed":
        backfill.plan(how, run_id, 0, 1_000)
    if moment == "in pieces":
        finish_piece(how, run_id)
    (archive / "e.mp4").unlink()
    fill(archive, "f.jpg=coffee.png", "new.jpg=china.jpg")
    tag(lake, archive, max_frames=2)
    seen = ask(lake, newer)
    assert len(seen) == 2
    backfill.plan(how, run_id, None, 1_000)
    assert backfill.backfill({"lake": lake}, Quiet(), run_id)["state"] == "finished"
    assert files(lake) == ["a.mp4", "b.mp4", "c.mp4", "d.png", "f.jpg", "new.jpg"]
    assert ask(lake, newer) == seen
    assert files(lake, "failures") == []
    assert tag(lake, archive, max_frames=2)["unchanged"] == 6


def finish_piece(request, run_id):
    for task in backfill.plan(request, run_id, None, 1_000)["tasks"]:
        backfill.tag_batch(request, run_id, task["batch_id"])
    backfill.end_piece(request, run_id)


@pytest.mark.parametrize("at_once", [True, False])
def test_one_may_be_cancelled_before_it_has_planned_anything(at_once, request_, monkeypatch):
    """Whether a scheduler does it in steps, or one process all of it."""
    lake = request_["lake"]
    if at_once:
        monkeypatch.setattr(backfill, "write_listing", lambda *given: backfill.cancel(request_, given[2]))
        assert run(request_)["state"] == "cancelled"
    else:
        run_id = backfill.begin(request_, "by-hand")
        backfill.cancel({"lake": lake}, run_id)
        assert backfill.plan(request_, run_id, 0, 1_000)["tasks"] == []
        assert backfill.end_piece(request_, run_id) is None
    assert ask(lake, "SELECT state FROM runs") == [("cancelled",)]


@pytest.mark.parametrize("before", ["claim", "batches"])
def test_one_that_is_cancelled_while_it_is_planned_stays_so(before, request_, archive, monkeypatch):
    lake, does = request_["lake"], getattr(plan_steps, before)

    def cancel_first(_, run_id, *given, **more):
        backfill.cancel(request_, run_id)
        return does(_, run_id, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(plan_steps, before, cancel_first)
        summary = run(request_)
    assert (summary["state"], summary["ok"]) == ("cancelled", 0)
    assert not (Path(lake) / "work" / summary["run_id"]).exists()
    assert len(looked_at(lake, tag(lake, archive, max_frames=2)["run_id"])) == 6, "it holds nothing back"


def test_what_is_forgotten_meanwhile_is_not_looked_at(request_, archive):
    lake = request_["lake"]
    run_id = backfill.begin(request_, "by-hand")
    backfill.plan(request_, run_id, 0, 1_000)
    for name in ("b.mp4", "f.jpg"):  # of this piece, and of a later one
        forget({"lake": lake}, [str(archive / name)])
    assert backfill.backfill({"lake": lake}, Quiet(), run_id)["state"] == "finished"
    assert files(lake) == ["a.mp4", "c.mp4", "d.png", "e.mp4"]


def test_one_whose_source_was_forgotten_does_the_others(request_, archive):
    first, second = (str(archive / name) for name in ("a.mp4", "d.png"))
    run_id = backfill.begin({**request_, "sources": [first, second]}, "by-hand")
    (archive / "a.mp4").unlink()
    forget({"lake": request_["lake"]}, [first])
    assert backfill.as_begun({"lake": request_["lake"]}, run_id)["sources"] == [second]
    assert backfill.backfill({"lake": request_["lake"]}, Quiet(), run_id)["state"] == "finished"
    assert files(request_["lake"]) == ["d.png"]


def test_every_step_goes_on_as_it_was_begun(request_, archive):
    """A scheduler that is told no more than which one goes on does what that one was asked to do."""
    lake = request_["lake"]
    tag(lake, archive)
    asked = {**request_, "only": ["stale"], "media_kinds": ["video"], "max_frames": "1"}
    run_id = backfill.begin(asked, "by-hand")
    backfill.plan(asked, run_id, 0, 1_000)
    rest = {"lake": lake}
    assert backfill.begin(rest, "goes-on", run_id) == run_id
    piece = None
    while True:
        planned = backfill.plan(rest, run_id, piece, 1_000)
        for task in planned["tasks"]:
            backfill.tag_batch(rest, run_id, task["batch_id"])
        if (piece := backfill.end_piece(rest, run_id)) is None:
            break
    assert sorted(looked_at(lake, run_id)) == ["a.mp4", "b.mp4", "c.mp4", "e.mp4"]
    assert ask(lake, f"SELECT DISTINCT frames FROM log.taggings WHERE run_id = '{run_id}'") == [(1,)]
    assert ask(lake, f"SELECT state FROM runs WHERE run_id = '{run_id}'") == [("finished",)]


def test_one_without_a_limit_of_frames_goes_on_without(request_):
    run_id = backfill.begin({**request_, "max_frames": "all", "media_kinds": "image"}, "by-hand")
    assert backfill.backfill({"lake": request_["lake"]}, Quiet(), run_id)["ok"] == 2


def test_a_lake_that_has_moved_goes_on_where_it_is_now(request_, tmp_path, monkeypatch):
    run_id = backfill.begin(request_, "by-hand")
    Path(request_["lake"]).rename(tmp_path / "elsewhere")
    monkeypatch.setenv("SHOTLOG_LAKE", str(tmp_path / "elsewhere"))
    assert backfill.backfill({}, Quiet(), run_id)["state"] == "finished"
    check_everything_once(tmp_path / "elsewhere", 6)


def test_it_goes_on_under_its_own_recipe_alone(request_):
    run_id = backfill.begin(request_, "by-hand")
    with pytest.raises(UsageError, match=f"was begun under another recipe.* --cancel {run_id}"):
        backfill.backfill({"lake": request_["lake"], "max_frames": 9}, Quiet(), run_id)


def test_a_budget_ends_it_until_somebody_gives_more(request_, archive):
    prices = archive.parent / "prices.toml"
    prices.write_text('currency = "USD"\ngpu_hour = 1000000\n[taggers.null]\ngpus = 1\nframes_per_s = 1\n')
    spent = run(request_, prices=str(prices), budget="0.001 USD")
    assert (spent["state"], spent["ok"]) == ("stopped", 0)
    assert ask(request_["lake"], "SELECT kind, state FROM runs") == [("backfill", "stopped")]
    again = backfill.backfill({"lake": request_["lake"], "budget": "1000000 USD"}, Quiet(), spent["run_id"])
    assert (again["state"], again["ok"]) == ("finished", 6), again


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--only", "nope"], "unknown reason to tag 'nope': known are changed, failed, failed:CODE, new, stale"),
        (["--only", "failed:nope"], "unknown error code 'nope': known are access_denied"),
        (["--only", "new:x"], "unknown reason to tag 'new:x'"),
        (["--media-kinds", "audio"], "media_kinds.0 can't be 'audio': input should be 'image' or 'video'"),
        (["--modified-since", "yesterday"], "modified_since can't be 'yesterday'"),
        (["--order", "random"], "order can't be 'random'"),
        (["--resume", "x"], "give either URIs, or --resume, or --cancel"),
    ],
)
@pytest.mark.usefixtures("archive")
def test_what_cant_be_meant(options, sentence, tmp_path):
    done = shotlog("backfill", "in", "--lake", "lake", *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert not (tmp_path / "lake").exists()


@pytest.mark.usefixtures("archive")
def test_nothing_there_is_no_error_and_a_dry_run_writes_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    dry = shotlog("backfill", "in", "--lake", "lake", "--dry-run", "--format", "json", cwd=tmp_path)
    assert (dry.returncode, json.loads(dry.stdout)["new"]) == (0, 6), dry.stderr
    assert not (tmp_path / "lake").exists()
    none = shotlog("backfill", "in", "--lake", "lake", "--dry-run", "--modified-since", "2030-01-01", cwd=tmp_path)
    assert none.returncode == 0, none.stderr
    assert "6 were left out by --include, --exclude, --media-kinds or their dates" in none.stderr
    assert "no image or video lies there" not in none.stderr
    done = shotlog("backfill", "empty", "--lake", "lake", "--tagger", "null", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "listed 0 media objects" in done.stderr
    assert rows(tmp_path / "lake")["taggings"] == 0
