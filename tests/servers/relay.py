"""A relay before a real server that hangs up on everybody at a word it was told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """said: how often clients have said the word so far. hang_up_at: the time that isn't handed on."""

    def __init__(self, behind: str, word: bytes) -> None:
        self.said = 0
        self.hang_up_at: int | None = None
        self._word = word
        self._behind = behind
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._take_in, daemon=True).start()

    def _take_in(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._door.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._behind)
                with self._lock:
                    self._ends |= {client, server}
                for way in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=way, daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        is_client = source.family == socket.AF_INET
        with suppress(OSError):  # hung up
            while data := source.recv(1 << 16):
                if is_client and self._word in data:
                    self._heard()
                target.sendall(data)
        for end in (source, target):
            _hang_up(end)
        source.close()

    def _heard(self) -> None:
        with self._lock:
            self.said += 1
            amiss = self.said == self.hang_up_at
        if amiss:
            self._hang_up_on_all()

    def _hang_up_on_all(self) -> None:
        with self._lock:
            for end in self._ends:
                _hang_up(end)
            self._ends.clear()

    def close(self) -> None:
        _hang_up(self._door)
        self._door.close()
        self._hang_up_on_all()


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):  # it has, by now
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(behind: str, word: bytes) -> Iterator[Relay]:
    """behind: the socket of the server's own, a path."""
    between = Relay(behind, word)
    try:
        yield between
    finally:
        between.close()
