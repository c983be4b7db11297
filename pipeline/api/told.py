"""What every answer carries, and what the log says of every call. ASGI middleware, outermost."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.api.access import path_of
from pipeline.api.calls import Calls

_log = logging.getLogger("shotlog.api")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_GONE = 499  # as nginx notes a caller who didn't wait for the answer
_NOTHING_ELSE = "default-src 'none'"


class Told:
    """Adds the headers, logs key, method, path, status and time when an answer has begun, and counts it."""

    def __init__(self, app: ASGIApp, calls: Calls) -> None:
        self._app, self._calls = app, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()

        status = _GONE

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if path_of(scope) != "/docs":  # whose page loads its scripts from elsewhere
                    headers["Content-Security-Policy"] = _NOTHING_ELSE
                status = message["status"]
                self._note(scope, status, time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            if status == _GONE:
                self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, took_s: float) -> None:
        key, asked = scope.get("state", {}).get("key"), f"{scope['method']} {path_of(scope)}"
        _log.info("%s %r %d %.0f ms", key.name if key else "-", asked, status, 1000 * took_s)
        self._calls.count(scope["method"], path_of(scope), status, took_s)
