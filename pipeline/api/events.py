"""Answers that are written while they are sent, and no further than somebody listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

AT_ONCE = 128
"""Answers that are written at a time, each in a thread that mostly waits for the model."""

_ending: set[asyncio.Task[None]] = set()
_limiter: anyio.CapacityLimiter | None = None


class Closing(StreamingResponse):
    """Closes what it streams, also when whoever asked goes away in the middle: nobody else would.

    close: called then, too, since a generator that nobody has begun closes nothing.
    """

    def __init__(self, content: AsyncGenerator[Any], close: Callable[[], Awaitable[None]], **more: Any) -> None:
        super().__init__(content, **more)
        self._content, self._close = content, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            _in_background(self._closed())

    async def _closed(self) -> None:
        await self._content.aclose()
        await self._close()


async def written(pieces: Generator[str, None, Any]) -> AsyncGenerator[Any]:
    """The pieces of a generator that waits, each taken in a thread, then what it returns."""
    step: asyncio.Future[Any] | None = None
    try:
        item: Any = ""
        while isinstance(item, str):
            step = asyncio.ensure_future(anyio.to_thread.run_sync(_next, pieces, limiter=_room()))
            item = await asyncio.shield(step)
            yield item
    finally:
        _in_background(_closed(pieces, step))


def _next(pieces: Generator[str, None, Any]) -> Any:
    try:
        return next(pieces)
    except StopIteration as end:
        return end.value


async def _closed(pieces: Generator[str, None, Any], step: asyncio.Future[Any] | None) -> None:
    """Close it once the thread that is in it has come out."""
    if step is not None:
        await asyncio.wait({step})
        with suppress(Exception):
            step.result()
    await anyio.to_thread.run_sync(pieces.close)


def _in_background(work: Coroutine[Any, Any, None]) -> None:
    """Also where the task that asks for it is being cancelled."""
    task = asyncio.get_running_loop().create_task(work)
    _ending.add(task)
    task.add_done_callback(_ending.discard)


def _room() -> anyio.CapacityLimiter:
    """Threads of its own: the server's others answer whether it is well."""
    global _limiter
    _limiter = _limiter or anyio.CapacityLimiter(AT_ONCE)
    return _limiter
