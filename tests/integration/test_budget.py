"""A budget stops a run cleanly: what is finished is kept, nothing is paid for beyond it, the next run does the rest."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import timedelta
from functools import partial

import pytest
from PIL import Image

from pipeline.errors import LakeError, UsageError
from pipeline.lake import writer
from pipeline.steps import backfill, claims, publish, spending
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.publish import publish_run
from pipeline.steps.tag import tag_batch
from pipeline.steps.workplace import Workplace
from tests.integration.doors import ask, fill, shotlog, tag
from tests.integration.quiet import Quiet
from tests.servers.scripted import MODEL, Scripted, listening, says

A_FRAME = 18  # tokens, by the server's own word
PRICES = """
[taggers.openai]
frames_per_s = 10
prompt_tokens = 11
completion_tokens = 7
million_prompt_tokens = 1000
million_completion_tokens = 1000
"""
SPENT = "SELECT coalesce(sum(tokens), 0) FROM runs"


@pytest.fixture
def server(tmp_path, monkeypatch):
    with listening() as http:
        scripted = Scripted(http)
        scripted.always = says(json.dumps({"caption": "A cup.", "tags": ["cup"]}))
        (tmp_path / "prices.toml").write_text(PRICES)
        for name, value in {"OPENAI_BASE_URL": http.url_for("/v1"), "CONTEXT_TOKENS": "9000"}.items():
            monkeypatch.setenv(f"SHOTLOG_{name}", value)
        monkeypatch.setenv("SHOTLOG_PRICES", str(tmp_path / "prices.toml"))
        yield scripted


@pytest.fixture
def archive(tmp_path):
    """Twenty different pictures: copies would cost nothing."""
    (tmp_path / "in").mkdir()
    for number in range(20):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / "in" / f"{number:02}.png")
    return tmp_path / "in"


ASKED = {"tagger": f"openai:{MODEL}", "metadata": "tags", "openai_in_flight": 2}


@pytest.mark.parametrize(
    ("budget", "done"),
    [("100 tokens", 5), ("1k tokens", 20), ("0.1 USD", 5), ("17 tokens", 0)],
)
def test_a_run_stops_where_its_budget_is_spent_and_the_next_one_goes_on(budget, done, server, archive, tmp_path):
    first = tag(tmp_path / "lake", archive, budget=budget, batch_frames=8, **ASKED)
    assert (first["ok"], first["state"]) == (done, "finished" if done == 20 else "stopped")
    assert ask(tmp_path / "lake", SPENT) == [(done * A_FRAME,)]
    assert len(server.seen) == done
    assert ask(tmp_path / "lake", "SELECT count(*) FROM failures") == [(0,)], "what is left gets no row"
    again = tag(tmp_path / "lake", archive, **ASKED)
    assert (again["ok"], again["state"]) == (20 - done, "finished")
    assert ask(tmp_path / "lake", "SELECT count(*), count(DISTINCT media_id) FROM log.taggings") == [(20, 20)]
    assert len(server.seen) == 20


def test_the_tasks_of_a_scheduler_share_one_budget(server, archive, tmp_path):
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "budget": "150 tokens", "workers": 1, **ASKED}
    run_id = list_media(request, "tasks")["run_id"]
    batches = plan_batches({**request, "batch_frames": 5}, run_id)["batches"]
    assert len(batches) == 4
    assert [tag_batch(request, run_id, batch)["ok"] for batch in batches] == [5, 3, 0, 0]
    assert publish_run(request, run_id)["state"] == "stopped"
    assert ask(tmp_path / "lake", SPENT) == [(8 * A_FRAME,)]
    assert len(server.seen) == 8


def test_tasks_beside_each_other_spend_no_more_than_one_would(server, archive, tmp_path):
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "budget": "150 tokens", "workers": 1, **ASKED}
    run_id = list_media(request, "tasks")["run_id"]
    batches = plan_batches({**request, "batch_frames": 5}, run_id)["batches"]
    with ThreadPoolExecutor() as threads:
        done = sum(summary["ok"] for summary in threads.map(partial(tag_batch, request, run_id), batches))
    assert len(server.seen) == done
    assert 0 < done <= 150 // A_FRAME
    assert publish_run(request, run_id)["state"] == "stopped"
    assert tag(tmp_path / "lake", archive, **ASKED)["ok"] == 20 - done
    assert ask(tmp_path / "lake", ONCE) == [(20, 20)]


ONCE = "SELECT count(*), count(DISTINCT media_id) FROM log.taggings"


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed before it drops its journal"])
def test_a_backfill_that_stops_twice_in_a_batch_pays_for_nothing_twice(killed, server, archive, tmp_path, monkeypatch):
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "batch_frames": 8, "workers": 1, **ASKED}
    run_id = None
    for budget, done in (("100 tokens", 5), ("130 tokens", 7), ("1k tokens", 20)):
        with monkeypatch.context() as patched, suppress(ConnectionAbortedError) if killed else nullcontext():
            if killed and done < 20:
                patched.setattr(writer, "commit_batch", partial(_commit_and_die, writer.commit_batch))
            backfill.backfill({**request, "budget": budget}, Quiet(), run_id)
        ((run_id, state),) = ask(tmp_path / "lake", "SELECT run_id, state FROM runs")
        assert (len(server.seen), ask(tmp_path / "lake", ONCE)) == (done, [(done, done)])
    assert state == "finished"
    assert not (tmp_path / "lake" / "work" / run_id).exists()


def _commit_and_die(commit, *batch, **more):
    commit(*batch, **more)
    raise ConnectionAbortedError


def test_what_other_runs_did_while_a_backfill_rested_isnt_paid_for_again(server, archive, tmp_path, monkeypatch):
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "batch_frames": 8, "workers": 1, **ASKED}
    stopped = backfill.backfill({**request, "budget": "100 tokens"}, Quiet())
    monkeypatch.setattr(claims, "STALLED", timedelta(0))
    assert tag(tmp_path / "lake", archive, limit=8, batch_frames=8, **ASKED)["ok"] == 8
    assert backfill.backfill({**request, "budget": "1k tokens"}, Quiet(), stopped["run_id"])["state"] == "finished"
    assert (len(server.seen), ask(tmp_path / "lake", ONCE)) == (20, [(20, 20)])


@pytest.mark.usefixtures("server")
def test_gpu_hours_run_by_the_clock(archive, tmp_path):
    (tmp_path / "prices.toml").write_text("[taggers.openai]\nframes_per_s = 10\ngpus = 1\n")
    summary = tag(tmp_path / "lake", archive, budget="0.00000001 GPU-hours", **ASKED)
    assert (summary["ok"], summary["state"]) == (0, "stopped")
    assert tag(tmp_path / "lake", archive, budget="10 GPU-hours", **ASKED)["state"] == "finished"


@pytest.mark.usefixtures("server")
def test_what_takes_more_than_the_whole_budget_is_named_and_hinders_nothing_else(archive, tmp_path):
    fill(archive, "00-film.mp4=bikes.mp4")  # ten frames
    wide = {**ASKED, "workers": 1}
    asked = {"sources": str(archive), "lake": str(tmp_path / "lake"), "limit": 8, **wide}
    first = tag(tmp_path / "lake", archive, budget="150 tokens", limit=8, **wide)
    assert (first["ok"], first["state"]) == (7, "stopped")
    assert first["error"] == f"'{archive}/00-film.mp4' takes more than the whole budget of 150 tokens"
    assert ask(tmp_path / "lake", SPENT) == [(7 * A_FRAME,)]
    assert backfill.backfill({**asked, "budget": "150 tokens"}, Quiet())["state"] == "stopped", "and doesn't go round"
    assert tag(tmp_path / "lake", archive, **wide)["state"] == "finished"
    assert ask(tmp_path / "lake", "SELECT count(*) FROM media") == [(21,)]


def test_a_backfill_goes_round_what_takes_more_than_the_whole_budget(server, archive, tmp_path):
    fill(archive, "00-film.mp4=bikes.mp4", "05-film.mp4=bikes.mp4", "19-film.mp4=bigbuckbunny.mp4")
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "workers": 1, **ASKED}
    request |= {"batch_frames": 8, "piece_batches": 1, "sampling": "every:200ms", "max_frames": 30}
    first = backfill.backfill({**request, "budget": "400 tokens"}, Quiet())
    assert (first["ok"], first["state"], len(server.seen)) == (20, "stopped", 20)
    sentence = f"'{archive}/00-film.mp4' and 2 more take more than the whole budget of 400 tokens"
    assert first["error"] == sentence
    again = backfill.backfill({**request, "budget": "400 tokens"}, Quiet(), first["run_id"])
    assert (again["ok"], again["state"], again["error"], len(server.seen)) == (20, "stopped", sentence, 20)
    last = backfill.backfill({**request, "budget": "10k tokens"}, Quiet(), first["run_id"])
    assert (last["ok"], last["partial"], last["state"]) == (20, 3, "finished"), "the server sums nothing up"
    assert ask(tmp_path / "lake", ONCE) == [(23, 23)]
    assert not (tmp_path / "lake" / "work" / first["run_id"]).exists()


def test_a_backfill_that_was_killed_as_its_budget_ended_goes_on_with_a_higher_one(
    server, archive, tmp_path, monkeypatch
):
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "batch_frames": 8, "piece_batches": 1, **ASKED}
    with monkeypatch.context() as patched, pytest.raises(ConnectionAbortedError):
        patched.setattr(backfill, "end_run", _die)
        patched.setattr(publish, "end_run", _die)
        backfill.backfill({**request, "budget": "100 tokens"}, Quiet())
    ((run_id, state),) = ask(tmp_path / "lake", "SELECT run_id, state FROM runs")
    assert (state, len(server.seen)) == ("running", 5)
    assert backfill.backfill({**request, "budget": "1k tokens"}, Quiet(), run_id)["state"] == "finished"
    assert ask(tmp_path / "lake", ONCE) == [(20, 20)]


def _die(*_, **__):
    raise ConnectionAbortedError


@pytest.mark.usefixtures("server")
def test_a_batch_that_is_missing_isnt_taken_for_one_that_was_put_aside(archive, tmp_path):
    fill(archive, "00-film.mp4=bikes.mp4")
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "budget": "150 tokens", "workers": 1, **ASKED}
    request |= {"batch_frames": 8, "limit": 8}
    run_id = backfill.begin(request, "by-hand")
    with_film, other = backfill.plan(request, run_id, 0, 1_000)["batches"]
    assert backfill.tag_batch(request, run_id, with_film)["ok"] == 0
    with pytest.raises(LakeError, match="1 batches are missing"):
        backfill.end_piece(request, run_id)
    assert backfill.tag_batch(request, run_id, other)["ok"] == 7
    assert backfill.end_piece(request, run_id) is None
    assert ask(tmp_path / "lake", "SELECT state FROM runs") == [("stopped",)]


@pytest.mark.parametrize("where", ["amid a batch", "in its commit"])
def test_what_was_broken_off_is_counted(where, archive, tmp_path, monkeypatch):
    request = {"sources": str(archive), "lake": str(tmp_path / "lake"), "workers": 1, "tagger": "null"}
    (tmp_path / "prices.toml").write_text("[taggers.null]\nframes_per_s = 1000\ngpus = 1\n")
    request |= {"prices": str(tmp_path / "prices.toml"), "budget": "10 GPU-hours"}
    worked = [0.0]

    def interrupt(*_, seconds=0.0, **__):
        worked.append(seconds)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        owner, name = (Quiet, "tagged") if where == "amid a batch" else (writer, "commit_batch")
        patched.setattr(owner, name, interrupt)
        backfill.backfill(request, Quiet())
    ((run_id, state, before),) = ask(tmp_path / "lake", "SELECT run_id, state, gpu_hours FROM runs")
    assert (state, before * 3600 > max(worked)) == ("interrupted", True)
    assert backfill.backfill(request, Quiet(), run_id)["state"] == "finished"
    ((after, committed),) = ask(
        tmp_path / "lake",
        "SELECT gpu_hours, (SELECT sum(seconds) / 3600 FROM log.batches WHERE run_id = runs.run_id) FROM runs",
    )
    assert after == pytest.approx(before + committed)
    with Workplace.of(request).lake() as lake:
        assert spending._taken(lake.con, run_id).seconds == pytest.approx(after * 3600)


def test_a_unit_nobody_knows_is_refused_before_anything_is_made(archive, tmp_path):
    with pytest.raises(UsageError, match="budget can't be '5 apples': give an amount above 0 and a unit"):
        tag(tmp_path / "lake", archive, budget="5 apples")
    done = shotlog("tag", "in", "--budget", "12", "--tagger", "null", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "as '2.50 USD', '10 GPU-hours' or '1M tokens'" in done.stderr
    assert not (tmp_path / "lake").exists()


@pytest.mark.usefixtures("server", "archive")
def test_the_command_says_that_it_stopped(tmp_path):
    command = ["tag", "in", "--tagger", f"openai:{MODEL}", "--metadata", "tags", "--budget", "40 tokens"]
    ours = {name: value for name, value in os.environ.items() if name.startswith("SHOTLOG_")}
    done = shotlog(*command, "--workers", "1", "--format", "json", cwd=tmp_path, **ours)
    assert (done.returncode, json.loads(done.stdout)["state"]) == (0, "stopped"), done.stderr
    assert (
        "of 40 tokens is spent: what is left, the next run does, as far as its own budget goes"
        in done.stderr.replace("\n", " ")
    )
    done = shotlog("backfill", *command[1:], "--workers", "1", cwd=tmp_path, **ours)
    assert "is spent: go on with a higher --budget: shotlog backfill --resume " in done.stderr.replace("\n", " ")
