"""Completions about images and short videos: /v2/media/completions, and the same as OpenAI's clients ask for it."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request

from pipeline.api.access import Anyone, Asker
from pipeline.api.contract import AnswerMessage, ChatCompletion, ChatRequest, Choice, Message, Model, Models, Usage
from pipeline.api.events import Closing, written
from pipeline.api.problems import Problem
from pipeline.errors import MediaError, ShotlogError
from pipeline.steps import conversing
from pipeline.steps.conversing import Said, Shown
from pipeline.steps.service import Service

router = APIRouter(tags=["completions"])

_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}, "description": "The answer"}}
"""What a route that streams answers beside its model, for the OpenAPI document."""


@router.get("/v1/models")
async def models(request: Request, _caller: Anyone) -> Models:
    """The models that can be asked for."""
    service: Service = request.app.state.service
    return Models(data=[Model(id=name, created=request.app.state.started) for name in service.taggers.names])


@router.post("/v2/media/completions", response_model=ChatCompletion, responses=_EVENTS)
@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=_EVENTS)
async def complete(asked: ChatRequest, request: Request, _caller: Asker) -> ChatCompletion | Closing:
    """Answer the last message, in sight of all images and frames. With `stream`, as server-sent events."""
    service: Service = request.app.state.service
    model = model_of(service, asked.model)
    messages = [_said(message) for message in asked.messages]
    limit = asked.max_completion_tokens or asked.max_tokens
    try:
        conversing.check(service, messages)
        looking = service.submit(
            lambda: conversing.prompt_of(service, messages, max_tokens=limit, temperature=asked.heat)
        )
        prompt = await asyncio.wrap_future(looking)
        pieces = written(await asyncio.to_thread(conversing.converse, service, model, prompt))
        first = await anext(pieces)  # what can't be answered has a status, streamed or not
    except (ShotlogError, MediaError) as error:
        raise Problem.of(error, param="messages") from error
    answer = _Answer(model)
    if asked.stream:
        wants_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        events = _events(answer, first, pieces, wants_usage)
        return Closing(events, pieces.aclose, media_type="text/event-stream")
    async with aclosing(pieces):
        return await _whole(answer, first, pieces, request)


def model_of(service: Service, name: str | None) -> str:
    """Who is meant, by the whole name. Raises Problem 404."""
    if model := service.taggers.named(name):
        return model
    known = " or ".join(f"'{each}'" for each in service.taggers.names)
    raise Problem(404, "model_not_found", f"there is no model '{name}' here: ask for {known}", param="model")


def _said(message: Message) -> Said:
    if isinstance(message.content, str):
        return Said(message.role, (message.content,))
    return Said(
        message.role,
        tuple(part.text if part.type == "text" else Shown(part.image_url.url) for part in message.content),
    )


class _Answer:
    """One answer's own: its id, its model, when it was begun."""

    def __init__(self, model: str) -> None:
        self.model, self.id, self.created = model, f"chatcmpl-{uuid.uuid4().hex}", int(time.time())

    def chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head(), "choices": [choice]}

    def usage(self, usage: Usage) -> dict[str, Any]:
        return {**self._head(), "choices": [], "usage": usage.model_dump()}

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}


async def _whole(answer: _Answer, first: Any, pieces: AsyncIterator[Any], request: Request) -> ChatCompletion:
    item = first
    try:
        while isinstance(item, str):
            if await request.is_disconnected():
                raise Problem(499, "gone", "whoever asked has gone")
            item = await anext(pieces)
    except ShotlogError as error:
        raise Problem.of(error, param="messages") from error
    choice = Choice(message=AnswerMessage(content=item.text), finish_reason=_reason(item))
    return ChatCompletion(
        id=answer.id, created=answer.created, model=answer.model, choices=[choice], usage=_usage(item)
    )


async def _events(answer: _Answer, first: Any, pieces: AsyncGenerator[Any], wants_usage: bool) -> AsyncGenerator[str]:
    yield _event(answer.chunk({"role": "assistant", "content": ""}))
    item = first
    try:
        while isinstance(item, str):
            yield _event(answer.chunk({"content": item}))
            item = await anext(pieces)
    except ShotlogError as error:
        yield _event(Problem.of(error).body())
        return
    yield _event(answer.chunk({}, _reason(item)))
    if wants_usage:
        yield _event(answer.usage(_usage(item)))
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def _reason(completion: Any) -> Any:
    return "length" if completion.error_code else "stop"


def _usage(completion: Any) -> Usage:
    prompt, answer = completion.prompt_tokens, completion.completion_tokens
    return Usage(prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer)
