"""Ctrl-C while a model answers, and long videos beside short ones.

The server is scripted; its answers mean nothing.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from demo.services import wait_until
from pipeline.model import Frame
from pipeline.steps import reading
from pipeline.steps.handoff import Handoff
from tests.integration.doors import ask, environment, fill, tag
from tests.servers.scripted import MODEL, Reply, Scripted, body, listening, says

GOOD = says(json.dumps({"caption": "A cup.", "tags": ["cup"], "summary": "A cup, all the time."}))
FRAMES = 10
"""Of bikes.mp4."""

ONE_AFTER_THE_OTHER = [
    sys.executable,
    "-c",
    "from pipeline.steps import reading; reading.AHEAD = 1; from pipeline.cli.main import main; main()",
]
"""shotlog that fetches nothing ahead: the film would otherwise come before the picture now and then."""

FILM = (96, 160, 3)
"""Shape of a frame of long.mp4."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with listening() as http:
        scripted = Scripted(http)
        scripted.models = body({"object": "list", "data": [{"id": MODEL, "max_model_len": 32_768}]})
        yield scripted


def after(count: int, still_there: threading.Event) -> Reply:
    """Good answers to so many requests; who asks more waits."""
    asked = iter(range(count))

    def reply(sent):
        if next(asked, None) is None:
            still_there.wait()
        return GOOD(sent)

    return reply


def journalled(lake):
    entries = [json.loads(path.read_text()) for path in lake.glob("work/*/journal/*.json")]
    return sum(len(entry["frames"]) for entry in entries if not entry["finished"])


def test_ctrl_c_while_a_model_answers_commits_what_is_finished_and_keeps_what_is_answered(server, tmp_path):
    archive, lake = fill(tmp_path / "in", "a.png=coffee.png", "bikes.mp4"), tmp_path / "lake"
    settings = {"tagger": f"openai:{MODEL}", "metadata": "tags", "openai_base_url": server.url, "openai_in_flight": 2}
    env = environment(tmp_path, **{f"SHOTLOG_{name.upper()}": str(value) for name, value in settings.items()})
    over = threading.Event()
    server.always = after(1 + 4, over)
    command = [*ONE_AFTER_THE_OTHER, "tag", str(archive), "--lake", str(lake), "--workers", "1"]
    with subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True, stderr=subprocess.PIPE) as run:
        wait_until("requests that wait", lambda: len(server.seen) == 1 + 4 + 2 or None, seconds=60)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does, which tells the decoders, too
        said = run.stderr.read().decode()
    over.set()
    assert (run.returncode, "Traceback" in said) == (130, False)
    assert "interrupted: 1 of 2 media are done and kept" in said
    assert ask(lake, "SELECT parse_filename(uri), status FROM log.taggings") == [("a.png", "ok")]
    assert ask(lake, "SELECT state FROM runs") == [("interrupted",)]
    kept = journalled(lake)
    assert 1 <= kept <= 4

    server.seen.clear()
    assert tag(lake, archive, **settings)["state"] == "finished"
    pictures = [sent for sent in server.seen if "image_url" in json.dumps(sent)]
    assert (len(pictures), len(server.seen)) == (FRAMES - kept, FRAMES - kept + 1)
    assert ask(lake, "SELECT status, count(*) FROM log.taggings GROUP BY status") == [("ok", 2)]
    assert ask(lake, "SELECT count(*), count(DISTINCT (uri, timestamp_s)) FROM timestamps") == [(FRAMES + 1,) * 2]


def test_a_long_video_holds_up_no_short_one_and_few_of_its_frames_wait(tmp_path, monkeypatch):
    """Two readers, and a queue of four frames of the film: a picture larger than all of it gets its turn."""
    archive = fill(tmp_path / "in", "a.mp4=long.mp4", "b.png=coffee.png")
    most_bytes, order, sizes = 4 * math.prod(FILM), [], []

    class Watched(Handoff):
        def put(self, item):
            if isinstance(item, Frame) and item.image.shape != FILM:
                wait_until("the film to wait for room", lambda: len(self._line) or None, seconds=60)
            super().put(item)

        def get(self, wait_s):
            if len(order) == 2:
                wait_until("both readers to wait", lambda: len(self._line) == 2 or None, seconds=60)
            sizes.append(self._bytes)
            item = super().get(wait_s)
            if isinstance(item, Frame):
                order.append(item.image.shape)
            return item

    monkeypatch.setattr(reading, "Handoff", partial(Watched, most_bytes))
    tag(lake := tmp_path / "lake", archive, workers=2)
    assert ask(lake, "SELECT frames FROM media ORDER BY uri") == [(30,), (1,)]
    (picture,) = (at for at, shape in enumerate(order) if shape != FILM)
    assert len(order) == 31 and picture <= 2 + 4 + 1, "after what waited before it, and before the rest of the film"
    assert max(sizes) in (most_bytes, 400 * 600 * 3), "one picture may be larger, and waits alone"
