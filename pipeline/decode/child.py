"""The decoder process: `python -m pipeline.decode.child REPLY_FD PARENT_PID MEMORY_MB`.

Requests come on stdin, answers go to REPLY_FD, one request at a time. The other end is `worker.DecodeChild`.
It may crash, hang and grow: nobody but that other end depends on it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from pipeline import decode
from pipeline.decode.image import pictures
from pipeline.decode.probe import probe
from pipeline.decode.pyav import decoded
from pipeline.decode.timeline import opened, timeline
from pipeline.decode.wire import Message, receive, send
from pipeline.errors import MediaError
from pipeline.model import MediaInfo
from pipeline.shots import WIDTH_PX, find_shots

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_HEADROOM_MB = 2048
"""Address space that libraries and threads reserve without using it."""


def main(reply_fd: int, parent_pid: int, memory_mb: int) -> None:
    """Serve until stdin closes."""
    _limit(parent_pid, memory_mb)
    with os.fdopen(reply_fd, "wb") as replies:
        send(replies, {"ready": True})
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # up to here an import error is worth reading; libraries aren't
        while (request := receive(sys.stdin.buffer.read)) is not None:
            _answer(replies, request[0])


def _limit(parent_pid: int, memory_mb: int) -> None:
    """Die with the parent, leave no core, and fail rather than grow without bound between two looks of the parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            sys.exit()
        most = (memory_mb + _HEADROOM_MB) << 20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process itself


def _answer(replies: BinaryIO, request: dict[str, Any]) -> None:
    try:
        for header, body in _DO[request.pop("do")](**request):
            send(replies, header, body)
        send(replies, {"end": True})
    except MediaError as error:
        send(replies, {"error": error.code, "detail": error.detail})
    except MemoryError:
        send(replies, {"error": "decoder_memory", "detail": ""})
    except OSError as error:
        send(replies, {"error": "unreadable", "detail": error.strerror or ""})
    except Exception as error:  # whatever a library makes of strange bytes
        send(replies, {"error": "corrupt", "detail": f"{type(error).__name__}: {error}"})


def _probe(path: str, max_megapixels: float) -> Iterator[Message]:
    yield {"info": asdict(probe(Path(path), max_megapixels=max_megapixels))}, b""


def _shots(path: str, info: dict[str, Any]) -> Iterator[Message]:
    known = MediaInfo(**info)
    for shot in find_shots(_small_pictures(Path(path), known), known.duration_s):
        yield {"shot": asdict(shot)}, b""


def _small_pictures(path: Path, info: MediaInfo) -> Iterator[tuple[float, np.ndarray]]:
    """(timestamp_s, small BGR) of every frame that can be decoded, in presentation order."""
    width = min(info.width, WIDTH_PX)
    height = max(2, round(info.height * width / info.width))
    if decode.is_picture(info):
        for timestamp_s, rgb in pictures(path):
            yield timestamp_s, np.asarray(Image.fromarray(rgb).resize((width, height)))[:, :, ::-1].copy()
        return
    line = timeline(path)
    with opened(path) as (container, stream):
        for frame in decoded(container, stream, path.stat().st_size):
            if frame.pts is not None and frame.pts >= line.pts[0]:
                small = frame.reformat(width, height, "bgr24", interpolation="AREA")
                yield line.seconds(frame.pts), small.to_ndarray()


def _frames(path: str, info: dict[str, Any], targets_s: list[float], decoder: str) -> Iterator[Message]:
    for frame in decode.load(decoder).frames(Path(path), MediaInfo(**info), targets_s):
        height, width, _ = frame.image.shape
        place = {"timestamp_s": frame.timestamp_s, "target_s": frame.target_s, "frame_index": frame.frame_index}
        yield {"frame": place, "height": height, "width": width}, np.ascontiguousarray(frame.image).data.cast("B")


_DO: dict[str, Callable[..., Iterator[Message]]] = {"probe": _probe, "shots": _shots, "frames": _frames}

if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
