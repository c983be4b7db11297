"""One job: a video, or many media, that somebody asked for over HTTP and asks about until it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

from pipeline.errors import Cancelled
from pipeline.model import FrameTags, MediaTags, TaggedFrame, timecode
from pipeline.steps.desk import Desk
from pipeline.steps.spool import Asked
from pipeline.taggers.base import Answer, Look, Summary, Tagger

State = Literal["CREATED", "PROCESSING", "COMPLETED", "FAILED"]

MOST_ROWS = 10_000
"""Of one job's results; more than that is for SQL to read, by the run's id, which is the job's."""

CANCELLED = ("cancelled", "the job was cancelled")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Status:
    """How far a job is. results: one row a frame, None where there are more than MOST_ROWS. error: (code, sentence)."""

    job_id: str
    state: State
    percent: int
    results: list[Row] | None
    asked: Asked
    error: tuple[str, str] | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ("COMPLETED", "FAILED")


class Job:
    """A job that hasn't ended, or has just now. Its methods suit many threads."""

    def __init__(self, job_id: str, asked: Asked) -> None:
        self.job_id, self.asked = job_id, asked
        self.cancelled, self._stopped = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._state: State = "CREATED"
        self._desk: Desk | None = None
        self._media, self._ended, self._percent = 0, 0, 0
        self._rows: list[Row] | None = []
        self._refused: list[tuple[str, str]] = []
        self._error: tuple[str, str] | None = None

    @property
    def state(self) -> State:
        return self._state

    def begin(self) -> None:
        """Raises Cancelled."""
        self.check()
        with self._lock:
            self._state = "PROCESSING"

    def stop(self) -> None:
        """Leave off, for another server to go on."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def heeded_by(self, tagger: Tagger) -> Tagger:
        """The tagger, but looking with it raises Cancelled once the job is to be left off."""
        return cast(Tagger, _Heeding(tagger, self.check))

    def wait(self, seconds: float) -> None:
        """Or until it is cancelled."""
        self.cancelled.wait(seconds)

    def check(self) -> None:
        """Raises Cancelled where the job is to be left off."""
        if self.cancelled.is_set() or self._stopped.is_set():
            raise Cancelled(CANCELLED[1])

    def goes_on(self, desk: Desk, media: int) -> None:
        """So many media are to do, and the desk knows of those in hand."""
        with self._lock:
            self._desk, self._media = desk, media

    def far(self, fraction: float, found: list[Row] | None) -> None:
        """So much of it is done, and this found, as the lake and the journal of others tell."""
        with self._lock:
            self._percent = max(self._percent, min(99, int(100 * fraction)))
            self._rows = found

    def media_ended(self, tagging: MediaTags) -> None:
        with self._lock:
            self._ended += 1
            if self._rows is not None:
                self._rows += rows(self.asked, tagging.object.uri, tagging.frames)
                if len(self._rows) > MOST_ROWS:
                    self._rows = None

    def refused(self, code: str, sentence: str) -> None:
        """Note media that nothing can be seen of."""
        with self._lock:
            self._refused.append((code, sentence))

    def refusals(self) -> list[tuple[str, str]]:
        with self._lock:
            return list(self._refused)

    def end(self, status: Status) -> None:
        """It has ended so, and no other way."""
        with self._lock:
            self._state, self._desk, self._percent = status.state, None, status.percent
            self._rows, self._error = status.results, status.error

    def status(self) -> Status:
        with self._lock:
            found = None if self._rows is None else list(self._rows)
            desk, fraction = self._desk, float(self._ended)
            for so_far in desk.so_far() if desk else ():
                if found is not None:
                    found += rows(self.asked, so_far.media.uri, so_far.frames)
                if so_far.expected:
                    fraction += min(1.0, (len(so_far.frames) + so_far.taken_over) / so_far.expected)
            if self._media and self._state == "PROCESSING":
                self._percent = max(self._percent, min(99, int(100 * fraction / self._media)))
            if self.cancelled.is_set() and self._state != "FAILED":
                return Status(self.job_id, "FAILED", 100, [], self.asked, CANCELLED)
            few = sorted(found, key=_place) if found is not None and len(found) <= MOST_ROWS else None
            return Status(self.job_id, self._state, self._percent, few, self.asked, self._error)


class _Heeding:
    """A tagger whose looks end where `check` raises."""

    def __init__(self, tagger: Tagger, check: Callable[[], None]) -> None:
        self._tagger, self._check = tagger, check

    def look(self, stream: Iterable[Look]) -> Generator[Answer | Summary]:
        return self._tagger.look(self._checked(stream))

    def _checked(self, stream: Iterable[Look]) -> Generator[Look]:
        for item in stream:
            self._check()
            yield item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tagger, name)


def rows(asked: Asked, uri: str, frames: Iterable[TaggedFrame]) -> list[Row]:
    """Results as the API tells them: each frame's timecode and labels, kind by kind; in a batch its URL, too."""
    place = {"media_url": uri} if asked.batch else {}
    return [{**place, "timestamp": timecode(frame.timestamp_s), **labels(asked.kinds, frame.tags)} for frame in frames]


def labels(kinds: Iterable[str], tags: FrameTags) -> dict[str, list[str]]:
    """Kind → labels, each once."""
    return {kind: list(dict.fromkeys(label.label for label in getattr(tags, kind) or ())) for kind in kinds}


def _place(row: Row) -> tuple[str, str]:
    return row.get("media_url", ""), row["timestamp"]
