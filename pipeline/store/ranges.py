"""Ranges of an object as http and S3 give them: what both must check, and how chunks become the bytes asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.errors import MediaError
from pipeline.store.base import Watch

Sink = Callable[[int, bytes], None]
"""Takes a chunk and its place in the object; what it raises ends the range."""

Source = Callable[[int, int, Sink], dict[str, str]]
"""Gives the chunks of [start, stop) to a sink, from the start again where they broke off; returns the metadata."""


class ObjectRanges:
    """One version of one object, read through a store's source (pipeline/store/base.py says what it promises)."""

    def __init__(self, size_bytes: int, source: Source, watch: Watch) -> None:
        self.size_bytes = size_bytes
        self.metadata: dict[str, str] = {}
        self._source, self._watch = source, watch

    def read(self, start: int, stop: int) -> bytes:
        if not 0 <= start < stop <= self.size_bytes:
            raise ValueError(f"a range must lie within 0 and {self.size_bytes}, got {start} to {stop}")
        data = bytearray(stop - start)

        def keep(at: int, chunk: bytes) -> None:
            data[at - start : at - start + len(chunk)] = chunk
            self._watch(at - start + len(chunk))

        self.metadata = self._source(start, stop, keep)
        return bytes(data)


def asked_for(start: int, stop: int) -> str:
    """The bytes [start, stop) as the header Range says it."""
    return f"bytes={start}-{stop - 1}"


def check_answer(status: int, content_range: str | None, start: int, stop: int, size_bytes: int) -> None:
    """Raise MediaError unreadable, before any byte of the body is read, where it isn't the range asked for."""
    if status != 206:
        raise MediaError("unreadable", f"HTTP {status} in answer to a range")
    seen, _, size = (content_range or "").removeprefix("bytes ").partition("/")
    if seen != f"{start}-{stop - 1}" or size not in (str(size_bytes), "*"):
        expected = f"{start}-{stop - 1}/{size_bytes}"
        raise MediaError("unreadable", f"the server sent the range {content_range} in place of {expected}")


def pour(chunks: Iterable[bytes], start: int, stop: int, sink: Sink) -> None:
    """Give an answer's chunks to a sink. Raises MediaError unreadable where they are more or fewer than asked for."""
    at = start
    for chunk in chunks:
        if at + len(chunk) > stop:
            raise MediaError("unreadable", f"more than {stop - start} bytes")
        sink(at, chunk)
        at += len(chunk)
    if at != stop:
        raise MediaError("unreadable", f"{at - start} of {stop - start} bytes")
