"""A request's body is read up to a limit and within a time, before anything is made of it."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.api.access import is_open
from pipeline.api.problems import BUSY_S, Problem

AT_ONCE = 8
"""So many of the longest bodies may be in memory at a time."""

_NOBODYS_BYTES = 1024  # of who needs no key, and has nothing to say

WITHIN_S = 60.0
"""All of a body has to come in this time."""


class _Share:
    """What one request's body takes of memory by now."""

    size = 0


class BodyLimit:
    """ASGI middleware: 413 for a longer body, said or sent; 408 for one that doesn't come to its end; 503 where there
    are more at a time than memory is meant for.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, within_s: float = WITHIN_S) -> None:
        self._app, self._most_bytes, self._within_s = app, most_bytes, within_s
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        share = _Share()
        try:
            parts = await self._read(scope, receive, share)

            async def again() -> Message:
                return parts.pop(0) if parts else await receive()

            return await self._app(scope, again, send) if parts else None  # none: whoever asked has gone
        except Problem as problem:
            return await problem.response()(scope, receive, send)
        finally:
            self._held_bytes -= share.size

    async def _read(self, scope: Scope, receive: Receive, share: _Share) -> list[Message]:
        """The messages of the whole body; none where who sent it goes away. Raises Problem."""
        limit = _NOBODYS_BYTES if is_open(scope) else self._most_bytes
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > limit:
            raise self._too_large()
        parts: list[Message] = []
        try:
            async with asyncio.timeout(self._within_s):
                while not parts or parts[-1].get("more_body", False):
                    part = await receive()
                    if part["type"] == "http.disconnect":
                        return []
                    parts.append(part)
                    share.size += (size := len(part.get("body", b"")))
                    self._held_bytes += size
                    if share.size > limit:
                        raise self._too_large()
                    if self._held_bytes > AT_ONCE * self._most_bytes:
                        raise Problem(503, "busy", "too much is being sent", headers={"Retry-After": str(BUSY_S)})
        except TimeoutError:
            sentence = f"the body didn't come within {self._within_s:g} s"
            raise Problem(408, "body_timeout", sentence, headers={"Connection": "close"}) from None
        return parts

    def _too_large(self) -> Problem:
        limit = self._most_bytes >> 20
        return Problem(413, "too_large", f"a body may have {limit} MB", headers={"Connection": "close"})
