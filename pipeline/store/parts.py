"""A large object whole, by several ranges at a time: one connection seldom fills the line to an object store."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from pipeline.errors import MediaError
from pipeline.store.base import CHUNK_BYTES, Watch
from pipeline.store.ranges import Source

PART_BYTES = 8 << 20
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _News:
    """How many bytes of the part that begins at `start` are in the file; metadata: given once it is whole."""

    start: int
    count: int
    metadata: dict[str, str] | None = None


class _Ended(Exception):
    """Nobody waits for this part any more."""


def fetch_parts(source: Source, size_bytes: int, path: Path, watch: Watch) -> tuple[str, dict[str, str]]:
    """Write an object's bytes to a file; returns their SHA-256 and the object's metadata.

    The first trouble, a part's or what `watch` raises, ends all parts, and is raised once none is left running.
    """
    fetch = _Parts(source, size_bytes)
    with path.open("w+b") as file, ThreadPoolExecutor(AT_ONCE, "part") as pool:
        try:
            for start in range(0, size_bytes, PART_BYTES):
                pool.submit(fetch.part, start, file.fileno())
            return fetch.follow(file.fileno(), watch)
        finally:
            fetch.ended.set()


class _Parts:
    """What the threads that fetch and the one that hashes and watches share."""

    def __init__(self, source: Source, size_bytes: int) -> None:
        self.ended = threading.Event()
        self._source, self._size_bytes = source, size_bytes
        self._news: SimpleQueue[_News | BaseException] = SimpleQueue()

    def part(self, start: int, file: int) -> None:
        """Fetch one part into its place, in a thread of its own."""
        stop = min(start + PART_BYTES, self._size_bytes)
        if self.ended.is_set():
            return

        def keep(at: int, chunk: bytes) -> None:
            if self.ended.is_set():
                raise _Ended
            _write(file, chunk, at)
            self._news.put(_News(start, at + len(chunk) - start))

        try:
            metadata = self._source(start, stop, keep)
            self._news.put(_News(start, stop - start, metadata))
        except BaseException as error:
            self._news.put(error)  # before the others hear of it, and say that they have ended
            self.ended.set()

    def follow(self, file: int, watch: Watch) -> tuple[str, dict[str, str]]:
        """Hash the parts in their order as they become whole, read back while the system still has them in memory."""
        sha256, hashed, come = hashlib.sha256(), 0, 0
        counts: dict[int, int] = {}
        whole: dict[int, dict[str, str]] = {}
        while hashed < self._size_bytes:
            news = self._news.get()
            if isinstance(news, BaseException):
                raise news
            come += news.count - counts.get(news.start, 0)
            counts[news.start] = news.count
            if news.metadata is None:
                watch(come)
                continue
            whole[news.start] = news.metadata
            while hashed in whole:
                stop = min(hashed + PART_BYTES, self._size_bytes)
                for chunk in _read(file, hashed, stop):
                    sha256.update(chunk)
                hashed = stop
        return sha256.hexdigest(), whole[0]


def _write(file: int, chunk: bytes, at: int) -> None:
    left = memoryview(chunk)
    while left:
        written = os.pwrite(file, left, at)
        left, at = left[written:], at + written


def _read(file: int, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        chunk = os.pread(file, min(CHUNK_BYTES, stop - start), start)
        if not chunk:
            raise MediaError("unreadable", "its copy was cut short on this disk")
        yield chunk
        start += len(chunk)
