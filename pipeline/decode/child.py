"""The decoder process: python -m pipeline.decode.child REPLY_FD SLOTS_FD SLOT_BYTES PARENT_PID MEMORY_MB

Requests come on stdin, answers go to REPLY_FD and pictures into the slots, one request at a time. The other end is
`worker.DecodeChild`. It may crash, hang and grow: nobody but that other end depends on it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline import decode
from pipeline.decode import pieces, tracks
from pipeline.decode.keyframes import keyframes
from pipeline.decode.probe import glance, probe
from pipeline.decode.pyav import PyavDecoder
from pipeline.decode.shot_pass import shot_pass
from pipeline.decode.wire import Message, Slots, receive, send
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_HEADROOM_MB = 512
"""What libraries and threads reserve to be written and never write."""
_TRIM_EVERY = 200
"""Requests between two trims: some milliseconds each, so that no film notices."""


class Desk:
    """The child's end of the wire."""

    def __init__(self, replies: BinaryIO, slots: Slots) -> None:
        self._replies, self._slots = replies, slots
        self._free, self._turn = set(range(Slots.COUNT)), 0

    def request(self) -> Message | None:
        """The next request; None when there will be no more."""
        while (message := receive(sys.stdin.buffer.read)) is not None and "free" in message:
            self._free.add(message["free"])
        return message

    def answer(self, message: Message, picture: np.ndarray | None = None) -> None:
        """Send an answer, with a picture as soon as there is a slot for it."""
        if picture is not None:
            message |= {"slot": self._put(picture), "height": picture.shape[0], "width": picture.shape[1]}
        send(self._replies, message)

    def _put(self, picture: np.ndarray) -> int:
        if picture.nbytes > self._slots.slot_bytes:
            raise MediaError("too_many_pixels", f"{picture.shape[1]}×{picture.shape[0]} once its pixels are square")
        slot, self._turn = self._turn, (self._turn + 1) % Slots.COUNT
        while slot not in self._free:
            message = receive(sys.stdin.buffer.read)
            if message is None:
                sys.exit()
            self._free.add(message["free"])
        self._free.remove(slot)
        self._slots.put(slot, picture)
        return slot


def main(reply_fd: int, slots_fd: int, slot_bytes: int, parent_pid: int, memory_mb: int) -> None:
    """Serve until stdin closes."""
    _limit(parent_pid, memory_mb)
    with os.fdopen(reply_fd, "wb") as replies:
        desk = Desk(replies, Slots(slots_fd, slot_bytes))
        desk.answer({"ready": True})
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # up to here an import error is worth reading; libraries aren't
        for number in count(1):
            if (request := desk.request()) is None:
                return
            _serve(desk, request)
            if number % _TRIM_EVERY == 0:
                _trim()


def _limit(parent_pid: int, memory_mb: int) -> None:
    """Die with the parent, leave no core, and fail rather than grow without bound between two looks of the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            sys.exit()
        most = (memory_mb + _HEADROOM_MB) << 20
        # not RLIMIT_AS: a GPU's driver maps all memory of the machine and of the GPU, to be touched by nobody yet
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _trim() -> None:
    """Give freed memory back: glibc keeps it between what still lives, some kB more with every film."""
    with suppress(AttributeError):  # other C libraries have no such call
        ctypes.CDLL(None).malloc_trim(0)


def _serve(desk: Desk, request: Message) -> None:
    try:
        for message, picture in _DO[request.pop("do")](**request):
            desk.answer(message, picture)
        desk.answer({"end": True})
    except MediaError as error:
        desk.answer({"error": error.code, "detail": error.detail})
    except MemoryError:
        desk.answer({"error": "decoder_memory", "detail": ""})
    except OSError as error:
        desk.answer({"error": "unreadable", "detail": error.strerror or ""})
    except Exception as error:  # whatever a library makes of strange bytes
        desk.answer({"error": "corrupt", "detail": f"{type(error).__name__}: {error}"})


Answers = Iterator[tuple[Message, np.ndarray | None]]


def _probe(path: str, max_megapixels: float) -> Answers:
    yield {"info": asdict(probe(Path(path), max_megapixels=max_megapixels))}, None


def _glance(path: str) -> Answers:
    yield {"duration_s": glance(Path(path))}, None


def _shots(path: str, info: dict[str, Any], detector: str, device: str) -> Answers:
    for shot in shot_pass(Path(path), MediaInfo(**info), detector, device):
        yield {"shot": asdict(shot)}, None


def _structure(path: str, there: list[pieces.Piece]) -> Answers:
    yield {"pieces": pieces.structure(Path(path), there)}, None


def _needed(path: str, targets_s: list[float]) -> Answers:
    yield {"pieces": pieces.needed(Path(path), targets_s)}, None


def _subtitles(path: str) -> Answers:
    for subtitle in tracks.subtitles(Path(path)):
        yield {"subtitle": asdict(subtitle)}, None


def _keyframes(path: str, info: dict[str, Any], near_s: list[float]) -> Answers:
    yield {"keyframes_s": keyframes(Path(path), MediaInfo(**info), near_s)}, None


def _frames(path: str, info: dict[str, Any], targets_s: list[float], decoder: str) -> Answers:
    for frame in decode.load(decoder).frames(Path(path), MediaInfo(**info), targets_s):
        yield _told(frame)


def _frames_of_pieces(path: str, info: dict[str, Any], targets_s: list[float]) -> Answers:
    left: list[float] = []

    def swift() -> Iterator[Frame]:
        nonlocal left
        left = yield from PyavDecoder().swift(Path(path), MediaInfo(**info), targets_s)

    for frame in swift():
        yield _told(frame)
    yield {"left_s": left}, None


def _told(frame: Frame) -> tuple[Message, np.ndarray]:
    place = {"timestamp_s": frame.timestamp_s, "target_s": frame.target_s, "frame_index": frame.frame_index}
    return {"frame": place}, frame.image


_DO: dict[str, Callable[..., Answers]] = {
    "probe": _probe,
    "glance": _glance,
    "structure": _structure,
    "needed": _needed,
    "shots": _shots,
    "subtitles": _subtitles,
    "keyframes": _keyframes,
    "frames": _frames,
    "frames_of_pieces": _frames_of_pieces,
}

if __name__ == "__main__":
    main(*map(int, sys.argv[1:6]))
