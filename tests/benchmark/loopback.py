"""What asks and what is asked, as light as can be: on two cores both take from what they measure."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEVER = "/never"
"""A path that isn't answered while the files are served."""


@contextmanager
def files_at_hand(paths: list[Path]) -> Iterator[int]:
    """Serve files by their names on 127.0.0.1; gives the port."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    answers = {f"/{path.name}".encode(): _answer(path.read_bytes(), path.name) for path in paths}
    ports: list[int] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1]
        if path != NEVER.encode():
            writer.write(answers[path])
            await writer.drain()
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    thread = threading.Thread(target=lambda: (loop.create_task(serve()), loop.run_forever()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _answer(body: bytes, tag: str) -> bytes:
    head = f'HTTP/1.1 200 OK\r\nETag: "{tag}"\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n'
    return head.encode() + body


class Client:
    """Asks the API, over one connection a thread."""

    def __init__(self, url: str, key: str) -> None:
        self._host = url.removeprefix("http://")
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._own = threading.local()

    def post(self, path: str, body: dict[str, object]) -> dict[str, object]:
        return self._ask("POST", path, json.dumps(body).encode())

    def get(self, path: str) -> dict[str, object]:
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, object]:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(self._host)
        self._own.connection.request(method, path, body, self._headers)
        with self._own.connection.getresponse() as answer:
            told = answer.read()
        assert answer.status < 300, told
        return dict(json.loads(told))
