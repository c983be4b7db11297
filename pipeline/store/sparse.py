"""A large object in part: a local file of its size in which only the bytes that somebody needs are in place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.store.base import LocalCopy, Ranges

Piece = tuple[int, int]
"""Bytes [start, stop) of an object."""

_MOST_BYTES = 8 << 20
"""Of one request: it is held in memory."""


class SparseCopy:
    """What isn't there reads as zeros and takes no room on the disk. For one thread.

    pieces: what is there, ascending and apart from each other. bytes_read, requests: what was fetched, and how often.
    """

    def __init__(self, ranges: Ranges, path: Path) -> None:
        self.path, self._ranges = path, ranges
        self.pieces: list[Piece] = []
        self.bytes_read = self.requests = 0
        with path.open("wb") as file:
            file.truncate(ranges.size_bytes)

    def bring(self, wanted: Iterable[Piece]) -> None:
        """Fetch what isn't there yet of these pieces. Raises MediaError as Ranges.read does."""
        with self.path.open("r+b") as file:
            for start, stop in wanted:
                for gap in gaps(self.pieces, start, min(stop, self._ranges.size_bytes)):
                    for at in range(*gap, _MOST_BYTES):
                        self._fetch(file.fileno(), at, min(at + _MOST_BYTES, gap[1]))

    def _fetch(self, file: int, start: int, stop: int) -> None:
        os.pwrite(file, self._ranges.read(start, stop), start)
        self.bytes_read += stop - start
        self.requests += 1
        self.pieces = merged([*self.pieces, (start, stop)])

    def copy(self) -> LocalCopy:
        """As whoever decodes takes it: nobody knows the hash of all bytes."""
        return LocalCopy(self.path, None, self.bytes_read, self._ranges.metadata)


def merged(pieces: Iterable[Piece], within: int = 0) -> list[Piece]:
    """Ascending; those that overlap, touch or lie no more than `within` bytes apart are one."""
    found: list[Piece] = []
    for start, stop in sorted(pieces):
        if found and start - found[-1][1] <= within:
            found[-1] = found[-1][0], max(found[-1][1], stop)
        else:
            found.append((start, stop))
    return found


def gaps(pieces: Iterable[Piece], start: int, stop: int) -> list[Piece]:
    """What of [start, stop) isn't covered by these pieces."""
    # pieces (0, 10), (20, 30), start=5, stop=40  →  (10, 20), (30, 40)
    found, at = [], start
    for piece_start, piece_stop in merged(pieces):
        if piece_stop <= at:
            continue
        if piece_start >= stop:
            break
        if piece_start > at:
            found.append((at, piece_start))
        at = piece_stop
    return [*found, (at, stop)] if at < stop else found
