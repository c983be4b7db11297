"""Decoder processes that several threads share."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from pipeline.decode.worker import DecodeChild
from pipeline.settings import Settings


class Decoders:
    """So many decoder processes, lent to one thread at a time; each starts when first asked something, or by `start`.

    The system ends a process with the thread that started it: threads that borrow must live until the last has ended.
    """

    def __init__(self, settings: Settings, count: int) -> None:
        self._children = [
            DecodeChild(
                deadline_s=settings.decode_deadline_s,
                memory_mb=settings.decode_memory_mb,
                max_megapixels=settings.max_megapixels,
            )
            for _ in range(count)
        ]
        self._idle: queue.LifoQueue[DecodeChild] = queue.LifoQueue()  # last first: none starts that isn't needed
        for child in self._children:
            self._idle.put(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._children)

    def start(self, most: int) -> None:
        """Start so many, or all: they load their libraries while the caller goes on."""
        for child in self._children[::-1][:most]:  # those that are lent first
            child.start()

    def close(self) -> None:
        """End all processes; nobody may be borrowing one."""
        for child in self._children:
            child.close()

    @contextmanager
    def lend(self) -> Iterator[DecodeChild]:
        """One for as long as the block lasts; waits until there is one."""
        child = self._idle.get()
        try:
            yield child
        finally:
            self._idle.put(child)

    def stop(self) -> None:
        """End whatever is going on: what is asked of any of them then ends with a MediaError."""
        for child in self._children:
            child.stop()
