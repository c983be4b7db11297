"""What a file really shows and when: PyAV reading front to back, sharing no code with pipeline/."""

from __future__ import annotations

import functools
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from PIL import Image, ImageSequence

from tests.media import media


@dataclass(frozen=True)
class TrueFrame:
    """One frame as it is stored: not yet turned upright, pixels not yet square."""

    timestamp_s: float
    rgb: np.ndarray


@functools.cache
def true_frames(name: str) -> tuple[TrueFrame, ...]:
    """Every frame of a healthy video in presentation order, its time less the container's start.

    A decoder gives frames in the order in which they are shown, always. Their times are worked out from packets,
    and come in another order where a container doesn't keep them (AVI): the first frame has the earliest.
    """
    if name.startswith("animated"):
        return _animated(name)
    with av.open(str(media(name))) as container:
        start_s = Fraction(container.start_time or 0, 1_000_000)
        found = [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        times = sorted(time for time, _ in found)
        return tuple(TrueFrame(float(time - start_s), rgb) for time, (_, rgb) in zip(times, found, strict=True))


def _animated(name: str) -> tuple[TrueFrame, ...]:
    found, ms = [], 0
    with Image.open(media(name)) as image:
        for frame in ImageSequence.Iterator(image):
            found.append(TrueFrame(ms / 1000, np.asarray(frame.convert("RGB"))))
            ms += frame.info["duration"]
    return tuple(found)


def on_screen(name: str, moment_s: float) -> int:
    """Number of the frame that a player shows at a moment, to the microsecond; the first before it begins."""
    times = [frame.timestamp_s for frame in true_frames(name)]
    return max(0, bisect_right(times, moment_s + 1e-6) - 1)


@functools.cache
def keyframes_s(name: str) -> tuple[float, ...]:
    """Times of a video's keyframes, as its packets say; none of a picture that moves."""
    if name.startswith("animated"):
        return ()
    with av.open(str(media(name))) as container:
        start_s = Fraction(container.start_time or 0, 1_000_000)
        keys = [p for p in container.demux(video=0) if p.size and p.is_keyframe and not p.is_discard]
        return tuple(sorted(float(p.pts * p.time_base - start_s) for p in keys))
