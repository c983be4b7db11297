"""SIGKILL while a model answers: what is journalled is never asked again, as the server counted it.

A journal is written more often here than in earnest, where a kill may cost the answers of the last seconds.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from demo.services import wait_until
from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.publish import publish_run
from tests.integration.doors import ask, fill, tag
from tests.models.answers import short_answers

OFTEN = """
import json, sys
from pipeline.steps import desk, media_in_hand
desk.KEEP_EVERY_S = media_in_hand.KEEP_EVERY_S = 0.05
desk.MOST_OF_THE_TIME = 0.9
"""
TAG_BATCH = f"{OFTEN}from pipeline.steps.tag import tag_batch; tag_batch(*json.loads(sys.argv[1]))"
RUN = f"""{OFTEN}
from pipeline.steps.run import tag
from tests.integration.quiet import Quiet
tag(json.loads(sys.argv[1]), Quiet())"""
FRAMES = 10 + 4 + 1


@pytest.fixture
def request_(held_server, tmp_path):
    fill(tmp_path / "archive", "bikes.mp4", "carphone_pristine.mp4", "coffee.png")
    return {
        "sources": str(tmp_path / "archive"),
        "lake": str(tmp_path / "lake"),
        "tagger": f"openai:{held_server.model}",
        "openai_base_url": held_server.url,
        "openai_in_flight": 2,
        "workers": 2,
        "metadata": "tags",
        "context_sidecar": ".txt",
        **short_answers(tmp_path),
    }


def say(request_, attempt):
    """Tell every prompt which attempt it belongs to; a sidecar isn't part of the recipe."""
    for media in Path(request_["sources"]).glob("*.[mp][pn][4g]"):
        media.with_name(f"{media.name}.txt").write_text(f"attempt {attempt}")


def asked(server, attempt):
    """Pictures that were asked about in an attempt, and how many films were summed up."""
    told = [each for each in server.asked() if any(f"attempt {attempt}\n" in text for text in each["texts"])]
    return [each["pictures"][0] for each in told if each["pictures"]], sum(not each["pictures"] for each in told)


def journalled(lake):
    """Frames that a killed attempt has kept, of all its media."""
    entries = [json.loads(path.read_text()) for path in Path(lake).glob("work/*/journal/*.json")]
    return sum(len(entry["frames"]) for entry in entries)


def kill_midway(code, argument, lake, kept):
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(argument)]) as killed:
        wait_until("journalled frames", lambda: kept <= journalled(lake) or None, seconds=60)
        killed.kill()
    return journalled(lake)


def check_everything_once(lake):
    assert ask(lake, "SELECT status, count(*) FROM log.taggings GROUP BY ALL") == [("ok", 3)]
    assert ask(lake, "SELECT count(*), count(DISTINCT (uri, timestamp_s)) FROM timestamps") == [(FRAMES, FRAMES)]
    assert ask(lake, "SELECT count(*) FROM timestamps WHERE caption_source IS DISTINCT FROM 'vlm'") == [(0,)]
    assert ask(lake, "SELECT kind, count(summary) FROM media GROUP BY ALL ORDER BY kind") == [
        ("image", 0),
        ("video", 2),
    ]


@pytest.mark.seeds(3, 10)
def test_a_task_killed_while_a_model_answers_asks_only_for_what_was_not_kept(seed, request_, held_server):
    chance, lake = random.Random(seed), request_["lake"]
    run_id = list_media(request_, "task")["run_id"]
    (batch_id,) = plan_batches(request_, run_id)["batches"]
    attempt, kept = f"{seed}.0", 0
    for number in range(2):
        attempt = f"{seed}.{number}"
        say(request_, attempt)
        kept = kill_midway(TAG_BATCH, [request_, run_id, batch_id], lake, kept + chance.randint(1, 5))
    say(request_, f"{seed}.last")
    subprocess.run([sys.executable, "-c", TAG_BATCH, json.dumps([request_, run_id, batch_id])], check=True)
    pictures, _ = asked(held_server, f"{seed}.last")
    assert len(pictures) == len(set(pictures)) == FRAMES - kept
    assert publish_run(request_, run_id)["state"] == "finished"
    check_everything_once(lake)


def test_a_run_killed_while_a_model_answers_is_taken_over_without_asking_again(request_, held_server):
    say(request_, "command 1")
    kept = kill_midway(RUN, request_, request_["lake"], 4)
    say(request_, "command 2")
    assert (
        tag(
            request_["lake"], request_["sources"], **{k: v for k, v in request_.items() if k not in ("lake", "sources")}
        )["state"]
        == "finished"
    )
    pictures, _ = asked(held_server, "command 2")
    assert len(pictures) == FRAMES - kept
    check_everything_once(request_["lake"])
