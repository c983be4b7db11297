"""`make bench-peers`: the frames of the clips by shotlog, its floor and four others, as a table in Markdown on stdout.

Each peer has an environment of its own under .venv-peers, and runs its script as a user would: a process from its
start to its end, which leaves a Parquet file with path and time of every frame. All take turns.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset

from demo.keeper import end_all
from demo.services import plain_environment
from tests.benchmark import footage
from tests.benchmark.command import Done, timed
from tests.benchmark.media_engine import CLIP_FRAMES, ROUNDS, WORKERS, Racer, floor, race, ratio, shotlog
from tests.benchmark.table import Figure, markdown

HERE = Path(__file__).parent
ENVIRONMENTS = Path(".venv-peers").absolute()

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_NOT_ROOT = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
"""Postgres refuses root; as root, Pixeltable's would add a user to this machine."""


@dataclass(frozen=True, slots=True)
class Peer:
    """name: of its script and its environment. times: how many times faster shotlog is to be."""

    name: str
    title: str
    times: int

    def racer(self, clips: Path) -> Racer:
        return Racer(self.name, lambda folder, **more: self._run(clips, folder, **more))

    def _run(self, clips: Path, folder: Path, **more: Any) -> Done:
        target = folder / "frames"
        python = ENVIRONMENTS / self.name / "bin" / "python"
        command = [str(python), "-P", str(HERE / f"{self.name}.py"), str(clips), str(target), str(CLIP_FRAMES)]
        if self.name == "pixeltable" and os.geteuid() == 0:
            command = [*_NOT_ROOT, *command]
        try:
            done = timed(command, folder, environment=_environment(folder), **more)
        finally:
            end_all(10)  # a database goes on
        rows = pyarrow.dataset.dataset(target, format="parquet").count_rows()
        if rows != (wanted := len(list(clips.iterdir())) * CLIP_FRAMES):
            raise RuntimeError(f"{self.title} wrote {rows} frames, not {wanted}")
        return done


PEERS = (
    Peer("datachain", "DataChain 0.62.0", 2),
    Peer("daft", "Daft 0.7.26", 3),
    Peer("pixeltable", "Pixeltable 0.7.21", 3),
    Peer("ray_data", "Ray Data 2.60.0", 5),
)


def _environment(folder: Path) -> dict[str, str]:
    """Nothing is kept from one run to the next, and nobody is told of it."""
    homes = ("HOME", "XDG_RUNTIME_DIR", "DATACHAIN_ROOT_DIR", "PIXELTABLE_HOME", "RAY_TMPDIR")
    quiet = {"DATACHAIN_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return {**plain_environment(), **dict.fromkeys(homes, str(folder)), **quiet}


def compare(folder: Path, peers: Iterable[Peer], clips: Path, rounds: int) -> list[Figure]:
    """A line for the floor and for each peer: its time over shotlog's, and its memory."""
    racers = {peer.title: peer.racer(clips) for peer in peers}
    below, ours = floor(clips), shotlog(clips)
    race(folder, [below, ours, *racers.values()], rounds)
    count = len(list(clips.iterdir()))
    what = f"{count} clips of 10 s × {CLIP_FRAMES} frames, {WORKERS} workers"
    figures = [
        Figure(f"{what}: shotlog over the floor", ratio(ours.seconds, below.seconds), "≤ 1.2"),
        Figure("Peak memory: shotlog, the floor", f"{ours.peak_mb:.0f} MB, {below.peak_mb:.0f} MB", "≤ 400 MB"),
    ]
    for peer in peers:
        them = racers[peer.title]
        value = f"{ratio(them.seconds, ours.seconds)}; {them.peak_mb:,.0f} MB"
        figures.append(Figure(f"{peer.title} over shotlog; its peak memory", value, f"≥ {peer.times}"))
    return figures


def main() -> None:
    names = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.peers", description=__doc__)
    parser.add_argument("name", nargs="*", default=names, help=", ".join(names))
    parser.add_argument("--clips", type=int, default=footage.CLIPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    if unknown := set(asked.name) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    if sys.platform == "linux":  # what outlives its parent becomes ours, to be counted and ended
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    peers = [peer for peer in PEERS if peer.name in asked.name]
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:  # short: Ray's sockets lie in it
        print(markdown(compare(Path(folder), peers, footage.clips(asked.clips), asked.rounds)))


if __name__ == "__main__":
    main()
