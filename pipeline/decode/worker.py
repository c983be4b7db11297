"""Decoding in a process that may die: deadline, memory limit, and the other decoder when one is killed.

Why a process: native decoders deadlock while they hold the interpreter's lock, crash, and grow without bound;
a thread can't be ended, a process can.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil

from pipeline import decode
from pipeline.decode.wire import Message, receive, send
from pipeline.errors import MediaError, ShotlogError
from pipeline.model import Frame, MediaInfo, Shot

LOOK_EVERY_S = 0.1
"""How often memory and deadline are looked at while waiting for an answer."""

START_S = 120.0
"""What a decoder process may take to load its libraries on a machine that is very busy."""

KILLED = ("decoder_crashed", "decoder_memory", "decode_timeout")
"""Ends after which the other decoder is asked for the frames still missing."""

_SECRETS = ("AWS_", "SHOTLOG_", "AIRFLOW")


class DecodeChild:
    """One decoder process, started when first needed and anew after each death. For the thread that made it.

    deadline_s: what one request may take beyond the media's own seconds; the time the caller takes between two
    frames doesn't count. memory_mb: resident memory at which the process is killed.
    """

    def __init__(self, *, deadline_s: float, memory_mb: int, max_megapixels: float) -> None:
        self._deadline_s, self._memory_mb, self._max_megapixels = deadline_s, memory_mb, max_megapixels
        self._process: _Process | None = None
        self._used: list[str] = []
        self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._kill()

    def stop(self) -> None:
        """End whatever is going on, from another thread: what is asked then ends with a MediaError."""
        self._stopped = True
        if process := self._process:
            process.end()

    @property
    def decoder(self) -> str | None:
        """Name and version of every decoder that has touched the last probed file, in turn."""
        return ", ".join(self._used) or None

    def probe(self, path: Path) -> MediaInfo:
        """What the file is. Raises MediaError: as decode.probe, and decoder_crashed, _memory, decode_timeout."""
        self._used = [decode.label(name) for name in (decode.IMAGES, decode.PROBER)]
        answers = self._ask(self._deadline_s, do="probe", path=str(path), max_megapixels=self._max_megapixels)
        infos = [MediaInfo(**header["info"]) for header, _ in answers]
        self._used = []
        return infos[0]

    def shots(self, path: Path, info: MediaInfo) -> list[Shot]:
        """All shots of a video. Raises MediaError as `probe`."""
        self._use(decode.IMAGES if decode.is_picture(info) else decode.PROBER)
        answers = self._ask(self._deadline_s + info.duration_s, do="shots", path=str(path), info=asdict(info))
        return [Shot(**header["shot"]) for header, _ in answers]

    def frames(
        self, path: Path, info: MediaInfo, targets_s: Sequence[float], *, media_id: str, decoder: str
    ) -> Iterator[Frame]:
        """Yield the frame on screen at each of the ascending targets, each frame once; see decode.base.

        decoder: as `--decoder` takes it. With `auto`, what is missing when one decoder had to be killed is asked
        of the next. Raises MediaError where some can't be had.
        """
        missing, given = list(targets_s), set[int]()
        trouble: MediaError | None = None
        for name in decode.order(decoder, info):
            self._use(name)
            try:
                for frame in self._frames(path, info, missing, media_id, name):
                    missing = [target_s for target_s in missing if target_s > frame.target_s]
                    if frame.frame_index not in given:
                        given.add(frame.frame_index)
                        yield frame
                return
            except MediaError as error:
                trouble = trouble or error
                if self._stopped or error.code not in KILLED:
                    break
        if trouble:
            raise trouble

    def _frames(
        self, path: Path, info: MediaInfo, targets_s: list[float], media_id: str, decoder: str
    ) -> Iterator[Frame]:
        request = {"do": "frames", "path": str(path), "info": asdict(info), "targets_s": targets_s, "decoder": decoder}
        for header, body in self._ask(self._deadline_s + info.duration_s, **request):
            image = np.frombuffer(body, np.uint8).reshape(header["height"], header["width"], 3)
            yield Frame(media_id, image, **header["frame"])

    def _use(self, name: str) -> None:
        if (label := decode.label(name)) not in self._used:
            self._used.append(label)

    def _ask(self, seconds: float, **request: Any) -> Iterator[Message]:
        """Send one request and yield its answers. A request that isn't answered to its end ends the process."""
        if self._stopped:
            raise MediaError("decoder_crashed", "it was told to stop")
        if self._process is None:
            self._process = _Process(self._memory_mb, round(self._max_megapixels * 1_000_000) * 3)
            if self._stopped:  # while it started
                self._process.end()
        process, ended = self._process, False
        try:
            process.ask(request, seconds)
            while "end" not in (message := process.answer())[0]:
                if "error" in message[0]:
                    ended = True
                    raise MediaError(message[0]["error"], message[0]["detail"])
                yield message
            ended = True
        finally:
            if not ended:
                self._kill()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
        self._process = None


class _Process:
    """The process itself and the pipes to it."""

    def __init__(self, memory_mb: int, max_body_bytes: int) -> None:
        self._memory_bytes, self._max_body_bytes = memory_mb << 20, max_body_bytes
        self._left_s = START_S
        self._replies, their_end = os.pipe()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
        command = [sys.executable, "-P", "-m", "pipeline.decode.child"]
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                [*command, str(their_end), str(os.getpid()), str(memory_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[their_end],
                env={**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
            os.close(their_end)
            try:
                self.answer()
            except MediaError as error:
                self.kill()
                errors.seek(0)
                said = (errors.read().decode(errors="replace").strip().splitlines() or [str(error)])[-1]
                raise ShotlogError(
                    f"the decoder process doesn't start: {said}; try `pip install shotlog` anew"
                ) from error

    def ask(self, request: dict[str, Any], seconds: float) -> None:
        """Send a request that may take so many seconds of the process's time. Raises MediaError decoder_crashed."""
        self._left_s, self._allowed_s = seconds, seconds
        assert self._process.stdin
        try:
            send(self._process.stdin, request)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise MediaError("decoder_crashed", self._how_it_ended()) from None

    def answer(self) -> Message:
        """The next answer. Raises MediaError decoder_crashed, decoder_memory, decode_timeout."""
        try:
            message = receive(self._read, max_body_bytes=self._max_body_bytes)
        except ValueError as error:
            raise MediaError("decoder_crashed", f"it sent {error}") from error
        if message is None:
            raise MediaError("decoder_crashed", self._how_it_ended())
        return message

    def _read(self, count: int) -> bytes:
        """count bytes, fewer where the process has ended."""
        data = bytearray(count)
        view, got = memoryview(data), 0
        while got < count:
            self._wait()
            read = os.readv(self._replies, [view[got:]])
            if read == 0:
                return bytes(data[:got])
            got += read
        return data  # type: ignore[return-value]

    def _wait(self) -> None:
        """Until there is something to read."""
        while True:
            started = time.monotonic()
            ready, _, _ = select.select([self._replies], [], [], min(LOOK_EVERY_S, max(0.0, self._left_s)))
            self._left_s -= time.monotonic() - started
            if ready:
                return
            if self._left_s <= 0:
                raise MediaError("decode_timeout", f"{self._allowed_s:.0f} s")
            with suppress(psutil.Error):
                if psutil.Process(self._process.pid).memory_info().rss > self._memory_bytes:
                    raise MediaError("decoder_memory", f"more than {self._memory_bytes >> 20} MB")

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End the process and close the pipes to it."""
        self.end()
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._replies)
