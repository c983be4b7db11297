"""The media engine against its floors: frames of one long film, and a whole run over many clips.

The floors are in floors.py. All that is compared takes turns, so that what else this machine does meets all of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from pipeline import sampling
from pipeline.decode.worker import DecodeChild
from tests.benchmark import floors, footage
from tests.benchmark.command import LEAN_SHOTLOG, Done, tag, timed
from tests.benchmark.memory import Peak
from tests.benchmark.table import Figure, say

LONG_FRAMES, CLIP_FRAMES, WORKERS, ROUNDS = 60, 10, 2, 3
FLOOR = Path(floors.__file__)

Seen = list[tuple[float, int]]
"""Of every frame its time in milliseconds, and the sum of its pixels."""


def run(folder: Path) -> list[Figure]:
    return [*_long_film(), *_clips(folder)]


def _long_film() -> list[Figure]:
    path = footage.long_film()
    with DecodeChild(deadline_s=120, memory_mb=4096, max_megapixels=200) as child:
        ways: dict[str, Callable[[], Seen]] = {"shotlog": lambda: _shotlog(child, path)}
        ways |= {name: _way(name, path) for name in floors.WAYS}
        ways["shotlog"]()  # starts the process
        took: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS):
            say(f"  {LONG_FRAMES} frames of 60 s of 1080p, round {number + 1} of {ROUNDS}")
            seen = {}
            for name, way in ways.items():
                began = _cpu_s()
                seen[name] = way()
                took[name].append(_cpu_s() - began)
            if seen["shotlog"] != seen["gop_wise"] or seen["front_to_back"] != seen["gop_wise"]:
                raise RuntimeError("not the same frames: shotlog, its floor and PyAV front to back")
    cpu_s = {name: median(each) for name, each in took.items()}
    what = (
        f"CPU seconds of {LONG_FRAMES} uniform frames of 60 s of 1080p, one thread, decoder process included: shotlog"
    )
    return [
        Figure(f"{what} over the GOP-wise floor", ratio(cpu_s["shotlog"], cpu_s["gop_wise"]), "≤ 1.1"),
        Figure("The same over decord2's `get_batch`", ratio(cpu_s["shotlog"], cpu_s["decord2"]), "≤ 0.75"),
        Figure(
            "For comparison: PyAV front to back, keyframes only",
            f"{cpu_s['front_to_back']:.1f} s, {cpu_s['keyframes_only']:.1f} s",
        ),
    ]


def _shotlog(child: DecodeChild, path: Path) -> Seen:
    info = child.probe(path)
    targets = sampling.choose("uniform", info, (), LONG_FRAMES)
    frames = child.frames(path, info, targets, media_id="", decoder="auto")
    return [_seen(frame.timestamp_s, frame.image) for frame in frames]


def _way(name: str, path: Path) -> Callable[[], Seen]:
    return lambda: [_seen(moment, image) for moment, image in floors.WAYS[name](path, LONG_FRAMES)]


def _seen(moment_s: float, image: np.ndarray) -> tuple[int, int]:
    return round(moment_s * 1000), int(image.sum(dtype=np.uint64))


def _cpu_s() -> float:
    """Of this process and those below it, which have all been started."""
    below = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return time.process_time() + sum(times.user + times.system for times in below)


def _clips(folder: Path) -> list[Figure]:
    below, above = floor(footage.clips()), shotlog(footage.clips())
    race(folder, [below, above])
    return [
        Figure(
            f"{footage.CLIPS} clips of 10 s × {CLIP_FRAMES} frames, {WORKERS} workers: `shotlog tag` with the null "
            f"tagger, from its start to its end, over the floor on {WORKERS} processes, median of {ROUNDS}",
            ratio(above.seconds, below.seconds),
            "≤ 1.2",
        ),
        Figure(
            "The same: peak memory of all processes (proportional set size), shotlog, the floor",
            f"{above.peak_mb:.0f} MB, {below.peak_mb:.0f} MB",
            "≤ 400 MB",
        ),
    ]


@dataclass
class Racer:
    """One that takes the clips' frames. run: in a folder of its own, told who watches its process."""

    name: str
    run: Callable[..., Done]
    took_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    @property
    def seconds(self) -> float:
        return median(self.took_s)


def shotlog(clips: Path) -> Racer:
    settings = {"workers": WORKERS, "max_frames": CLIP_FRAMES}
    return Racer("shotlog", lambda folder, **more: tag(folder, clips, "null", shotlog=LEAN_SHOTLOG, **settings, **more))


def floor(clips: Path) -> Racer:
    command = [sys.executable, str(FLOOR), str(clips)]
    command += ["--frames", str(CLIP_FRAMES), "--processes", str(WORKERS)]
    return Racer("floor", lambda folder, **more: timed(command, folder, **more))


def race(folder: Path, racers: list[Racer], rounds: int = ROUNDS) -> None:
    """Let them take turns, so many rounds; then once more each for its memory, for looking at that takes time."""
    for number in range(rounds):
        for racer in racers:
            racer.took_s.append(racer.run(_own(folder, f"{racer.name}-{number}")).seconds)
            say(f"  round {number + 1} of {rounds}: {racer.name}, {racer.took_s[-1]:.1f} s")
    for racer in racers:
        peak = Peak(adopted=True)
        racer.run(_own(folder, f"{racer.name}-watched"), watch=peak.watch)
        racer.peak_mb = peak.bytes / (1 << 20)
        say(f"  {racer.name}: {racer.peak_mb:.0f} MB")


def _own(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place


def ratio(above_s: float, below_s: float) -> str:
    return f"{above_s:.1f} s ÷ {below_s:.1f} s = {above_s / below_s:.2f}"
