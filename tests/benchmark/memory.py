"""Whether a run over more media takes more memory: main process and decoders, without the model server.

A hundred don't fill what may wait for the model (steps/handoff.py): over them the memory grows, and then stays.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from tests.benchmark.archive import mixed
from tests.benchmark.busy import ANSWER
from tests.benchmark.command import asking, tag
from tests.benchmark.table import Figure, say
from tests.servers.started import paced

COUNTS = 100, 1000, 3000
EVERY_S = 0.1


def run(folder: Path) -> list[Figure]:
    peaks_mb = {count: _peak_mb(folder / str(count), count) for count in COUNTS}
    return [
        Figure(
            f"Peak memory of all processes (proportional set size) tagging {many:,} media over {few:,}, nine of ten "
            "small photographs, the others clips, in batches of the default size",
            f"{peaks_mb[many]:.0f} MB ÷ {peaks_mb[few]:.0f} MB = {peaks_mb[many] / peaks_mb[few]:.2f}",
            "0.90 to 1.10",
        )
        for few, many in pairwise(COUNTS)
    ]


def _peak_mb(folder: Path, count: int) -> float:
    say(f"  {count} media")
    peak = Peak()
    source = mixed(folder / "media", count)
    with paced(folder, seconds=0.01, at_once=64, text=ANSWER) as server:
        tag(folder, source, **asking(server), watch=peak.watch)
    return peak.bytes / (1 << 20)


class Peak:
    """The most memory that a process and all below it took together, looked at every EVERY_S.

    adopted: and whatever else is below this process.
    """

    def __init__(self, hear: Callable[[int], None] = lambda _: None, *, adopted: bool = False) -> None:
        self.bytes = 0
        self._hear, self._adopted = hear, adopted

    def watch(self, process: subprocess.Popen[str]) -> None:
        """Until it ends."""
        root = psutil.Process(process.pid)
        while True:
            now = sum(_bytes(one) for one in (_below(psutil.Process()) if self._adopted else (root, *_below(root))))
            self.bytes = max(self.bytes, now)
            self._hear(now)
            with suppress(subprocess.TimeoutExpired):
                process.wait(EVERY_S)
                return


def _below(root: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return root.children(recursive=True)
    return []


def _bytes(process: psutil.Process) -> int:
    """Proportional: what processes share is shared among them. Where there is no such figure, the resident size."""
    with suppress(psutil.Error):
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    return 0
