"""What one server has in hand, on its own disk: jobs as they were asked for, word for word, for a URL's signature isn't
for the lake; and the name of its own run. A server that starts takes up what those that died have left.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any, Self

_LOCK, _RUN, _REQUEST, _STARTS, _ENDED, _CANCELLED = "lock", "run", "request.json", "starts", "ended", "cancelled"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job was asked for.

    owner: the name of the key that asked. urls: media, or one s3:// prefix; as given, with any signature. sampling,
    model: None, as the server's settings say. store: whether the lake keeps what is found.
    """

    owner: str
    urls: tuple[str, ...]
    kinds: tuple[str, ...]
    created_at: float
    sampling: str | None = None
    custom_payload: dict[str, Any] | None = None
    webhook: str | None = None
    store: bool = True
    batch: bool = False
    model: str | None = None


class Spool:
    """Folders that only their user can look into. Use it in a with statement: each is held by one living server.

    A server makes one of its own, and holds those that nobody holds any more as long as something is left in them.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder, self._leaving = folder, ExitStack()
        self._held: list[Path] = []
        self._run_id: str | None = None

    def __enter__(self) -> Self:
        taken = (self._folder / str(number) for number in count())
        self._held = [next(slot for slot in taken if self._hold(slot))]
        self.adopt()
        for slot in self._held:
            for folder in slot.iterdir():  # made or dropped halfway when a server was killed
                if folder.is_dir() and not (folder / _REQUEST).exists():
                    shutil.rmtree(folder, ignore_errors=True)
        return self

    def adopt(self) -> bool:
        """Hold what nobody holds any more; returns whether there was any."""
        free = [slot for slot in sorted(self._folder.iterdir()) if slot not in self._held and self._hold(slot)]
        self._held += free
        return bool(free)

    def __exit__(self, *exc: object) -> None:
        self._leaving.close()

    def _hold(self, slot: Path) -> bool:
        slot.mkdir(mode=0o700, exist_ok=True)
        lock: IO[str] = (slot / _LOCK).open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._leaving.callback(lock.close)
        return True

    def former_runs(self) -> list[str]:
        """The own runs of servers that died."""
        runs = [path.read_text("utf-8") for slot in self._held if (path := slot / _RUN).exists()]
        return [run_id for run_id in runs if run_id != self._run_id]

    def begin_run(self, run_id: str) -> None:
        """Note this server's own run."""
        self._run_id = run_id
        _write(self._held[0] / _RUN, run_id)

    def end_run(self, run_id: str) -> None:
        """Forget a run of a server of which nothing is left to do."""
        for slot in self._held:
            if (path := slot / _RUN).exists() and path.read_text("utf-8") == run_id:
                path.unlink()

    def put(self, job_id: str, asked: Asked) -> None:
        """Returns once it is on disk."""
        folder = self._held[0] / job_id
        folder.mkdir(mode=0o700)
        _write(folder / _REQUEST, json.dumps(asdict(asked)))

    def jobs(self) -> Iterator[tuple[str, Asked]]:
        """(job id, what it was asked for), oldest first."""
        there = [path.parent.name for slot in self._held for path in slot.glob(f"*/{_REQUEST}")]
        found = [(job_id, asked) for job_id in there if (asked := self.asked(job_id))]
        yield from sorted(found, key=lambda each: each[1].created_at)

    def asked(self, job_id: str) -> Asked | None:
        """What a job was asked for; None where nothing is left of it."""
        try:
            return _read(self.folder(job_id) / _REQUEST)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def note_end(self, job_id: str) -> None:
        """Note that a job has ended now, unless it had."""
        if not (ended := self.folder(job_id) / _ENDED).exists():
            ended.touch()

    def note_cancel(self, job_id: str) -> None:
        """Note that a job isn't to go on."""
        (self.folder(job_id) / _CANCELLED).touch()

    def is_cancelled(self, job_id: str) -> bool:
        return (self.folder(job_id) / _CANCELLED).exists()

    def ended_at(self, job_id: str) -> float | None:
        """When that was, in seconds since 1970."""
        try:
            return (self.folder(job_id) / _ENDED).stat().st_mtime
        except FileNotFoundError:
            return None

    def start(self, job_id: str) -> int:
        """Note that work on a job begins; returns how often it has begun by now."""
        starts = 1 + self.starts(job_id)
        _write(self.folder(job_id) / _STARTS, str(starts))
        return starts

    def take_back_start(self, job_id: str) -> None:
        """It didn't end with this process."""
        _write(self.folder(job_id) / _STARTS, str(max(0, self.starts(job_id) - 1)))

    def starts(self, job_id: str) -> int:
        path = self.folder(job_id) / _STARTS
        return int(path.read_text()) if path.exists() else 0

    def folder(self, job_id: str) -> Path:
        """A job's own folder, which goes with it."""
        there = (slot / job_id for slot in self._held if (slot / job_id).is_dir())
        return next(there, self._held[0] / job_id)

    def drop(self, job_id: str) -> None:
        folder = self.folder(job_id)
        with suppress(FileNotFoundError):
            (folder / _REQUEST).unlink()  # first: without it the rest is nothing
        shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _read(path: Path) -> Asked:
    told = json.loads(path.read_text("utf-8"))
    return Asked(**{**told, "urls": tuple(told["urls"]), "kinds": tuple(told["kinds"])})
