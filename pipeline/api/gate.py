"""The server's own process: who calls, how much, how often; all else is passed on to the worker, which has the tagger.

An ASGI app of its own, so that it also runs inside another server; it needs no lifespan.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api import access
from pipeline.api.access import Access, Doorman, path_of
from pipeline.api.body import BodyLimit
from pipeline.api.calls import Calls
from pipeline.api.events import Closing
from pipeline.api.keeper import Worker
from pipeline.api.problems import BROKE, BUSY_S, Problem
from pipeline.api.told import Told
from pipeline.errors import ShotlogError
from pipeline.settings import load_settings
from pipeline.steps.keys import keyring

_PASSED_ON = {b"accept", b"content-type", b"user-agent"}
"""Headers of a request that the worker hears. Its key isn't among them."""

MOST_VALUES = 100_000
"""In one body. Read, each takes some hundred bytes of memory, whatever it takes to send."""

_log = logging.getLogger("shotlog.api")

_NOT_BACK = {b"connection", b"keep-alive", b"transfer-encoding", b"date", b"server"}
"""Headers of an answer that are of the connection to the worker alone."""


class Gate:
    """See the module. One a server process."""

    def __init__(self, request: dict[str, Any]) -> None:
        """request: settings by their names. Raises UsageError."""
        settings = load_settings(**request)
        self.tagger = settings.tagger
        self.worker = Worker(request, settings)
        self._client: httpx.AsyncClient | None = None
        app: ASGIApp = BodyLimit(self._answer, most_bytes=settings.body_mb << 20)
        app = Doorman(app, Access(keyring(settings), settings.calls_a_minute))
        if settings.cors_origins:
            app = CORSMiddleware(
                app,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["*"],
                expose_headers=["Retry-After"],
            )
        self._calls = Calls()
        self._app = Told(app, self._calls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response | None
        if path_of(scope) == "/healthz":
            response = JSONResponse({"status": "ok"})
        else:
            try:
                asks = self._measured(scope) if path_of(scope) == "/metrics" else self._passed_on(scope, receive)
                response = await asks
            except Problem as problem:
                response = problem.response()
            except ShotlogError as error:
                response = Problem.of(error).response()
            except httpx.InvalidURL:
                response = Problem(404, "not_found", "there is nothing at this path").response()
            except httpx.TransportError:
                response = Problem(
                    503, "unavailable", "the worker process died on the way", headers={"Retry-After": str(BUSY_S)}
                ).response()
            except Exception:
                _log.exception("%s %s broke", scope["method"], path_of(scope))
                response = Problem(500, "internal_error", BROKE).response()
        if response is not None:  # else whoever asked has gone
            await response(scope, receive, send)

    async def _measured(self, scope: Scope) -> Response:
        """What the worker counts, and what the gate does."""
        answer = await self._send(scope, b"")
        text = await answer.aread()
        if answer.status_code == 200:
            text += self._calls.text()
        return Response(text, answer.status_code, media_type=answer.headers["content-type"])

    async def _passed_on(self, scope: Scope, receive: Receive) -> Response | None:
        body = await _body(receive)
        if body and _type(scope) != b"application/json":
            raise Problem(415, "unsupported_media_type", "send the body as Content-Type: application/json")
        if sum(body.count(mark) for mark in (b"[", b"{", b",")) > MOST_VALUES:
            raise Problem(422, "too_many_values", f"a body may hold {MOST_VALUES:,} values")
        sending, leaving = asyncio.ensure_future(self._send(scope, body)), asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                return None
            answer = await sending
        finally:
            leaving.cancel()
            sending.cancel()
        # closed before its end, it tells the worker that nobody listens any more
        response = Closing(_parts(answer), answer.aclose, status_code=answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _NOT_BACK
        ]
        return response

    async def _send(self, scope: Scope, body: bytes) -> httpx.Response:
        await self.worker.ready()
        if self._client is None:
            transport = httpx.AsyncHTTPTransport(uds=str(self.worker.socket), limits=httpx.Limits(max_connections=None))
            self._client = httpx.AsyncClient(transport=transport, timeout=None)
        headers = [(name, value) for name, value in scope["headers"] if name in _PASSED_ON]
        headers.append((access.ROOT.encode(), scope.get("root_path", "").encode()))
        key = scope.get("state", {}).get("key")
        request = self._client.build_request(
            scope["method"],
            httpx.URL("http://worker", raw_path=_raw_path(scope)),
            headers=[*headers, *(access.told(key) if key else [])],
            content=body or None,
        )
        return await self._client.send(request, stream=True)


def _type(scope: Scope) -> bytes:
    """What its sender says the body is."""
    said = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    return bytes(said).partition(b";")[0].strip().lower()


def _raw_path(scope: Scope) -> bytes:
    """Path and query as they were sent, without what this app is mounted under."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    path = path.partition(b"?")[0].removeprefix(scope.get("root_path", "").encode())
    return path + (b"?" + scope["query_string"] if scope["query_string"] else b"")


async def _body(receive: Receive) -> bytes:
    """All of it: how long it may be is known by now."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _gone(receive: Receive) -> None:
    """Return when whoever asked goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _parts(answer: httpx.Response) -> AsyncGenerator[bytes]:
    async for part in answer.aiter_raw():
        yield part
