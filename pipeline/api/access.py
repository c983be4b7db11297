"""Who calls, what they may, how often: a key in `Authorization: Bearer …` everywhere but health."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.api.problems import Problem
from pipeline.errors import UsageError
from pipeline.steps.keys import Key, Keyring

_log = logging.getLogger("shotlog.api")
_bearer = HTTPBearer(auto_error=False, description="A key, as `shotlog keys create` shows it once.")


class Access:
    """The keys, and how often each has called of late."""

    def __init__(self, keyring: Keyring, calls_a_minute: int) -> None:
        self._keyring = keyring
        self._limit = RateLimitItemPerMinute(calls_a_minute)
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def key(self, presented: str | None) -> Key:
        """The key that was presented. Raises Problem 401."""
        try:
            found = self._keyring.find(presented) if presented else None
        except (UsageError, OSError) as error:
            _log.error("%s", error)
            raise Problem(503, "unavailable", "the server's file of keys can't be used: its log says why") from error
        if found is None:
            sentence = "no key was given" if presented is None else "the key is unknown, revoked or expired"
            raise Problem(
                401,
                "invalid_api_key",
                f"{sentence}: send Authorization: Bearer KEY (`shotlog keys create` makes one)",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found

    def count(self, key: Key) -> None:
        """Raises Problem 429 for one call too many within a minute."""
        if not self._window.hit(self._limit, key.name):
            wait_s = max(1, math.ceil(self._window.get_window_stats(self._limit, key.name).reset_time - time.time()))
            raise Problem(
                429,
                "rate_limit_exceeded",
                f"more than {self._limit.amount} calls a minute: wait {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )


KEY, SCOPES, ROOT = "x-shotlog-key", "x-shotlog-scopes", "x-shotlog-root"
"""Headers in which the gate tells the worker who calls, what they may, and what path the API is mounted under."""

OPEN = ("/healthz", "/readyz", "/docs", "/openapi.json")
"""Paths that need no key: whether it works, and what it can do."""


class Doorman:
    """ASGI middleware: 401 without a valid key and 429 for one call too many, before a byte of the body is read."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope):
            told = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            kind, _, presented = told.decode("latin-1").partition(" ")
            try:
                key = self._access.key(presented.strip() if kind.lower() == "bearer" else None)
                scope.setdefault("state", {})["key"] = key
                if not _asks_how_far(scope):
                    self._access.count(key)
            except Problem as problem:
                return await problem.response()(scope, receive, send)
        return await self._app(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Whether a request needs no key."""
    return scope["method"] in ("GET", "HEAD") and path_of(scope) in OPEN


def _asks_how_far(scope: Scope) -> bool:
    """Whether somebody asks about a job: that may be done as often as one likes."""
    return scope["method"] == "GET" and path_of(scope).startswith("/v2/media/categories/")


def path_of(scope: Scope) -> str:
    """The path within this app, which may be mounted in another."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def told(key: Key) -> list[tuple[bytes, bytes]]:
    """What the gate tells the worker of who calls: headers that nobody else can send it."""
    return [(KEY.encode(), key.name.encode()), (SCOPES.encode(), " ".join(key.scopes).encode())]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the gate tells."""

    name: str
    scopes: tuple[str, ...]


def caller(*needed: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency that gives who calls, if they may do one of these."""

    async def check(request: Request, _credentials: Annotated[object, Security(_bearer)]) -> Caller:
        who = Caller(request.headers[KEY], tuple(request.headers[SCOPES].split()))
        if not {*needed, "admin"} & set(who.scopes):
            scopes = " or ".join(f"'{scope}'" for scope in needed or ("admin",))
            raise Problem(403, "missing_scope", f"key '{who.name}' may not do this: it needs the scope {scopes}")
        return who

    return check


Anyone = Annotated[Caller, Depends(caller("ask", "tag"))]
Asker = Annotated[Caller, Depends(caller("ask"))]
Admin = Annotated[Caller, Depends(caller())]
Tags = Annotated[Caller, Depends(caller("tag"))]
