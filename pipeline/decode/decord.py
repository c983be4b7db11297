"""Decoding by decord (the maintained `decord2`): a full decoder of its own, where it can be shown to be right.

Measured with decord2 3.4.0 on every file of tests/contract/test_decoders.py. Front to back its pictures are equal
to PyAV's, but for 10 bits, which it rounds otherwise. Not so, and refused: transport streams (it begins a group of
pictures too late and repeats frames at the end), HEVC (it stops where several pictures come at once), interlaced
pictures (other colours), turned ones (black), and where it counts other frames than the packets say (edits).

Its random access (`get_batch`, `seek`) decodes from a keyframe and takes whatever comes first for that keyframe. So
it is wrong where that is another frame: after any keyframe with pictures behind it that are shown before it (open
groups, as HEVC and MPEG-2 have them by default), and where a keyframe is none (intra refresh, AVI without times).
So it jumps only to H.264 keyframes that begin anew (IDR) with nothing shown before them, and goes front to back
otherwise. Times are those of the packets: its own are 32-bit floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import decord
import numpy as np
from av.video.frame import VideoFrame

from pipeline.decode.geometry import Geometry
from pipeline.decode.pyav import decoded
from pipeline.decode.timeline import Key, Timeline
from pipeline.decode.video import Video, opened, video
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo

_SAME_PICTURE = 3.0
"""Mean difference of two decoders' values for one picture; rounding of 10 bits to 8 gives less than 2."""

_JUMPS = ("mp4", "mov", "matroska")
"""Containers that say where each keyframe lies and when each frame is shown."""

_IDR, _SLICES = 5, range(1, 6)  # nal_unit_type, ITU-T H.264, table 7-1

decord.logging.set_level(decord.logging.QUIET)


class DecordDecoder:
    """A decoder (see base.py) that shares no decoding code with PyAV, so it may survive what that one doesn't."""

    name = "decord"
    version = decord.__version__

    def frames(self, path: Path, info: MediaInfo, targets_s: Sequence[float]) -> Iterator[Frame]:
        """As base.Decoder.frames. Raises MediaError decoder_unsuited where decord can't be trusted, or corrupt."""
        film = video(path)
        line = film.line
        if not line.pts:
            raise MediaError(info.fault or "no_frames", info.fault_detail)
        wanted: dict[int, float] = {}
        for target_s in targets_s:
            wanted.setdefault(line.on_screen(target_s), target_s)
        first, geometry = _trusted(path, info)
        reader = _reader(path, line)
        rgb, following = _next(reader, path, line, 0), 1
        if not _same(rgb, first):
            raise MediaError("decoder_unsuited", "it begins with another picture than the file")
        for index in sorted(wanted):
            start = _start(film, info, index, following)
            if start > following:
                reader.seek_accurate(start)
            for number in range(start, index + 1):
                rgb = _next(reader, path, line, number)
            following = index + 1
            yield Frame("", geometry.upright(rgb), line.seconds(line.pts[index]), wanted[index], index)


def _trusted(path: Path, info: MediaInfo) -> tuple[np.ndarray, Geometry]:
    """The first picture, as PyAV has it, and how to set it upright. Raises MediaError decoder_unsuited, no_frames."""
    first, aspect = _first(path)
    for why, unsuited in {
        "a transport stream": info.container == "mpegts",
        "HEVC": info.codec == "hevc",
        "interlaced": first.interlaced_frame,
        "turned": first.rotation % 360 != 0,
    }.items():
        if unsuited:
            raise MediaError("decoder_unsuited", f"{why}, which decord gets wrong")
    return first.to_ndarray(format="rgb24"), Geometry.of(0, aspect)


def _first(path: Path) -> tuple[VideoFrame, Fraction | None]:
    with opened(path) as (container, stream):
        first = next(decoded(container, stream, path.stat().st_size), None)
        if first is None:
            raise MediaError("no_frames")
        return first, stream.sample_aspect_ratio


def _reader(path: Path, line: Timeline) -> decord.VideoReader:
    try:
        reader = decord.VideoReader(str(path.absolute()), num_threads=1)
    except (decord.DECORDError, RuntimeError) as error:
        raise MediaError("decoder_unsuited", _said(error, path)) from error
    if len(reader) != len(line.pts):
        raise MediaError("decoder_unsuited", f"it counts {len(reader)} frames, the packets {len(line.pts)}")
    return reader


def _start(film: Video, info: MediaInfo, index: int, following: int) -> int:
    """The frame to begin at for frame `index`: a keyframe where a jump is safe, or the one that follows anyway."""
    line = film.line
    if info.codec != "h264" or info.container not in _JUMPS or not line.is_told:
        return following
    key = line.key_before(line.pts[index])
    start = line.index(key.pts)
    return start if start > following and _is_closed(film, key) and _begins_anew(film, key) else following


def _is_closed(film: Video, key: Key) -> bool:
    """Whether nothing that lies behind this keyframe is shown before it."""
    packets = film.line.packets
    behind = packets.column("pts")[key.number + 1 :][packets.marked(shown=True)[key.number + 1 :]]
    return bool((behind > key.pts).all())


def _begins_anew(film: Video, key: Key) -> bool:
    """Whether a keyframe of H.264 is an IDR picture, after which nothing looks further back."""
    if (film.stream.codec_context.extradata or b"")[:1] != b"\1":  # avcC, ISO/IEC 14496-15: lengths before each unit
        return False
    number, packet = next(film.packets(key.number))
    body, at = bytes(packet), 0
    while number == key.number and at + 5 <= len(body):
        kind = body[at + 4] & 0x1F
        if kind in _SLICES:
            return kind == _IDR
        at += 4 + int.from_bytes(body[at : at + 4], "big")
    return False


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
