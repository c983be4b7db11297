"""Which files anybody opens or reads in a folder, as the kernel tells it (inotify, Linux)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_IN_ACCESS, _IN_OPEN = 0x1, 0x20  # linux/inotify.h
_EVENT = struct.Struct("iIII")


class Opens:
    """Collects names; `seen()` gives those opened or read since the last look."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._names: dict[int, str] = {}

    def add(self, path: Path) -> None:
        """Watch a file, or all files that lie in a folder. Raises OSError."""
        watch = ctypes.CDLL(None, use_errno=True).inotify_add_watch
        number = watch(self._descriptor, os.fsencode(path), _IN_ACCESS | _IN_OPEN)
        if number < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        self._names[number] = path.name

    def seen(self) -> set[str]:
        """Names opened so far; a watched file's own name, or that of a file in a watched folder."""
        found = set()
        with suppress(BlockingIOError):
            while data := os.read(self._descriptor, 1 << 16):
                at = 0
                while at < len(data):
                    number, _, _, length = _EVENT.unpack_from(data, at)
                    at += _EVENT.size + length
                    name = data[at - length : at].rstrip(b"\0").decode(errors="surrogateescape")
                    found.add(name or self._names.get(number, ""))
        return found - {""}


@contextmanager
def opens(*paths: Path) -> Iterator[Opens]:
    """Watch files and folders until the end of the block."""
    descriptor = ctypes.CDLL(None, use_errno=True).inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "inotify")
    try:
        opened = Opens(descriptor)
        for path in paths:
            opened.add(path)
        yield opened
    finally:
        os.close(descriptor)
