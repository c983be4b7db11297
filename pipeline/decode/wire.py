"""How the two ends of the decoder process talk: JSON over pipes, and pixels through shared memory.

Not pickle: a decoder that a file has taken over must not be able to run anything in the process that reads it.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

Message = dict[str, Any]

MAX_BYTES = 8 << 20
"""Of one message."""

_LENGTH = struct.Struct(">I")


def send(file: BinaryIO, message: Message) -> None:
    packed = json.dumps(message).encode()
    file.write(_LENGTH.pack(len(packed)) + packed)
    file.flush()


def receive(read: Callable[[int], bytes]) -> Message | None:
    """Read one message; None at the end. read(n) gives n bytes, or fewer at the end.

    Raises ValueError for what no honest end would send.
    """
    length = read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (count,) = _LENGTH.unpack(length)
    if count > MAX_BYTES:
        raise ValueError(f"a message of {count} bytes")
    packed = read(count)
    if len(packed) < count:
        return None
    message = json.loads(packed)
    if not isinstance(message, dict):
        raise ValueError("a message that is no object")
    return message


class Slots:
    """Shared memory for pictures on their way from the decoder process, used in turn.

    There are two, so that the next picture is decoded while the last one is taken out. Only what was written takes
    memory. fd: of the memory, to be passed on. slot_bytes: the largest picture.
    """

    COUNT = 2
    _KEEP_BYTES = 64 << 20

    def __init__(self, fd: int, slot_bytes: int) -> None:
        self.fd, self.slot_bytes = fd, -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(fd, self.COUNT * self.slot_bytes)

    @classmethod
    def create(cls, slot_bytes: int) -> Slots:
        fd = _memory_file()
        os.ftruncate(fd, cls.COUNT * (slot_bytes + mmap.PAGESIZE))
        with suppress(ImportError, AttributeError, OSError):  # Linux: the other end can't take the memory away
            import fcntl

            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(fd, slot_bytes)

    def put(self, slot: int, picture: np.ndarray) -> None:
        """Write a picture, uint8 (height, width, 3) of at most slot_bytes."""
        self._view(slot, *picture.shape[:2])[...] = picture

    def take(self, slot: int, height: int, width: int) -> np.ndarray:
        """Copy a picture out. Raises ValueError for a size or a slot that there isn't."""
        if slot not in range(self.COUNT) or height < 1 or width < 1 or height * width * 3 > self.slot_bytes:
            raise ValueError(f"a picture of {width}×{height} in slot {slot}")
        picture = self._view(slot, height, width).copy()
        if picture.nbytes > self._KEEP_BYTES and hasattr(mmap, "MADV_REMOVE"):
            self._memory.madvise(mmap.MADV_REMOVE, slot * self.slot_bytes, self.slot_bytes)
        return picture

    def _view(self, slot: int, height: int, width: int) -> np.ndarray:
        count = height * width * 3
        return np.frombuffer(self._memory, np.uint8, count, slot * self.slot_bytes).reshape(height, width, 3)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


def _memory_file() -> int:
    """A file that has no name; in memory where the system knows such."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("shotlog-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
