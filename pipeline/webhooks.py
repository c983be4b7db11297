"""Webhooks: who is told how a job or a run ended, how the message is signed, and when it is tried again.

Signed as Standard Webhooks and Svix do, under the header names of both, so that a receiver can use either library.
"""

from __future__ import annotations

import base64
import json
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from standardwebhooks.webhooks import Webhook

from pipeline.errors import UsageError

SECRET_PREFIX = "whsec_"
MOST_BYTES = 1 << 20
"""Larger results are left out of a message; its receiver fetches them."""

MOST_ATTEMPTS = 20
"""The last one comes about six days after the first."""

_FIRST_S, _MOST_S = 5.0, 86_400.0
_TIMEOUT = httpx.Timeout(15, connect=10)
_LEAST_SECRET, _MOST_SECRET = 24, 64  # bytes, as the Standard Webhooks specification has them


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who is told. secrets: the newest first; all of them sign, so that a receiver may change over when it likes."""

    name: str
    url: str
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try to deliver a message ended. status: of HTTP, None where there was no answer."""

    status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def unwanted(self) -> bool:
        """410: the receiver says that it is gone for good."""
        return self.status == 410


def load_endpoints(path: Path) -> dict[str, Endpoint]:
    """Endpoints by name, from a file that its owner alone may read, a table for each:

        [newsroom]
        url = "https://newsroom.example/shotlog"
        secrets = ["whsec_…", "whsec_…"]

    Raises UsageError for one that can't be used. Without the file there are none.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    if mode & 0o077:
        raise UsageError(f"others may read the secrets in '{path}': chmod 600 '{path}'")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"'{path}' is no TOML: {error}") from None
    return {name: _endpoint(path, name, table) for name, table in tables.items()}


def _endpoint(path: Path, name: str, table: Any) -> Endpoint:
    if not isinstance(table, dict) or set(table) != {"url", "secrets"}:
        raise UsageError(f"endpoint '{name}' in '{path}' needs url and secrets, and nothing else")
    url, secrets = table["url"], table["secrets"]
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UsageError(f"endpoint '{name}' in '{path}' has no http(s) URL")
    if not isinstance(secrets, list) or not secrets or not all(_is_secret(secret) for secret in secrets):
        raise UsageError(
            f"endpoint '{name}' in '{path}' needs secrets: {SECRET_PREFIX} and {_LEAST_SECRET} to {_MOST_SECRET} bytes "
            "in base64"
        )
    return Endpoint(name, url, tuple(secrets))


def _is_secret(secret: Any) -> bool:
    if not isinstance(secret, str) or not secret.startswith(SECRET_PREFIX):
        return False
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:  # also of what isn't ASCII
        return False
    return _LEAST_SECRET <= len(key) <= _MOST_SECRET


def message(event_type: str, happened_at: datetime, data: Mapping[str, Any]) -> bytes:
    """The body of a message. `results` and `failures` in data are null where they are too many."""
    body = _body(event_type, happened_at, data)
    if len(body) <= MOST_BYTES:
        return body
    few = {name: None if name in ("results", "failures") else value for name, value in data.items()}
    return _body(event_type, happened_at, few)


def _body(event_type: str, happened_at: datetime, data: Mapping[str, Any]) -> bytes:
    told = {"event_type": event_type, "timestamp": happened_at.astimezone(UTC).isoformat(), "data": dict(data)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def headers(endpoint: Endpoint, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """What is sent along: the message's id, when it was sent, and its signatures, one a secret."""
    now = now.astimezone(UTC)
    signatures = [Webhook(secret).sign(message_id, now, body.decode()) for secret in endpoint.secrets]
    told = {"id": message_id, "timestamp": str(int(now.timestamp())), "signature": " ".join(signatures)}
    return {f"{name}-{key}": value for name in ("webhook", "svix") for key, value in told.items()}


def deliver(client: httpx.Client, endpoint: Endpoint, message_id: str, body: bytes) -> Attempt:
    """Try once. Any answer and any failure is an Attempt; its error says no more of a URL than the host."""
    signed = headers(endpoint, message_id, body, datetime.now(UTC))
    told = {**signed, "Content-Type": "application/json", "User-Agent": "shotlog"}
    try:
        with client.stream("POST", endpoint.url, content=body, headers=told, timeout=_TIMEOUT) as answer:
            status = answer.status_code  # what else it says is nobody's to read, however long it is
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Attempt(error=f"{urlsplit(endpoint.url).hostname}: {type(error).__name__}")
    return Attempt(status, None if 200 <= status < 300 else f"HTTP {status}")


def next_try_s(attempts: int, chance: random.Random) -> float | None:
    """Seconds until the next try after so many, None after the last: 5 s, doubled each time up to a day, ± a half."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return min(_MOST_S, _FIRST_S * 2.0 ** (attempts - 1) * chance.uniform(0.5, 1.5))
