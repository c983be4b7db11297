"""Where readers leave what the tagger takes: frames, bounded in bytes, and films."""

from __future__ import annotations

import threading
from collections import deque

from pipeline.model import Frame
from pipeline.taggers.base import Film

MAX_BYTES = 64 << 20
"""Decoded frames that may wait for the tagger, together: 20 of one megapixel. One is always let in."""

Item = Frame | Film | BaseException


class Handoff:
    """A queue of many writers and one reader. Safe to use from several threads.

    Frames wait for room, in the order in which they come, so that no reader is held up by another's many frames. A film
    or an exception never waits, since who brings it may be the one who makes room.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._items: deque[Item] = deque()
        self._line: deque[Frame] = deque()
        self._max_bytes, self._bytes = max_bytes, 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Returns when the item is in, or at once, without it, when the queue is closed."""
        with self._changed:
            if isinstance(item, Frame):
                self._line.append(item)
                self._changed.wait_for(lambda: self._closed or (self._line[0] is item and self._has_room(_size(item))))
                self._line.popleft()
            if not self._closed:
                self._items.append(item)
                self._bytes += _size(item)
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return not self._bytes or self._bytes + size <= self._max_bytes

    def get(self, wait_s: float) -> Item | None:
        """The next item; None where none has come in that time."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items), wait_s)
            if not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= _size(item)
            self._changed.notify_all()
            return item

    def __len__(self) -> int:
        return len(self._items)

    def close(self) -> None:
        """Let go who waits, and take nothing more."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


def _size(item: Item) -> int:
    return item.image.nbytes if isinstance(item, Frame) else 0
