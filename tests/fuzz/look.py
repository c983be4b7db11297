"""Looks at one file the way a run does, and notes how that ended."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.decode.worker import DecodeChild
from pipeline.errors import CODES, MediaError
from tests.fuzz.damaged import Case
from tests.media.opens import opens

DEADLINE_S = 20.0
"""Of the decoder, beyond the media's own seconds: which a damaged header may say are years."""

LATE_S = 90.0
"""A file that takes longer than this in all has got past every deadline: its decoder is ended and the file is kept."""

MEMORY_MB = 1500
MAX_MEGAPIXELS = 50.0


@dataclass(frozen=True)
class Outcome:
    """How one file ended: `ok`, `partial` or a code of errors.CODES. wrong: what must never happen, if it did.

    died: how often the decoder had to be replaced.
    """

    seed: int
    name: str
    end: str
    seconds: float
    died: int = 0
    wrong: str = ""


class Looker:
    """One decoder process for any number of files, which lie in `folder` one at a time."""

    def __init__(self, folder: Path, child: DecodeChild) -> None:
        self._folder, self._child = folder, child

    def look(self, case: Case) -> Outcome:
        """Probe, shots and three frames of a case."""
        path = self._folder / f"{case.seed}-{case.name}"
        path.write_bytes(case.data)
        before, started = self._pid(), time.monotonic()
        wrong = ""
        with opens(self._folder) as opened, self._watch() as late:
            try:
                end = _ending(self._child, path, case.decoder)
            except Exception:  # whatever it is, it would have stopped a run
                end, wrong = "exception", traceback.format_exc(limit=-3)
            if strange := opened.seen() - {path.name}:
                wrong = f"it opened {', '.join(sorted(strange))}"
        seconds = time.monotonic() - started
        if late:
            wrong = f"no answer after {seconds:.0f} s"
        if grown := self._megabytes() - MEMORY_MB > 0:
            wrong = wrong or f"the decoder holds {grown} MB more than it may"
        path.unlink()
        return Outcome(case.seed, case.name, end, seconds, int(before not in (None, self._pid())), wrong)

    @contextmanager
    def _watch(self) -> Iterator[list[int]]:
        """End the decoder when a file takes for ever; the list is no longer empty then."""
        late: list[int] = []

        def end() -> None:
            late.append(1)
            if process := self._child._process:
                process.end()

        timer = threading.Timer(LATE_S, end)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def _pid(self) -> int | None:
        """Of the decoder process."""
        process = self._child._process
        return process.pid if process else None

    def _megabytes(self) -> int:
        pid = self._pid()
        return psutil.Process(pid).memory_info().rss >> 20 if pid else 0


@contextmanager
def looker(folder: Path) -> Iterator[Looker]:
    """A Looker. At the end no descriptor and no process may be left: AssertionError."""
    me = psutil.Process()
    before = me.num_fds(), {process.pid for process in me.children(recursive=True)}
    with DecodeChild(deadline_s=DEADLINE_S, memory_mb=MEMORY_MB, max_megapixels=MAX_MEGAPIXELS) as child:
        yield Looker(folder, child)
    after = me.num_fds(), {process.pid for process in me.children(recursive=True)}
    assert after[0] <= before[0] and after[1] <= before[1], (
        f"descriptors and processes before {before} and after {after}"
    )


def _ending(child: DecodeChild, path: Path, decoder: str) -> str:
    given = 0
    try:
        info = child.probe(path)
        assert info.width > 0 and info.height > 0 and math.isfinite(info.duration_s), info
        if info.kind == "video":
            _check_shots([(shot.start_s, shot.end_s) for shot in child.shots(path, info)])
        last_s = -math.inf
        targets_s = [info.duration_s * share for share in (0.0, 0.4, 0.95)]
        for frame in child.frames(path, info, targets_s, media_id="m", decoder=decoder):
            assert frame.image.ndim == 3 and frame.image.size, frame.image.shape
            assert last_s < frame.timestamp_s < math.inf, f"a frame at {frame.timestamp_s} after one at {last_s}"
            last_s, given = frame.timestamp_s, given + 1
    except MediaError as error:
        assert error.code in CODES
        return "partial" if given else error.code
    return info.fault or "ok"


def _check_shots(shots: list[tuple[float, float]]) -> None:
    last_s = -math.inf
    for start_s, end_s in shots:
        assert last_s <= start_s <= end_s < math.inf, f"a shot from {start_s} to {end_s} after one to {last_s}"
        last_s = end_s
