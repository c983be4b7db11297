"""Healthy videos, each showing one way in which times are not simply number by rate."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.media import made
from tests.media.tricks import replaced
from tests.media.videos import FRAMES, RATE, X264, encode

_MS = Fraction(1, 1000)


@made("vfr.mp4")
def vfr_mp4(path: Path) -> None:
    """Variable rate: gaps of 10, 20, … 80 ms in turn and one of a second."""
    gaps = [10 * (1 + i % 8) for i in range(FRAMES)]
    gaps[20] = 1000
    encode(path, ticks=np.cumsum([0, *gaps[:-1]]).tolist(), time_base=_MS)


@made("vfr.mkv")
def vfr_mkv(path: Path) -> None:
    encode(path, ticks=[40 * i + (i % 3) * 11 for i in range(FRAMES)], time_base=_MS)


@made("gaps.mp4")
def gaps_mp4(path: Path) -> None:
    """A recorder that paused twice, for three and for seven seconds."""
    encode(path, ticks=[40 * i + 3000 * (i > 15) + 7000 * (i > 30) for i in range(FRAMES)], time_base=_MS)


@made("twins.mkv")
def twins_mkv(path: Path) -> None:
    """Every eighth frame has the time of the one before it: that one is never on screen."""
    encode(path, ticks=[i - (i % 8 == 3) for i in range(FRAMES)], options={**X264, "bf": "0"})


@made("late_start.mp4")
def late_start_mp4(path: Path) -> None:
    """The first timestamp is 5 s, by an edit that shows nothing."""
    encode(path, first_s=5)


@made("late_start.mkv")
def late_start_mkv(path: Path) -> None:
    encode(path, first_s=5)


@made("before_zero.ts")
def before_zero_ts(path: Path) -> None:
    """Times from -1 s on."""
    encode(path, first_s=-1, format="mpegts", mux={"mpegts_copyts": "1", "avoid_negative_ts": "disabled"})


@made("negative_dts.mp4")
def negative_dts_mp4(path: Path) -> None:
    """The first frames are decoded before 0 s, to be shown from there."""
    encode(path, mux={"avoid_negative_ts": "disabled"})


@made("negative_dts.mkv")
def negative_dts_mkv(path: Path) -> None:
    encode(path, mux={"avoid_negative_ts": "disabled"})


@made("negative_offsets.mp4")
def negative_offsets_mp4(path: Path) -> None:
    """Frames that are shown before the time at which they are decoded (ctts version 1)."""
    encode(path, mux={"movflags": "negative_cts_offsets"})


@made("no_edits.mp4")
def no_edits_mp4(path: Path) -> None:
    """No edit list to take the decoder's delay away: the first frame is at 83 ms."""
    encode(path, mux={"use_editlist": "0"})


def _edited(path: Path, *edits: tuple[float, float], **how: object) -> None:
    """A video with this edit list (ISO/IEC 14496-12, elst): (seconds on screen, second of the film or -1) each."""
    encode(path, **how)  # type: ignore[arg-type]
    scale = 512 * RATE  # of the film's own clock, as FFmpeg's muxer chooses it; the edit list's is milliseconds
    delay = 2 * 512  # of the first frame, which B-frames cause

    def elst(_: bytes) -> bytes:
        rows = [(round(on * 1000), round(at * scale) + delay if at >= 0 else -1, 1 << 16) for on, at in edits]
        return struct.pack(">II", 0, len(rows)) + b"".join(struct.pack(">IiI", *row) for row in rows)

    path.write_bytes(replaced(path.read_bytes(), [b"moov", b"trak", b"edts", b"elst"], elst))


@made("edit_start.mp4")
def edit_start_mp4(path: Path) -> None:
    """The film begins half a second in: what lies before, back to the keyframe, is decoded and not shown."""
    _edited(path, (1.5, 0.5), options={**X264, "g": "36"})


@made("edit_end.mp4")
def edit_end_mp4(path: Path) -> None:
    """Only the first 1.2 s are shown."""
    _edited(path, (1.2, 0.0))


@made("edit_delay.mp4")
def edit_delay_mp4(path: Path) -> None:
    """0.7 s of nothing, then the film from 0.25 s on."""
    _edited(path, (0.7, -1), (1.75, 0.25))


@made("edit_parts.mp4")
def edit_parts_mp4(path: Path) -> None:
    """Two parts of the film, what lies between is left out."""
    _edited(path, (0.5, 0.25), (0.75, 1.25))


@made("edit_again.mp4")
def edit_again_mp4(path: Path) -> None:
    """The first second twice."""
    _edited(path, (1.0, 0.0), (1.0, 0.0))


@made("audio_first.mp4")
def audio_first_mp4(path: Path) -> None:
    """Sound from 0 s, pictures from 1 s."""
    encode(path, first_s=1, audio_s=(0, 3))


@made("audio_first.mkv")
def audio_first_mkv(path: Path) -> None:
    encode(path, first_s=1, audio_s=(0, 3))


@made("at_36000.ts")
def at_36000_ts(path: Path) -> None:
    """A broadcast recording whose clock shows ten hours at its start, sound a second before the pictures."""
    encode(path, first_s=36_001, audio_s=(36_000, 36_003), mux={"mpegts_copyts": "1"}, format="mpegts")
