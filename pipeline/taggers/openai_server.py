"""The server of the openai engine: where it is, how we sign in, what it serves, and what is said when it can't be
used."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.errors import TaggerError, UsageError
from pipeline.settings import Settings

if TYPE_CHECKING:
    import httpx2
    import openai

RETRIES = 5
"""The client's own, after 0.5, 1, 2, 4 and 8 s or when Retry-After (up to 120 s) says: of connections and time-outs
that failed, 408, 409, 429 and 5xx."""

CONNECT_S = 10.0
DETAIL_CHARACTERS = 300
EXAMPLE = "http://127.0.0.1:8000/v1"

last_status: ContextVar[int] = ContextVar("last_status", default=0)
"""Of the last response within this task, also of those that are tried again."""


@dataclass(frozen=True, slots=True)
class Server:
    """url: without user and password. headers: how we sign in, beside the key. secrets: never to be shown."""

    url: str
    model: str
    key: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, model: str, settings: Settings) -> Server:
        """Raises UsageError where the address is missing, or is none, or signs in twice."""
        if not settings.openai_base_url:
            raise UsageError(
                f"tagger 'openai' needs to know its server: set SHOTLOG_OPENAI_BASE_URL, as {EXAMPLE} "
                "(and SHOTLOG_OPENAI_API_KEY where it wants a key)"
            )
        parts = _parsed(settings.openai_base_url.strip())
        key = settings.openai_api_key.get_secret_value().strip() if settings.openai_api_key else ""
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if (user or password) and key:
            raise UsageError(
                "openai_base_url names a user and openai_api_key is set too, but a request carries only one: "
                "leave one of them out"
            )
        signed = base64.b64encode(f"{user}:{password}".encode()).decode() if user or password else ""
        return cls(
            url=urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", "")),
            model=model,
            key=key or "none",  # the client insists on one, where a server on one's own machine wants none
            headers={"Authorization": f"Basic {signed}"} if signed else {},
            secrets=tuple(filter(None, (key, password, parts.password, signed))),
        )

    # ---- connections

    @asynccontextmanager
    async def connected(self, *, in_flight: int, deadline_s: float) -> AsyncGenerator[openai.AsyncOpenAI]:
        """A client whose connections suffice for so many requests at a time, and a few more."""
        import httpx2
        import openai

        async def note(response: httpx2.Response) -> None:
            last_status.set(response.status_code)

        most = in_flight + 8
        transport = openai.DefaultAsyncHttpxClient(
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
            event_hooks={"response": [note]},
        )
        timeout = openai.Timeout(deadline_s, connect=min(CONNECT_S, deadline_s))
        made = openai.AsyncOpenAI(**self._explicit(), max_retries=RETRIES, timeout=timeout, http_client=transport)
        async with made as client:
            client._custom_headers = self._headers()
            yield client

    def models(self) -> dict[str, int | None]:
        """Model → tokens it can hold, where the server says (vLLM and SGLang do). Empty where it lists none.

        Raises TaggerError for a key that is refused and a server that can't be reached.
        """
        import openai

        try:
            with openai.OpenAI(**self._explicit(), max_retries=2, timeout=CONNECT_S) as client:
                client._custom_headers = self._headers()
                listed = json.loads(client.models.with_raw_response.list().text)
        except openai.OpenAIError as error:
            if getattr(error, "status_code", None) in (404, 405, 500, 501):
                return {}  # a server need not list its models; `transformers serve` fails over it without a cache
            raise self.unusable(error) from None
        except ValueError:
            return {}
        rows = listed.get("data") if isinstance(listed, dict) else None
        found = {row["id"]: row.get("max_model_len") for row in rows or () if isinstance(row, dict) and "id" in row}
        return {str(name): held if isinstance(held, int) else None for name, held in found.items()}

    def _explicit(self) -> dict[str, Any]:
        """What isn't given, the client takes from OPENAI_… variables, which may be meant for another server."""
        return {
            "base_url": self.url,
            "api_key": self.key,
            "admin_api_key": "",
            "organization": "",
            "project": "",
        }

    def _headers(self) -> dict[str, Any]:
        """To be set on a client once it is made: it adds those of OPENAI_CUSTOM_HEADERS to what it is given."""
        import openai

        return {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit(), **self.headers}

    # ---- sentences

    def said(self, text: object) -> str:
        """What a server said, fit to be kept: no secret, no picture, one line, not long."""
        line = re.sub(r"data:image/[^\s\"']*", "data:image/…", " ".join(str(text).split()))
        for secret in self.secrets:
            line = line.replace(secret, "…")
        return line if len(line) <= DETAIL_CHARACTERS else f"{line[: DETAIL_CHARACTERS - 1]}…"

    def unusable(self, error: Exception) -> TaggerError:
        """What a person is told when the server as a whole can't be used."""
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            # its own message isn't shown: some repeat the key
            return TaggerError(f"the model server at {self.url} refused the key ({status}): set SHOTLOG_OPENAI_API_KEY")
        if status == 404:
            return self.unknown_model(())
        if status is None:
            reason = self.said(error).rstrip(".").lower()
            return TaggerError(
                f"the model server at {self.url} can't be reached ({reason}): start it, or set "
                "SHOTLOG_OPENAI_BASE_URL to where it is"
            )
        return TaggerError(f"the model server at {self.url} doesn't work ({self.said(error)}): look at its log")

    def unknown_model(self, models: Iterable[str]) -> TaggerError:
        known = self.said(", ".join(sorted(models)))
        there = f"it has {known}" if known else "name one it has (404; the address usually ends in /v1)"
        return TaggerError(f"the model server at {self.url} doesn't serve '{self.model}': {there}")


def _parsed(url: str) -> Any:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment:
        shown = url.rpartition("@")[2].partition("?")[0]
        raise UsageError(f"openai_base_url can't be '{shown}': give the server's address, as {EXAMPLE}")
    return parts
