"""How many questions are answered at a time. Each holds its pictures, up to 200 MB, until it has its answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.problems import BUSY_S, Problem

MOST = 32


class Crowd:
    """ASGI middleware: 503 for a question while MOST others are being answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._now = app, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/completions"):
            return await self._app(scope, receive, send)
        if self._now >= MOST:
            busy = Problem(503, "busy", f"{MOST} questions are being answered", headers={"Retry-After": str(BUSY_S)})
            return await busy.response()(scope, receive, send)
        self._now += 1
        try:
            return await self._app(scope, receive, send)
        finally:
            self._now -= 1
