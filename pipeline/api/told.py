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
_NOTHING_ELSE = "default-src 'none'"


class Told:
    """Adds the headers, logs key, method, path, status and time when an answer has begun, and counts it."""

    def __init__(self, app: ASGIApp, calls: Calls) -> None:
        self._app, self._calls = app, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began = time.perf_counter()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if path_of(scope) != "/docs":  # whose page loads its scripts from elsewhere
                    headers["Content-Security-Policy"] = _NOTHING_ELSE
                key, took_s = scope.get("state", {}).get("key"), time.perf_counter() - began
                asked = f"{scope['method']} {path_of(scope)}"
                _log.info("%s %r %d %.0f ms", key.name if key else "-", asked, message["status"], 1000 * took_s)
                self._calls.count(scope["method"], path_of(scope), message["status"], took_s)
            await send(message)

        return await self._app(scope, receive, told)
