"""What stands around the app in the worker: nobody is left without an answer of the API's own form."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.api.access import ROOT
from pipeline.api.problems import BROKE, BUSY_S, Problem

_ENDING = "the server is ending: ask again"

_log = logging.getLogger("shotlog.api")


class Outermost:
    """ASGI middleware: tells the app what it is mounted under; answers who still waits when the process ends, and who
    met what nobody foresaw, on a connection that stays.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        problem: Problem | None = None
        try:
            await self._app({**scope, "root_path": _root(scope)}, receive, sent)
        except asyncio.CancelledError:
            problem = Problem(503, "unavailable", _ENDING, headers={"Retry-After": str(BUSY_S)})
        except Exception:
            _log.exception("%s %s broke", scope.get("method"), scope.get("path"))
            problem = Problem(500, "internal_error", BROKE)
        if problem and not begun:
            await problem.response()(scope, receive, send)


def _root(scope: Scope) -> str:
    return next((value.decode() for name, value in scope.get("headers", ()) if name == ROOT.encode()), "")
