"""Two runs over one bucket at the same time, and one task of Airflow's that is run twice at once: each media once."""

from contextlib import ExitStack

import pytest

from pipeline.steps.listing import list_media
from pipeline.steps.plan import plan_batches
from pipeline.steps.publish import publish_run
from pipeline.steps.tag import tag_batch
from tests.faults.children import child, code
from tests.faults.invariants import read_throughout
from tests.faults.places import Place
from tests.integration.doors import ask, tag

NAMES = [f"{number}.{ending}" for number in range(4) for ending in ("png", "mp4")]


@pytest.fixture
def place(s3, tmp_path, monkeypatch):
    place = Place(s3, tmp_path)
    for name, value in place.env.items():
        monkeypatch.setenv(name, value)
    place.put("first.png", "text.mov")
    place.tag()
    place.put(*NAMES)
    return place


def at_once(place, work, *arguments):
    """Two processes do this at the same time."""
    with read_throughout(place.lake, place.catalog), ExitStack() as both:
        processes = [both.enter_context(child(work, *arguments, env=place.env)) for _ in range(2)]
        assert [code(process) for process in processes] == [0, 0]


def tag_small(lake, source):
    assert tag(lake, source, batch_frames=2, freeze="off")["state"] == "finished"


@pytest.mark.seeds(3, 15)
def test_two_runs_over_one_bucket(seed, place):  # noqa: ARG001
    at_once(place, tag_small, place.lake, place.source)
    assert ask(place.lake, "SELECT count(*) FROM log.taggings") == [(len(NAMES) + 2,)], "looked at twice"
    place.check_whole(["first.png", *NAMES], ["text.mov"])


@pytest.mark.seeds(3, 15)
def test_one_task_twice(seed, place):  # noqa: ARG001
    request = {"sources": place.source, "lake": place.lake, "tagger": "null", "workers": 1}
    run_id = list_media(request, "scheduled")["run_id"]
    (batch_id,) = plan_batches(request, run_id)["batches"]
    at_once(place, tag_batch, request, run_id, batch_id)
    assert ask(place.lake, "SELECT count(*) FROM log.batches WHERE batch = '000000'") == [(2,)]
    assert publish_run(request, run_id)["state"] == "finished"
    place.check_whole(["first.png", *NAMES], ["text.mov"])
