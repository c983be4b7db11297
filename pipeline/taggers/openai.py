"""`openai:MODEL`: asks any OpenAI-compatible server (vLLM, SGLang, `transformers serve`, a hosted API).

Many requests are in flight at a time, in an event loop on a thread of its own; the caller's thread brings prompts and
takes answers away. What a server can't do (structured outputs, a temperature) is found out by asking, once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager
from queue import SimpleQueue
from typing import Any, Self
from weakref import WeakSet

from pipeline.errors import CODES, TaggerError, UnfitError
from pipeline.settings import Settings
from pipeline.taggers import openai_wire as wire
from pipeline.taggers.engine import Completion, Prompt, Turn
from pipeline.taggers.eventloop import Calls, EventLoop
from pipeline.taggers.networks import require
from pipeline.taggers.openai_server import Server, last_status
from pipeline.taggers.vlm import VisionTagger

UNKNOWN_CONTEXT_TOKENS = 32_768
"""Taken where neither the settings nor the server say: what the smaller models of today hold."""

_AT_NONE_S = 0.05
_PROBE_S = 30.0
_FEWEST_FAILURES = 16

_TROUBLE = {"model_failed", "model_busy", "model_timeout", "tagger_refused"}
"""Codes that may be the server's fault as well as the frame's."""


class OpenAIEngine:
    """An engine that asks a server: see `taggers.engine.Engine`."""

    revision: str | None = None

    def __init__(self, model: str, settings: Settings) -> None:
        """Raises ModuleNotFoundError where the extra isn't installed, UsageError where the server's address is none."""
        require("openai")
        self._server = Server.of(model, settings)
        self._in_flight, self._deadline_s = settings.openai_in_flight, settings.openai_deadline_s
        self._told_context_tokens = settings.context_tokens
        self.model = model.rstrip("/").rpartition("/")[2] if model.startswith("/") else model  # a folder: its name
        self._models: dict[str, int | None] | None = None
        self._without: list[str] = []
        self._failed_in_a_row = 0
        self._opened: EventLoop | None = None
        self._client: Any = None
        self._left_open: WeakSet[Generator[Any, None, Any]] = WeakSet()

    def context_tokens(self) -> int:
        return self._told_context_tokens or self._served().get(self._server.model) or UNKNOWN_CONTEXT_TOKENS

    def _served(self) -> dict[str, int | None]:
        """What the server serves, asked once. Raises TaggerError."""
        if self._models is None:
            models = self._server.models()
            # who tells lengths lists all there is; others list less, `transformers serve` whatever lies in its cache
            if self._server.model not in models and any(models.values()):
                raise self._server.unknown_model(models)
            self._models = models
        return self._models

    # ---- open and closed

    def __enter__(self) -> Self:
        self._served()  # a wrong key is told before anything is decoded
        self._opened = EventLoop(self._connected)
        self._opened.__enter__()
        return self

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[None]:
        async with self._server.connected(in_flight=self._in_flight, deadline_s=self._deadline_s) as client:
            self._client = client
            self._room, self._watching = asyncio.Semaphore(self._in_flight), asyncio.Lock()
            yield

    def __exit__(self, *exc: object) -> None:
        for look in list(self._left_open):
            look.close()
        if self._opened:
            self._opened.__exit__(*exc)
        self._opened = self._client = None

    def _calls(self) -> Calls[Any]:
        if self._opened is None or self._opened.loop is None:
            raise RuntimeError("the engine isn't open: use it in a with statement")
        return Calls(self._opened.loop)

    # ---- many answers

    def complete(self, prompts: Iterable[Prompt | None]) -> Generator[Completion]:
        """Half as many prompts again as are in flight are held ready, so that the caller may be busy for a while."""
        completions = self._complete(prompts, self._calls())
        self._left_open.add(completions)
        return completions

    def _complete(self, prompts: Iterable[Prompt | None], calls: Calls[Completion]) -> Generator[Completion]:
        room = self._in_flight + max(1, self._in_flight // 2)
        try:
            for prompt in prompts:
                if prompt is not None:
                    calls.start(self._answer(prompt))
                full = calls.waiting >= room
                yield from calls.finished(wait_s=None if full else _AT_NONE_S if prompt is None else 0)
            while calls.waiting:
                yield from calls.finished(wait_s=None)
        finally:
            calls.close()

    async def _answer(self, prompt: Prompt) -> Completion:
        try:
            said = await asyncio.to_thread(wire.messages, prompt.turns)
        except Exception as error:  # a picture that no JPEG can be made of
            return Completion(prompt, "", "tagger_refused", f"{type(error).__name__}: {error}")
        async with self._room:
            completion = await self._ask(prompt, said, self._deadline_s)
        await self._watch(completion)
        return completion

    async def _ask(self, prompt: Prompt, said: list[dict[str, Any]], deadline_s: float) -> Completion:
        """One request with its retries. Raises TaggerError for what no other prompt would change."""
        import openai

        last_status.set(0)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(deadline_s):
                answer = await self._request(prompt, said)
            return wire.read(prompt, answer, server=self._server, model_s=time.perf_counter() - started)
        except TimeoutError:
            code = "model_busy" if last_status.get() == 429 else "model_timeout"
            detail = f"no answer within {deadline_s:g} s"
        except openai.OpenAIError as error:
            code, detail = wire.failure(error, self._server)
        except ValueError:
            code, detail = "model_failed", "the answer's body can't be read as JSON"
        return Completion(prompt, "", code, detail, model_s=time.perf_counter() - started)

    async def _request(self, prompt: Prompt, said: list[dict[str, Any]], *, streamed: bool = False) -> Any:
        """Ask, and ask again without what the server refuses, which is then left out for good."""
        import openai

        while True:
            body = wire.request(self._server.model, prompt, said, streamed=streamed, without=self._without)
            try:
                return await self._client.chat.completions.create(**body)
            except openai.APIStatusError as error:
                refused = wire.refused_parameter(wire.error_message(error.body), error.param, body)
                if error.status_code not in (400, 422) or refused is None:
                    raise
                self._leave_out(refused)

    def _leave_out(self, parameter: str) -> None:
        if parameter not in self._without:
            self._without.append(parameter)

    def distrust(self, completion: Completion) -> None:
        """No structured outputs from here on: some servers take the schema, say nothing, and don't keep to it."""
        if completion.prompt.schema:
            self._leave_out("response_format")

    async def _watch(self, completion: Completion) -> None:
        """Raise TaggerError when the server has stopped working, rather than let every frame that follows fail."""
        if completion.error_code not in _TROUBLE:
            self._failed_in_a_row = 0
            return
        self._failed_in_a_row += 1
        limit = max(_FEWEST_FAILURES, 2 * self._in_flight)
        if self._failed_in_a_row < limit:
            return
        async with self._watching:
            if self._failed_in_a_row >= limit and not await self._alive():
                raise TaggerError(
                    f"the model server at {self._server.url} stopped answering ({completion.detail}): look at its log, "
                    "and run again when it works (finished work is kept)"
                )
            self._failed_in_a_row = 0

    async def _alive(self) -> bool:
        """Whether it answers a few words without a picture: then the frames are at fault, and not the server."""
        word = Prompt((Turn("user", ("Answer with the word yes.",)),), max_tokens=16)
        deadline_s = min(_PROBE_S, self._deadline_s)
        return (await self._ask(word, wire.messages(word.turns), deadline_s)).error_code not in _TROUBLE

    # ---- one answer, as it is written

    def stream(self, prompt: Prompt) -> Generator[str, None, Completion]:
        pieces = self._stream(prompt, self._calls())
        self._left_open.add(pieces)
        return pieces

    def _stream(self, prompt: Prompt, calls: Calls[None]) -> Generator[str, None, Completion]:
        written: SimpleQueue[str | Exception | Completion] = SimpleQueue()
        calls.start(self._write(prompt, written.put))
        try:
            while not isinstance(piece := written.get(), Completion):
                if isinstance(piece, Exception):
                    raise piece
                yield piece
            return piece
        finally:
            calls.close()

    async def _write(self, prompt: Prompt, put: Callable[[str | Exception | Completion], None]) -> None:
        """Give the pieces, then the whole, or the TaggerError in its place."""
        import openai

        started = time.perf_counter()
        try:
            said = await asyncio.to_thread(wire.messages, prompt.turns)
            async with asyncio.timeout(self._deadline_s):
                chunks = await self._request(prompt, said, streamed=True)
            answer = wire.Streamed(prompt)
            async with chunks:
                async for chunk in chunks:
                    if text := answer.take(chunk):
                        put(text)
            whole = answer.completion(time.perf_counter() - started)
            if whole.error_code in (None, "answer_cut"):
                return put(whole)
            code, detail = str(whole.error_code), whole.detail
        except TimeoutError:
            code, detail = "model_timeout", f"no answer within {self._deadline_s:g} s"
        except openai.OpenAIError as error:
            try:
                code, detail = wire.failure(error, self._server)
            except TaggerError as unusable:
                return put(unusable)
        except Exception as error:
            code, detail = "model_failed", self._server.said(f"{type(error).__name__}: {error}")
        return put(_sentence(code, detail))


def _sentence(code: str, detail: str) -> TaggerError:
    next_step = CODES[code].next_step.removeprefix("the next run tries again; ")
    kind = UnfitError if code in ("context_too_small", "tagger_refused", "answer_refused") else TaggerError
    return kind(f"{CODES[code].sentence} ({detail}): {next_step}")


class OpenAI(VisionTagger):
    """The tagger `openai:MODEL`."""

    def __init__(self, model: str, settings: Settings) -> None:
        super().__init__("openai", OpenAIEngine(model, settings), settings)
