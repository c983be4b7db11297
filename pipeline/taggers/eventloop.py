"""An asyncio loop on a thread of its own, and calls into it that the caller's thread starts and takes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

_ENDING_S = 10.0
"""How long cancelled calls may take to end: a server that hangs must not hang us."""


@asynccontextmanager
async def _nothing() -> AsyncGenerator[None]:
    yield


class EventLoop:
    """Runs an asyncio loop on a daemon thread between `__enter__` and `__exit__`, with a context open inside it."""

    def __init__(self, inside: Callable[[], AbstractAsyncContextManager[Any]] = _nothing) -> None:
        self._inside = inside
        self._thread: Thread | None = None
        self._ending: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        opened: Future[None] = Future()
        self._thread = Thread(target=lambda: asyncio.run(self._live(opened)), name="shotlog-loop", daemon=True)
        self._thread.start()
        opened.result()
        return self

    async def _live(self, opened: Future[None]) -> None:
        self.loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._inside():
                opened.set_result(None)
                await self._ending.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    def __exit__(self, *exc: object) -> None:
        if self._thread and self.loop and self._ending and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(_ENDING_S)
        self._thread = self._ending = self.loop = None


class Calls(Generic[T]):
    """Coroutines under way in a loop. All methods are for one thread, which isn't the loop's.

    waiting: calls whose result hasn't been handed out yet.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: SimpleQueue[T | Exception] = SimpleQueue()
        self.waiting = 0

    def start(self, call: Coroutine[Any, Any, T]) -> None:
        self.waiting += 1
        self._loop.call_soon_threadsafe(self._spawn, call)

    def _spawn(self, call: Coroutine[Any, Any, T]) -> None:
        task = self._loop.create_task(self._run(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call: Coroutine[Any, Any, T]) -> None:
        try:
            self._done.put(await call)
        except Exception as error:
            self._done.put(error)

    def finished(self, *, wait_s: float | None) -> Generator[T]:
        """Results of what has ended, raising what one raised. Where nothing has: the next one, waited for at most
        wait_s seconds (None: as long as it takes)."""
        while self.waiting:
            try:
                result = self._done.get(timeout=wait_s)
            except Empty:
                return
            self.waiting -= 1
            if isinstance(result, Exception):
                raise result
            yield result
            wait_s = 0

    def close(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_ENDING_S)

    async def _end(self) -> None:
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_ENDING_S / 2)
