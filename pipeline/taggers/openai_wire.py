"""What goes over the wire between the openai engine and its server: what is asked, and what came back."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from pipeline.taggers.engine import Completion, Prompt, Turn
from pipeline.taggers.openai_server import Server

JPEG_QUALITY = 90

_CONTEXT = re.compile(
    # vLLM: "maximum context length", "maximum model length", older ones "max_tokens must be at least 1, got -7";
    # SGLang: "longer than the model's context length"; llama.cpp: "context size"; OpenAI: the code
    r"context[ _](length|size|window)|maximum model length|max_tokens must be at least 1, got -",
    re.IGNORECASE,
)
_SCHEMA = re.compile(r"response_format|json_schema|structured|grammar|guided|\bschema\b", re.IGNORECASE)
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecognized|unexpected|not permitted|only the default|instead", re.I
)


def jpeg_url(image: np.ndarray) -> str:
    """A picture (RGB uint8 of shape (height, width, 3)) as a data URL. Raises ValueError where it has no pixel."""
    jpeg = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).convert("RGB").save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.getbuffer()).decode("ascii")


def messages(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Turns as the API takes them. What has no picture goes as plain text, which every server takes from every role."""
    return [{"role": turn.role, "content": _content(turn.parts)} for turn in turns]


def _content(parts: tuple[str | np.ndarray, ...]) -> str | list[dict[str, Any]]:
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):
        return "\n".join(texts)
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": jpeg_url(part)}}
        for part in parts
    ]


def request(
    model: str, prompt: Prompt, said: list[dict[str, Any]], *, streamed: bool = False, without: Iterable[str] = ()
) -> dict[str, Any]:
    """The body of a request. without: parameters that this server has refused."""
    body = {"model": model, "messages": said, "max_tokens": prompt.max_tokens, "temperature": prompt.temperature}
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if prompt.schema:
        held = {"name": "answer", "schema": _parsed(prompt.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": held}
    for refused in without:
        limit = body.pop(refused, None)
        if refused == "max_tokens":
            body["max_completion_tokens"] = limit
    return body


@lru_cache(64)
def _parsed(schema: str) -> Any:
    return json.loads(schema)


def refused_parameter(message: str, param: str | None, body: Mapping[str, Any]) -> str | None:
    """Which parameter of a request a 400 is about, so that it can be asked again without; None: it is about more.

    "Unsupported parameter: 'max_tokens' … Use 'max_completion_tokens' instead."  →  max_tokens
    """
    if _CONTEXT.search(message):
        return None
    if "response_format" in body and (_SCHEMA.search(message) or param == "response_format"):
        return "response_format"
    if _UNSUPPORTED.search(message):
        for name in ("max_tokens", "temperature", "stream_options"):
            if name in body and (param == name or re.search(rf"\b{name}\b", message)):
                return name
    return None


def failure(error: Exception, server: Server) -> tuple[str, str]:
    """The error code and detail of one request. Raises TaggerError for what no other prompt would change."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        return "model_timeout", "the request timed out"
    if not isinstance(error, openai.APIStatusError):
        return "model_failed", server.said(getattr(error, "message", error))
    if error.status_code in (401, 403, 404):
        raise server.unusable(error) from None
    message = error_message(error.body)
    detail = server.said(f"{error.status_code} {message}".strip())
    if error.status_code == 429:
        return "model_busy", detail
    if error.status_code in (400, 413, 422):
        return _refusal_code(message, error.code), detail
    return "model_failed", detail


def error_message(body: object) -> str:
    """What a server says in the body of an error: OpenAI's, SGLang's and FastAPI's shapes."""
    if isinstance(body, Mapping):
        found = body.get("message") or body.get("detail") or body.get("error") or ""
        return found if isinstance(found, str) else json.dumps(found)
    return body if isinstance(body, str) and not body.lstrip().startswith("<") else ""


def _refusal_code(message: str, code: str | None) -> str:
    """The error code of a request that was refused for what is in it.

    >>> _refusal_code("This model's maximum context length is 4096 tokens. However, you requested 5120 tokens", None)
    'context_too_small'
    """
    if code in ("content_filter", "content_policy_violation"):
        return "answer_refused"
    return "context_too_small" if _CONTEXT.search(f"{message} {code or ''}") else "tagger_refused"


def read(prompt: Prompt, answer: Any, *, server: Server, model_s: float) -> Completion:
    """The first choice of a chat completion. The client checks no types, so its shape isn't taken for granted."""
    choices = getattr(answer, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    if message is None:
        seen = answer if isinstance(answer, str) else type(answer).__name__
        return Completion(prompt, "", "model_failed", server.said(f"no choices in the answer: {seen}"), model_s=model_s)
    text, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
    code, detail = _ending(getattr(choice, "finish_reason", None), refusal, prompt)
    if text is not None and not isinstance(text, str):
        code, detail = "model_failed", f"the answer's content is no text but {type(text).__name__}"
    usage = getattr(answer, "usage", None)
    return Completion(
        prompt,
        text if isinstance(text, str) else "",
        code,
        server.said(detail),
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        model_s=model_s,
    )


def _ending(finish_reason: object, refusal: object, prompt: Prompt) -> tuple[str | None, str]:
    if refusal or finish_reason == "content_filter":
        return "answer_refused", str(refusal or "content_filter")
    if finish_reason == "length":
        return "answer_cut", f"{prompt.max_tokens} tokens"
    if finish_reason in ("abort", "error"):  # vLLM, SGLang; gateways
        return "model_failed", f"finish_reason {finish_reason}"
    return None, ""


def _count(usage: object, name: str) -> int:
    number = getattr(usage, name, None)
    # a count that no column holds is none
    return number if type(number) is int and 0 < number < 2**31 else 0


class Streamed:
    """A streamed answer as its chunks bring it together."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt, self._text = prompt, ""
        self._code: str | None = None
        self._detail = ""
        self._prompt_tokens = self._completion_tokens = 0

    def take(self, chunk: Any) -> str:
        """The text that one chunk adds; the last one has no choice, and says what it took."""
        if usage := getattr(chunk, "usage", None):
            self._prompt_tokens = _count(usage, "prompt_tokens")
            self._completion_tokens = _count(usage, "completion_tokens")
        choices = getattr(chunk, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        delta = getattr(choice, "delta", None)
        code, detail = _ending(getattr(choice, "finish_reason", None), getattr(delta, "refusal", None), self._prompt)
        if code:
            self._code, self._detail = code, detail
        text = getattr(delta, "content", None)
        self._text += text if isinstance(text, str) else ""
        return text if isinstance(text, str) else ""

    def completion(self, model_s: float) -> Completion:
        """All of it, once there are no more chunks."""
        code, detail = self._code, self._detail
        if not code and not self._text:
            code, detail = "model_failed", "an empty answer"
        counts = self._prompt_tokens, self._completion_tokens
        return Completion(self._prompt, self._text, code, detail, *counts, model_s)
