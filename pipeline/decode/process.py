"""The decoder process as the tagging process sees it: a pipe each way, shared memory, a deadline, a memory limit."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np
import psutil

from pipeline.decode.wire import Message, Slots, receive, send
from pipeline.errors import MediaError, ShotlogError

LOOK_EVERY_S = 0.1
"""How often memory and deadline are looked at while waiting for an answer."""

START_S = 120.0
"""What a decoder process may take to load its libraries on a machine that is very busy."""

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""One decoder process works on one film; a heap a thread would hold 50 MB more."""

_AT_ONCE = 1 << 16
"""Bytes read from the pipe, where so many have come: a message takes one call and not two."""

_SECRETS = ("AWS_", "SHOTLOG_", "AIRFLOW")


@contextmanager
def _deaf_to_what_all_are_sent() -> Iterator[None]:
    """A child that is begun here never hears of SIGINT or SIGTERM, not even before its first line: they are for its
    parent, which ends it itself. The parent hears of them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Process:
    """The process itself and the ways to it; it loads its libraries while the caller goes on, up to `ready`.

    memory_mb: resident; max_bytes: of the pixels of one picture.
    """

    def __init__(self, memory_mb: int, max_bytes: int) -> None:
        self._memory_bytes = memory_mb << 20
        self.left_s = START_S
        self._slots = Slots.create(max_bytes)
        self._replies, their_end = os.pipe()
        self._came = bytearray()  # and isn't read yet
        self._told_to_end = False
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        command = [sys.executable, "-P", "-m", "pipeline.decode.child"]
        numbers = [their_end, self._slots.fd, self._slots.slot_bytes, os.getpid(), memory_mb]
        self._errors: IO[bytes] | None = tempfile.TemporaryFile()  # noqa: SIM115
        with _deaf_to_what_all_are_sent():
            self._process = subprocess.Popen(
                [*command, *map(str, numbers)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[their_end, self._slots.fd],
                env={**environment, **_ONE_THREAD},
            )
        os.close(their_end)

    def ready(self) -> None:
        """Wait until it takes requests. Raises ShotlogError where it doesn't start, MediaError where it was ended."""
        if self._errors is None:
            return
        try:
            self.answer()
        except MediaError as error:
            if self._told_to_end:
                raise
            self._errors.seek(0)
            said = (self._errors.read().decode(errors="replace").strip().splitlines() or [str(error)])[-1]
            raise ShotlogError(f"the decoder process doesn't start: {said}; try `pip install shotlog` anew") from error
        self._errors.close()
        self._errors = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, request: Message, seconds: float) -> None:
        """Send a request that may take so many seconds of the process's time. Raises MediaError decoder_crashed."""
        self.left_s, self._allowed_s = seconds, seconds
        self._send(request)

    def answer(self) -> Message:
        """The next answer. Raises MediaError decoder_crashed, decoder_memory, decode_timeout."""
        try:
            message = receive(self._read)
        except ValueError as error:
            raise MediaError("decoder_crashed", f"it sent {error}") from error
        if message is None:
            raise MediaError("decoder_crashed", self._how_it_ended())
        return message

    def picture(self, message: Message) -> np.ndarray:
        """The picture that an answer tells of, uint8 (height, width, 3). Raises MediaError decoder_crashed."""
        try:
            picture = self._slots.take(message["slot"], message["height"], message["width"])
        except (LookupError, TypeError, ValueError) as error:
            raise MediaError("decoder_crashed", f"it sent {error}") from error
        with suppress(MediaError):  # whether it has died is heard with the next answer, which may be there already
            self._send({"free": message["slot"]})
        return picture

    def _send(self, message: Message) -> None:
        assert self._process.stdin
        try:
            send(self._process.stdin, message)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise MediaError("decoder_crashed", self._how_it_ended()) from None

    def _read(self, count: int) -> bytes:
        """count bytes, fewer where the process has ended."""
        while len(self._came) < count:
            self._wait()
            more = os.read(self._replies, _AT_ONCE)
            if not more:
                break
            self._came += more
        data = bytes(self._came[:count])
        del self._came[:count]
        return data

    def _wait(self) -> None:
        """Until there is something to read."""
        while True:
            started = time.monotonic()
            ready, _, _ = select.select([self._replies], [], [], min(LOOK_EVERY_S, max(0.0, self.left_s)))
            self.left_s -= time.monotonic() - started
            if ready:
                return
            if self.left_s <= 0:
                raise MediaError("decode_timeout", f"{self._allowed_s:.0f} s")
            with suppress(psutil.Error):
                if psutil.Process(self._process.pid).memory_info().rss > self._memory_bytes:
                    raise MediaError("decoder_memory", f"more than {self._memory_bytes >> 20} MB")

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End the process, whatever it does."""
        self._told_to_end = True
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End the process and close the pipes to it."""
        self.end()
        if self._errors:
            self._errors.close()
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._replies)
        self._slots.close()
