"""One job: a video, or many media, that somebody asked for over HTTP and asks about until it has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from pipeline.errors import Cancelled, without_next_step
from pipeline.model import FrameTags, MediaObject, MediaTags, TaggedFrame, timecode
from pipeline.steps.desk import Desk
from pipeline.steps.spool import Asked
from pipeline.store.base import Store
from pipeline.taggers.base import Answer, Look, Summary, Tagger

State = Literal["CREATED", "PROCESSING", "COMPLETED", "FAILED"]

MOST_ROWS = 10_000
"""Of one job's results; more than that is for SQL to read, by the run's id, which is the job's."""

CANCELLED = ("cancelled", "the job was cancelled")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """A media object of a job of which nothing, or not all, could be seen. uri: as the lake shows it."""

    uri: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Status:
    """How far a job is. results: one row a frame, None where there are more than MOST_ROWS. error: (code, sentence) of
    what ended a job that failed. failures: at most MOST_ROWS."""

    job_id: str
    state: State
    percent: int
    results: list[Row] | None
    asked: Asked
    error: tuple[str, str] | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.state in ("COMPLETED", "FAILED")


class Job:
    """A job that hasn't ended, or has just now. Its methods suit many threads."""

    def __init__(self, job_id: str, asked: Asked) -> None:
        self.job_id, self.asked = job_id, asked
        self._cancelled, self._stopped = threading.Event(), threading.Event()
        self._lock, self._is_decided = threading.Lock(), False
        self._state: State = "CREATED"
        self._desk: Desk | None = None
        self._media, self._ended, self._percent = 0, 0, 0
        self._rows: list[Row] | None = []
        self._failures: list[Failure] = []
        self._refused: list[Failure] = []
        self._error: tuple[str, str] | None = None
        self._shown: list[Row] | None = []

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End it before it is done; nothing happens where that has been decided."""
        with self._lock:
            if not self._is_decided:
                self._cancelled.set()

    def decide(self) -> None:
        """It can't be cancelled from now on. Raises Cancelled where it has been."""
        with self._lock:
            if self._cancelled.is_set():
                raise Cancelled(CANCELLED[1])
            self._is_decided = True

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

    def heeds(self, store: Store) -> Store:
        """The store, but asking it for anything raises Cancelled once the job is to be left off."""
        return cast(Store, _Heeded(store, self))

    def wait(self, seconds: float) -> None:
        """Or until it is cancelled."""
        self._cancelled.wait(seconds)

    def check(self) -> None:
        """Raises Cancelled where the job is to be left off."""
        if self._cancelled.is_set() or self._stopped.is_set():
            raise Cancelled(CANCELLED[1])

    def goes_on(self, desk: Desk, media: int, done: int, found: list[Row] | None) -> None:
        """So many media are to do, of which so many are done and in the lake; the desk knows of those in hand."""
        with self._lock:
            self._desk, self._media, self._ended, self._rows = desk, media, done, found

    def far(self, fraction: float, found: list[Row] | None) -> None:
        """So much of it is done, and this found, as the lake and the journal of others tell."""
        with self._lock:
            self._state = "PROCESSING" if fraction else self._state
            self._percent = max(self._percent, min(99, int(100 * fraction)))
            self._rows = found

    def media_ended(self, tagging: MediaTags) -> None:
        with self._lock:
            self._ended += 1
            if tagging.error_code and len(self._failures) < MOST_ROWS:
                self._failures.append(failure(tagging.object.uri, tagging.error_code, tagging.error))
            if self._rows is not None:
                self._rows += rows(self.asked, tagging.object.uri, tagging.frames)
                if len(self._rows) > MOST_ROWS:
                    self._rows = None

    def refused(self, troubles: Iterable[Failure]) -> None:
        """These of its URLs lead nowhere."""
        with self._lock:
            self._refused = list(troubles)

    def end(self, status: Status) -> None:
        """It has ended so, and no other way."""
        with self._lock:
            self._state, self._desk, self._percent = status.state, None, status.percent
            self._rows, self._error, self._failures = status.results, status.error, list(status.failures)
            self._refused, self._shown = [], []

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
            few = sorted(found, key=_place) if found is not None and len(found) <= MOST_ROWS else None
            state, error, failures = self._state, self._error, (*self._failures, *self._refused)
            if self._cancelled.is_set() and not error:
                state, error = "FAILED", CANCELLED
            elif not error and self._shown and few is not None and len(few) < len(self._shown):
                few = self._shown  # taken up again, it comes anew upon what the journal has
            self._shown = few
            return Status(self.job_id, state, self._percent, few, self.asked, error, failures)


class _Heeded:
    """A store that gives nothing more once `check` raises."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job = store, job

    def list(self, source: str) -> Iterator[MediaObject]:
        self._job.check()
        for media in self._store.list(source):
            self._job.check()
            yield media

    def __getattr__(self, name: str) -> Any:
        self._job.check()
        return getattr(self._store, name)


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


def failure(uri: str, code: str, sentence: str | None) -> Failure:
    return Failure(uri, code, without_next_step(code, sentence or code))


def rows(asked: Asked, uri: str, frames: Iterable[TaggedFrame]) -> list[Row]:
    """Results as the API tells them: each frame's timecode and labels, kind by kind; in a batch its URL, too."""
    place = {"media_url": uri} if asked.batch else {}
    return [{**place, "timestamp": timecode(frame.timestamp_s), **labels(asked.kinds, frame.tags)} for frame in frames]


def labels(kinds: Iterable[str], tags: FrameTags) -> dict[str, list[str]]:
    """Kind → labels, each once."""
    return {kind: list(dict.fromkeys(label.label for label in getattr(tags, kind) or ())) for kind in kinds}


def _place(row: Row) -> tuple[str, str]:
    return row.get("media_url", ""), row["timestamp"]
