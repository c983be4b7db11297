"""The server has as many requests as it may have, for as long as there is work: also from one batch to the next."""

from __future__ import annotations

import pytest

from tests.benchmark.archive import remux
from tests.benchmark.busy import ANSWER
from tests.benchmark.table import Figure, markdown
from tests.integration.doors import tag
from tests.media import media
from tests.servers.started import paced

FILMS, FRAMES, BATCHES = 16, 4, 4


@pytest.fixture
def server(tmp_path):
    """One that takes little of what a reader can bring, however busy this machine is."""
    with paced(tmp_path, seconds=0.1, at_once=2, text=ANSWER) as started:
        yield started


def test_requests_in_flight_stay_at_the_setting_over_all_batches(server, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(FILMS):
        remux(media("carphone_pristine.mp4"), tmp_path / "in" / f"{number:02}.mp4", title=f"film {number}")
    told = {"openai_base_url": server.url, "openai_in_flight": 4, "batch_frames": FILMS * FRAMES // BATCHES}
    summary = tag(tmp_path / "lake", f"{tmp_path}/in", tagger="openai:paced", max_frames=FRAMES, **told)
    assert (summary["ok"], summary["frames"]) == (FILMS, FILMS * FRAMES)
    counts = server.counts()
    assert counts["finished"] == FILMS * (FRAMES + 1)
    assert counts["most_held"] == 4
    assert counts["busy"] > 0.88, "a server that has nothing to do between two batches is busy for 0.76 of the time"


def test_the_table_is_markdown():
    lines = markdown([Figure("frames", "10", "≥ 5"), Figure("bytes", "3")]).splitlines()
    assert lines == ["| measured | result | promised |", "|---|---|---|", "| frames | 10 | ≥ 5 |", "| bytes | 3 |  |"]
