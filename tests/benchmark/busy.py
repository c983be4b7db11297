"""How much of a model server's time the pipeline uses: its requests a second, against a client that only asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from pipeline.settings import Settings
from pipeline.taggers import openai_wire
from pipeline.taggers.base import Captioned, Film
from pipeline.taggers.openai import OpenAI
from pipeline.taggers.openai_server import Server
from tests.benchmark.archive import films, frames
from tests.benchmark.command import asking, tag
from tests.benchmark.table import Figure, say
from tests.servers.started import ModelServer, paced

FILMS, FRAMES = 100, 10
REQUESTS = FILMS * (FRAMES + 1)
"""Every frame, and the summary of every film."""

SECONDS, AT_ONCE, IN_FLIGHT = 0.2, 16, 32

ANSWER = json.dumps(
    {
        "caption": "A man rides a bicycle along a street lined with trees, and the light is that of a late afternoon.",
        "categories": ["sport"],
        "participants": [{"label": "man", "kind": "person", "count": 1}],
        "actions": ["cycling"],
        "scene": ["street"],
        "tags": ["bicycle"],
        "summary": "A man rides a bicycle through a town.",
    }
)
"""An answer to a frame and to a film: what isn't asked for is passed over in reading."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the server counted between its first request and its last answer."""

    requests: int
    busy: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.busy * AT_ONCE / SECONDS


def run(folder: Path) -> list[Figure]:
    source = films(folder / "films", FILMS)
    say("  a client that only asks")
    with server(folder) as asked:
        asyncio.run(_ask(asked, _bodies(asked)))
        bare = _pace(asked)
    say("  the whole command")
    with server(folder) as asked:
        done = tag(folder, source, **asking(asked), max_frames=FRAMES, openai_in_flight=IN_FLIGHT)
        tagged = _pace(asked)
    whole = tagged.requests / done.seconds
    return [
        Figure(
            f"Requests a second, {FILMS} films of {FRAMES} s, first request to last answer: shotlog over a client that "
            "only asks",
            f"{tagged.rate:.1f} ÷ {bare.rate:.1f} = {tagged.rate / bare.rate:.3f}",
            "≥ 0.95",
        ),
        Figure(
            "The same over the whole command, from its start to its end",
            f"{whole:.1f} ÷ {bare.rate:.1f} = {whole / bare.rate:.3f}",
        ),
        Figure("Of the server's time used: shotlog, that client", f"{tagged.busy:.3f}, {bare.busy:.3f}"),
    ]


@contextmanager
def server(folder: Path) -> Iterator[ModelServer]:
    with paced(folder, seconds=SECONDS, at_once=AT_ONCE, text=ANSWER) as started:
        yield started


def _pace(asked: ModelServer) -> Pace:
    counts = asked.counts()
    if counts["finished"] != REQUESTS:
        raise RuntimeError(f"{counts['finished']:.0f} requests, not {REQUESTS}")
    return Pace(REQUESTS, counts["busy"])


def _bodies(asked: ModelServer) -> list[dict[str, Any]]:
    """The bodies of all requests, ready to be sent: ten frames and the summary, over and over."""
    tagger = OpenAI(asked.model, Settings(openai_base_url=asked.url))
    looked_at = frames("bikes.mp4", FRAMES)
    captions = tuple(Captioned(frame.timestamp_s, json.loads(ANSWER)["caption"]) for frame in looked_at)
    prompts = [tagger._prompt(item) for item in (*looked_at, Film("", captions, 10.0))]
    ready = [openai_wire.request(asked.model, prompt, openai_wire.messages(prompt.turns)) for prompt in prompts]
    return list(islice(cycle(ready), REQUESTS))


async def _ask(asked: ModelServer, bodies: list[dict[str, Any]]) -> None:
    """Send them all, so many in flight at a time."""
    waiting = iter(bodies)
    known = Server.of(asked.model, Settings(openai_base_url=asked.url))
    async with known.connected(in_flight=IN_FLIGHT, deadline_s=60) as client:

        async def ask_on() -> None:
            for body in waiting:
                await client.chat.completions.create(**body)

        await asyncio.gather(*(ask_on() for _ in range(IN_FLIGHT)))
