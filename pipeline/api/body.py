"""A request's body is read up to a limit and within a time, before anything is made of it."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.api.access import is_open
from pipeline.api.problems import Problem

_NOBODYS_BYTES = 1024  # of who needs no key, and has nothing to say

WITHIN_S = 60.0
"""All of a body has to come in this time."""


class BodyLimit:
    """ASGI middleware: 413 for a longer body, said or sent; 408 for one that doesn't come to its end."""

    def __init__(self, app: ASGIApp, most_bytes: int, within_s: float = WITHIN_S) -> None:
        self._app, self._most_bytes, self._within_s = app, most_bytes, within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            parts = await self._read(scope, receive)
        except Problem as problem:
            return await problem.response()(scope, receive, send)
        if parts is None:  # whoever asked has gone
            return None

        async def again() -> Message:
            return parts.pop(0) if parts else await receive()

        return await self._app(scope, again, send)

    async def _read(self, scope: Scope, receive: Receive) -> list[Message] | None:
        """The messages of the whole body. Raises Problem."""
        limit = _NOBODYS_BYTES if is_open(scope) else self._most_bytes
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > limit:
            raise self._too_large()
        parts: list[Message] = []
        size = 0
        try:
            async with asyncio.timeout(self._within_s):
                while not parts or parts[-1].get("more_body", False):
                    part = await receive()
                    if part["type"] == "http.disconnect":
                        return None
                    parts.append(part)
                    size += len(part.get("body", b""))
                    if size > limit:
                        raise self._too_large()
        except TimeoutError:
            sentence = f"the body didn't come within {self._within_s:g} s"
            raise Problem(408, "body_timeout", sentence, headers={"Connection": "close"}) from None
        return parts

    def _too_large(self) -> Problem:
        limit = self._most_bytes >> 20
        return Problem(413, "too_large", f"a body may have {limit} MB", headers={"Connection": "close"})
