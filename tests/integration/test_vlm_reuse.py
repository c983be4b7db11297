"""A picture that stands still is looked at once, and what wasn't looked at says so (issue: `reuse_distance`).

The films are made of photographs that stand for ten seconds each. Requests are counted at the server, which is
scripted: its answers mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from pytest_httpserver import HTTPServer

from tests.integration.doors import ask, fill, tag
from tests.media import media
from tests.servers.scripted import MODEL, Reply, Scripted, body, listening, refuses, says

GOOD = says(
    json.dumps(
        {
            "caption": "A cup.",
            "categories": ["food"],
            "participants": [{"label": "cup", "kind": "object", "count": 1}],
            "actions": ["steaming"],
            "scene": ["cafe"],
            "tags": ["coffee"],
            "rating": {"label": "safe", "score": 0.9},
            "summary": "A cup, then a cat.",
        }
    )
)
BROKEN = refuses(500, "Internal error", Retry_After="0.01")
KINDS = ("categories", "participants", "actions", "scene", "tags", "rating")
WIDTH, HEIGHT, RATE, STANDS_S = 160, 96, 8, 10


def slides(path: Path, *names: str) -> None:
    """A film of these photographs, each of which stands for ten seconds."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for name in names:
            picture = np.asarray(Image.open(media(name)).convert("RGB").resize((WIDTH, HEIGHT)))
            for _ in range(STANDS_S * RATE):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))


@pytest.fixture(scope="module")
def http() -> Iterator[HTTPServer]:
    with listening() as http:
        yield http


def served(http: HTTPServer) -> Scripted:
    scripted = Scripted(http)
    scripted.models = body({"object": "list", "data": [{"id": MODEL, "max_model_len": 32_768}]})
    scripted.always = GOOD
    return scripted


def settings_for(server: Scripted) -> dict[str, Any]:
    asked_with = {"tagger": f"openai:{MODEL}", "openai_base_url": server.url, "openai_in_flight": 2}
    return {**asked_with, "metadata": ",".join(KINDS), "reuse_distance": 2}


@pytest.fixture
def server(http):
    return served(http)


