"""What looking for shots costs beside decoding: both decode every frame of one film, on one thread, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from statistics import median

import av
import numpy as np

from pipeline.decode.probe import probe
from pipeline.decode.shot_pass import shot_pass
from tests.benchmark.footage import encode
from tests.benchmark.table import Figure, say
from tests.media import media

FILMS, SIZE, RATE, LENGTH_S, QUALITY = ("bikes.mp4", "bigbuckbunny.mp4"), (1280, 720), 25, 60, 20
ROUNDS = 7


def run(folder: Path) -> list[Figure]:
    film = folder / "film.mp4"
    say("  making a film of 720p")
    encode(film, _images(), RATE * LENGTH_S, SIZE, QUALITY)
    info = probe(film, max_megapixels=200)  # reads the packets once, as in every run
    alone, whole = _seconds(lambda: _decoded(film), lambda: sum(1 for _ in shot_pass(film, info)))
    ratio = median(a / w for a, w in zip(alone, whole, strict=True))
    speeds = [RATE * LENGTH_S / median(seconds) for seconds in (whole, alone)]
    return [
        Figure(
            f"Frames a second of CPU time through the shot pass (`adaptive`, {LENGTH_S} s of 720p H.264) over PyAV "
            f"decoding them and nothing else, medians of {ROUNDS} rounds",
            f"{speeds[0]:.0f} ÷ {speeds[1]:.0f}, round by round {ratio:.2f}",
            "≥ 0.9",
        )
    ]


def _images() -> Iterator[np.ndarray]:
    for name in cycle(FILMS):
        with av.open(str(media(name))) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")


def _decoded(path: Path) -> int:
    """Frames of a film, decoded on one thread and dropped."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def _seconds(*runs: Callable[[], int]) -> list[list[float]]:
    """CPU seconds of each in every round, all taking turns. Each has one thread, and who else runs hardly counts.

    Raises RuntimeError where one saw nothing.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(ROUNDS):
        for took, run in zip(seconds, runs, strict=True):
            began = time.process_time()
            if not run():
                raise RuntimeError("nothing was decoded")
            took.append(time.process_time() - began)
        say(f"  round {number + 1} of {ROUNDS}: {seconds[0][-1] / seconds[-1][-1]:.2f}")
    return seconds
