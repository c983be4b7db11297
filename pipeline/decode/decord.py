"""Decoding by decord (the maintained `decord2`): a full decoder of its own, where it can be shown to be right.

Measured with decord2 3.4.0: random access gives wrong pictures in open groups of pictures and MPEG-2 (front to
back it doesn't), a transport stream begins a group too late, a rotated film comes out black, and its times are
32-bit floats. So it goes front to back, takes times from the packets, and must prove that it counts as many
frames as they do and begins with the same picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import decord
import numpy as np

from pipeline.decode.geometry import Geometry
from pipeline.decode.pyav import decoded
from pipeline.decode.timeline import Timeline, opened, timeline
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo

_SAME_PICTURE = 3.0
"""Mean difference of two decoders' values for one picture; rounding of colours gives less than 1."""

decord.logging.set_level(decord.logging.QUIET)


class DecordDecoder:
    """A decoder (see base.py) that shares no decoding code with PyAV, so it may survive what that one doesn't."""

    name = "decord"
    version = decord.__version__

    def frames(self, path: Path, info: MediaInfo, targets_s: Sequence[float]) -> Iterator[Frame]:
        """As base.Decoder.frames. Raises MediaError decoder_unsuited where decord can't be trusted, or corrupt."""
        line = timeline(path)
        if not line.pts:
            raise MediaError(info.fault or "no_frames", info.fault_detail)
        wanted: dict[int, float] = {}
        for target_s in targets_s:
            wanted.setdefault(line.on_screen(target_s), target_s)
        first, geometry = _first_picture(path)
        reader = _reader(path, line)
        for index in range(max(wanted, default=-1) + 1):
            rgb = _next(reader, path, line, index)
            if index == 0 and not _same(rgb, first):
                raise MediaError("decoder_unsuited", "it begins with another picture than the file")
            if index in wanted:
                yield Frame("", geometry.upright(rgb), line.seconds(line.pts[index]), wanted[index], index)


def _first_picture(path: Path) -> tuple[np.ndarray, Geometry]:
    with opened(path) as (container, stream):
        first = next(decoded(container, stream, path.stat().st_size), None)
        if first is None:
            raise MediaError("no_frames")
        return first.to_ndarray(format="rgb24"), Geometry.of(first.rotation, stream.sample_aspect_ratio)


def _reader(path: Path, line: Timeline) -> decord.VideoReader:
    try:
        reader = decord.VideoReader(str(path.absolute()), num_threads=1)
    except (decord.DECORDError, RuntimeError) as error:
        raise MediaError("decoder_unsuited", _said(error, path)) from error
    if len(reader) != len(line.pts):
        raise MediaError("decoder_unsuited", f"it counts {len(reader)} frames, the packets {len(line.pts)}")
    return reader


def _next(reader: decord.VideoReader, path: Path, line: Timeline, index: int) -> np.ndarray:
    try:
        rgb: np.ndarray = reader.next().asnumpy()
        return rgb
    except (decord.DECORDError, RuntimeError, StopIteration) as error:
        raise MediaError("corrupt", f"at {line.seconds(line.pts[index]):.3f} s: {_said(error, path)}") from error


def _same(rgb: np.ndarray, first: np.ndarray) -> bool:
    if rgb.shape != first.shape:
        return False
    return float(np.abs(rgb.astype(np.int16) - first.astype(np.int16)).mean()) < _SAME_PICTURE


def _said(error: BaseException, path: Path) -> str:
    """decord's message without its source lines and without where the file lies here."""
    last = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return last.rpartition("] ")[2].replace(str(path.absolute()), path.name)
