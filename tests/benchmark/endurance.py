"""Whether a worker that has read a thousand videos is as it was after the first hundred."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import psutil

from pipeline.decode.worker import DecodeChild
from tests.benchmark import footage
from tests.benchmark.table import Figure, say

FEW, MANY = 100, 1000
TARGETS_S = [0.5, 1.5]


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker and its decoder process hold: resident megabytes, open descriptors, processes."""

    rss_mb: float
    descriptors: int
    processes: int

    @classmethod
    def now(cls) -> Held:
        me = psutil.Process()
        everyone = [me, *me.children(recursive=True)]
        rss_mb = sum(one.memory_info().rss for one in everyone) / (1 << 20)
        return cls(rss_mb, sum(one.num_fds() for one in everyone), len(everyone))


def run(_folder: Path) -> list[Figure]:
    paths = islice(cycle(sorted(footage.clips().glob("*.mp4"))), MANY)
    with DecodeChild(deadline_s=60, memory_mb=4096, max_megapixels=200) as child:
        for number, path in enumerate(paths, start=1):
            info = child.probe(path)
            frames = sum(1 for _ in child.frames(path, info, TARGETS_S, media_id="", decoder="auto"))
            if frames != len(TARGETS_S):
                raise RuntimeError(f"{frames} frames of {path.name}, not {len(TARGETS_S)}")
            if number == FEW:
                few = Held.now()
                say(f"  {number} videos: {few.rss_mb:.0f} MB")
        many = Held.now()
    return [
        Figure(
            f"Resident memory of one worker and its decoder process after {MANY:,} videos over after {FEW}",
            f"{many.rss_mb:.0f} MB ÷ {few.rss_mb:.0f} MB = {many.rss_mb / few.rss_mb:.2f}",
            "0.90 to 1.10",
        ),
        Figure(
            "Open descriptors and processes of the same, then and then",
            f"{many.descriptors} and {few.descriptors}, {many.processes} and {few.processes}",
            "the same",
        ),
    ]
