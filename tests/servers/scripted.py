"""A server that goes wrong as it is told, for faults that a real one can't be made to show. Its answers mean nothing.

A prompt's text chooses the fault: "busy 3" gets what `script["busy 3"]` says, one entry a request, and a good answer
when the list is at its end. Whatever has no script is answered at once.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

Reply = Callable[[dict[str, Any]], Response]

MODEL = "scripted"


def says(text: str | None, *, finish_reason: str = "stop", **message: Any) -> Reply:
    """A chat completion, well formed."""
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "finish_reason": finish_reason, "message": said}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return body(
        {"id": "1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice], "usage": usage}
    )


def body(content: object, status: int = 200, **headers: str) -> Reply:
    """Any JSON, with any status."""
    data, named = json.dumps(content), {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Response(data, status, named, content_type="application/json")


def refuses(status: int, message: str, *, code: str | None = None, param: str | None = None, **headers: str) -> Reply:
    """An error as OpenAI and vLLM write it."""
    return body({"error": {"message": message, "type": "error", "code": code, "param": param}}, status, **headers)


def raw(text: str, content_type: str = "text/html", status: int = 200) -> Reply:
    return lambda _: Response(text, status, content_type=content_type)


def cut() -> Reply:
    """The connection ends in the middle of the body."""

    def half(_: dict[str, Any]) -> Response:
        response = Response(iter(['{"id": "1", "choi']), content_type="application/json")
        response.headers["Content-Length"] = "500"
        return response

    return half


def stream(*pieces: str, ending: str = "data: [DONE]\n\n") -> Reply:
    """Server-sent events, one a piece."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    events = "".join(
        f"data: {json.dumps({'id': '1', 'object': 'chat.completion.chunk', **chunk})}\n\n" for chunk in chunks
    )
    return raw(events + ending, "text/event-stream")


class Scripted:
    """script: text of a prompt → its replies in order. seen: bodies of all requests, in order; headers: theirs."""

    def __init__(self, http: HTTPServer) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._released = threading.Event()
        self.script: dict[str, list[Reply]] = {}
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.always: Reply | None = None
        http.clear()
        self.models: Reply = body({"object": "list", "data": [{"id": MODEL, "max_model_len": 4096}]})
        http.expect_request("/v1/models").respond_with_handler(self._list)
        http.expect_request("/v1/chat/completions").respond_with_handler(self._answer)

    @property
    def url(self) -> str:
        return f"http://{self._http.host}:{self._http.port}/v1"

    def asked(self, text: str) -> int:
        """How often a prompt with this text was asked."""
        return self._asked[text]

    def hangs(self) -> Reply:
        """No answer before the test is over."""

        def hang(_: dict[str, Any]) -> Response:
            self._released.wait()
            return Response("", 500)

        return hang

    def release(self) -> None:
        self._released.set()

    def _list(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        return self.models({})

    def _answer(self, request: Request) -> Response:
        sent = request.get_json()
        content = sent["messages"][-1]["content"]
        text = content if isinstance(content, str) else next(part["text"] for part in content if "text" in part)
        with self._lock:
            self.seen.append(sent)
            self.headers.append(dict(request.headers))
            number, replies = self._asked[text], self.script.get(text, [])
            self._asked[text] += 1
        reply = replies[number] if number < len(replies) else self.always or says(f"answer to {text}")
        return reply(sent)


@contextmanager
def listening() -> Iterator[HTTPServer]:
    """A server on a free port, for one `Scripted` after the other: to end it takes half a second."""
    server = HTTPServer(host="127.0.0.1", port=0, threaded=True)
    server.start()
    try:
        yield server
    finally:
        server.stop()