@pytest.fixture
def settings(server):
    return settings_for(server)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A folder with a film of a cup and then a cat, ten seconds each."""
    folder = tmp_path_factory.mktemp("slides")
    slides(folder / "slides.mp4", "coffee.png", "chelsea.png")
    return folder


def asked(server: Scripted) -> tuple[int, int]:
    """Requests about a picture, and about none: summaries."""
    pictures = sum("image_url" in json.dumps(sent) for sent in server.seen)
    return pictures, len(server.seen) - pictures


def in_turn(*replies: Reply) -> Reply:
    """These replies one after the other, then good ones. For requests one at a time."""
    waiting = list(replies)
    return lambda sent: (waiting.pop(0) if waiting else GOOD)(sent)


@pytest.fixture(scope="module")
def looked_at(http, still, tmp_path_factory):
    """A lake of that film with twins, and the server it was looked at by."""
    scripted = served(http)
    lake = tmp_path_factory.mktemp("twins") / "lake"
    tag(lake, still, **settings_for(scripted))
    return lake, scripted


def test_each_picture_is_asked_about_once_and_its_twins_say_from_where_they_have_it(looked_at):
    lake, server = looked_at
    assert asked(server) == (2, 1)
    moments = ask(
        lake, "SELECT timestamp_s, reused_from_s, caption, caption_source FROM timestamps ORDER BY timestamp_s"
    )
    assert len(moments) == 2 * STANDS_S
    origins = [at for at, reused, _, _ in moments if reused is None]
    assert len(origins) == 2 and origins[0] < 1 and STANDS_S < origins[1] < STANDS_S + 1
    assert all(reused == origins[at > STANDS_S] for at, reused, _, _ in moments if reused is not None)
    assert {(caption, source) for _, _, caption, source in moments} == {("A cup.", "vlm")}
    assert ask(lake, "SELECT status, frames, frame_budget FROM media") == [("ok", 20, 20)]


def test_every_label_says_whether_it_was_looked_at(looked_at):
    labels = " UNION ALL ".join(f"SELECT '{kind}' AS kind, timestamp_s, reused_from_s FROM {kind}" for kind in KINDS)
    found = f"""
        SELECT kind, count(*), count(labels.reused_from_s),
            count(*) FILTER (labels.reused_from_s IS DISTINCT FROM timestamps.reused_from_s)
        FROM ({labels}) AS labels
        JOIN timestamps USING (timestamp_s)
        GROUP BY kind ORDER BY kind"""
    assert ask(looked_at[0], found) == [(kind, 20, 18, 0) for kind in sorted(KINDS)]


def test_what_was_not_looked_at_costs_nothing_shows_no_evidence_and_tells_the_summary_nothing(looked_at):
    lake, server = looked_at
    reused = "SELECT max(prompt_tokens), max(completion_tokens) FROM timestamps WHERE reused_from_s IS NOT NULL"
    assert ask(lake, reused) == [(0, 0)]
    assert ask(lake, "SELECT prompt_tokens, completion_tokens FROM media") == [(3 * 11, 3 * 7)]
    shown = "SELECT count(*), count(reused_from_s) FROM thumbnails JOIN timestamps USING (tagging_id, timestamp_s)"
    assert ask(lake, shown) == [(2, 0)]
    (summed_up,) = (sent for sent in server.seen if "These captions" in json.dumps(sent))
    assert summed_up["messages"][0]["content"].count("A cup.") == 2


def test_without_a_distance_every_frame_is_asked_about_and_that_is_another_recipe(server, settings, still, tmp_path):
    lake = tmp_path / "lake"
    tag(lake, still, **{**settings, "reuse_distance": 0})
    assert asked(server) == (20, 1)
    assert ask(lake, "SELECT count(*), count(reused_from_s) FROM timestamps") == [(20, 0)]
    assert tag(lake, still, **settings)["stale"] == 1
    assert asked(server) == (20, 1)


def test_a_twin_never_crosses_a_cut_that_was_found(server, settings, tmp_path):
    """At the greatest distance all pictures are alike; only shots still tell them apart."""
    archive = fill(tmp_path / "in", "bikes.mp4")
    loosest = {**settings, "reuse_distance": 64}
    tag(tmp_path / "uniform", archive, **loosest)
    assert asked(server) == (1, 1)
    server.seen.clear()
    tag(tmp_path / "shots", archive, **loosest, sampling="shots")
    assert asked(server) == (6, 1)
    assert ask(tmp_path / "shots", "SELECT count(*), count(reused_from_s) FROM timestamps") == [(6, 0)]


def test_where_the_frame_itself_failed_its_twins_are_not_answered_either(server, settings, still, tmp_path):
    lake, one_by_one = tmp_path / "lake", {**settings, "openai_in_flight": 1, "openai_deadline_s": 3}
    server.always = in_turn(*[BROKEN] * 6)
    tag(lake, still, **one_by_one)
    assert ask(lake, "SELECT status, frames, error_code, summary FROM media") == [("partial", 10, "model_failed", None)]
    assert ask(lake, "SELECT min(timestamp_s) > 10, count(DISTINCT reused_from_s) FROM timestamps") == [(True, 1)]

    server.seen.clear()
    assert tag(lake, still, **one_by_one)["retried"] == 1
    assert asked(server) == (1, 1), "the frame that failed and the summary: its twins take its answer over"
    assert ask(lake, "SELECT status, frames FROM media") == [("ok", 20)]
    assert ask(lake, "SELECT count(*), count(DISTINCT reused_from_s) FROM timestamps WHERE reused_from_s > 0") == [
        (18, 2)
    ]
    assert ask(lake, "SELECT count(*) FROM thumbnails") == [(2,)]


def test_a_lasting_failure_of_a_frame_leaves_the_film_partial(server, settings, still, tmp_path):
    lake, one_by_one = tmp_path / "lake", {**settings, "openai_in_flight": 1}
    server.always = in_turn(GOOD, says(None, refusal="I can't help with that."))
    tag(lake, still, **one_by_one)
    assert ask(lake, "SELECT status, frames, error_code FROM media") == [("partial", 10, "answer_refused")]
    assert ask(lake, "SELECT max(timestamp_s) < 10 FROM timestamps") == [(True,)]
    seen = len(server.seen)
    assert tag(lake, still, **one_by_one)["waiting"] == 1
    assert len(server.seen) == seen
