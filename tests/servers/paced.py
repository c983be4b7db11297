"""A server that thinks nothing and takes its time: every request takes so many seconds, so many run at once.

For the benchmark of the busy fraction: it stands for a GPU whose work is known, and takes next to no CPU itself. Its
answer is one that the caller gave it. `python -m tests.servers.paced --port 0` prints the port it took.
GET /counts says how many requests it answered, the most it held, and how busy its slots were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import deque

MODEL = "paced"


class Pace:
    """So many requests at once, each of the same length; the others wait in line."""

    def __init__(self, seconds: float, at_once: int) -> None:
        self.seconds, self.at_once = seconds, at_once
        self.running = self.finished = self.most_held = 0
        self.first_s = self.last_s = 0.0
        self._line: deque[Connection] = deque()

    def take(self, connection: Connection) -> None:
        self.first_s = self.first_s or time.monotonic()
        self._line.append(connection)
        self.most_held = max(self.most_held, self.running + len(self._line))
        self._next()

    def _next(self) -> None:
        while self._line and self.running < self.at_once:
            self.running += 1
            asyncio.get_running_loop().call_later(self.seconds, self._done, self._line.popleft())

    def _done(self, connection: Connection) -> None:
        self.running -= 1
        self.finished += 1
        self.last_s = time.monotonic()
        self._next()
        connection.answer()

    def counts(self) -> dict[str, float]:
        """busy: the share of its slots' time, from the first request to the last answer, that was spent on requests."""
        taken_s = self.at_once * (self.last_s - self.first_s)
        busy = self.finished * self.seconds / taken_s if taken_s > 0 else 0.0
        return {"finished": self.finished, "most_held": self.most_held, "busy": busy}


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as the client speaks: one request at a time, with a Content-Length."""

    def __init__(self, pace: Pace, answer: bytes) -> None:
        self._pace, self._answer = pace, answer
        self._buffer = bytearray()
        self._wanted = 0  # bytes of the request under way, once its head is read
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._wanted and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            length = head.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0].strip()
            self._wanted = end + 4 + int(length or 0)
        if self._wanted and len(self._buffer) >= self._wanted:
            line = bytes(self._buffer[: self._buffer.find(b"\r\n")])
            del self._buffer[: self._wanted]
            self._wanted = 0
            self._route(line)

    def _route(self, line: bytes) -> None:
        if line.startswith(b"POST"):
            self._pace.take(self)
        elif b"/counts" in line:
            self._send(json.dumps(self._pace.counts()).encode())
        else:
            model = {"id": MODEL, "object": "model", "max_model_len": 32768}
            self._send(json.dumps({"object": "list", "data": [model]}).encode())

    def answer(self) -> None:
        self._send(self._answer)

    def _send(self, body: bytes) -> None:
        if self._transport:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)


def completion(text: str) -> dict[str, object]:
    """A chat completion that says `text`."""
    return {
        "id": "paced",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150},
    }


async def serve(port: int, seconds: float, at_once: int, text: str) -> None:
    pace, answer = Pace(seconds, at_once), json.dumps(completion(text)).encode()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(pace, answer), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--text", default="{}", help="what every answer says")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.seconds, given.at_once, given.text))


if __name__ == "__main__":
    main()
