"""Which of a few neighbouring frames is looked at: the one asked for, unless it shows nothing or nothing new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.model import Frame

_SIDE = 256
"""Longer side in pixels of the grey copy that is judged, so that sharpness means the same at 480p and in 4K."""

_CELLS = 64
"""Cells across and down of the grey copies that are compared with each other."""

DARK_LUMA, BRIGHT_LUMA = 12.0, 237.0
"""Mean luma of black and white, where the picture has nothing sharp. Frames of the test films (luma 66 to 135) that
are faded to a tenth of themselves have 9 to 11, or 238 to 241. 12 is also PySceneDetect's threshold for a fade."""

FLAT_CONTRAST = 4.0
"""Less contrast is one colour: those films have 29 to 69, faded to a twentieth at most 3.4; noise on black (σ 8) makes
1.3, one small line of white letters on black 5.2."""

SHARP = 20.0
"""Sharpness that something on black or white must have to be seen: one small line of letters has 88, the films faded to
a tenth 2 to 14, unfaded 71 to 1,900."""

CLEARLY = 2.0
"""So many times the contrast of a frame that shows nothing makes another one worth leaving the target for."""

FROZEN = 0.5
"""Mean difference of 255 between repeats. A still picture encoded twelve frames long differs by up to 0.05, with camera
noise (σ 4, H.264 at CRF 23) by up to 0.31; frames of the films five apart by 0.95 and more."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How much a picture shows. luma: its mean, 0–255. contrast: luma's standard deviation. sharpness: variance of its
    Laplacian, a measure of focus from Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (2000)."""

    luma: float
    contrast: float
    sharpness: float

    @property
    def shows_nothing(self) -> bool:
        """Black, white or one flat colour; letters on black show something."""
        faded = not DARK_LUMA <= self.luma <= BRIGHT_LUMA and self.sharpness < SHARP
        return faded or self.contrast < FLAT_CONTRAST


def quality(rgb: np.ndarray) -> Quality:
    """Judge an RGB uint8 picture (height, width, 3) by a grey copy of 256 px, never enlarged."""
    import cv2  # takes a while to load, and not every process needs it

    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    grey = _grey(rgb, max(1, round(width * scale)), max(1, round(height * scale)))
    return Quality(float(grey.mean()), float(grey.std()), float(cv2.Laplacian(grey, cv2.CV_64F).var()))


def is_repeat(rgb: np.ndarray, previous: np.ndarray) -> bool:
    """Whether two RGB uint8 pictures are the same but for noise and compression: the video is frozen."""
    one, other = (_grey(each, _CELLS, _CELLS).astype(np.int16) for each in (rgb, previous))
    return float(np.abs(one - other).mean()) < FROZEN


def reminder(frame: Frame) -> Frame:
    """What is enough of a frame to tell later whether another repeats it: its picture is a few kB."""
    import cv2

    small = cv2.resize(np.ascontiguousarray(frame.image), (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    return replace(frame, image=small)


def is_poor(frame: Frame, previous: Frame | None = None) -> bool:
    """Whether it shows nothing, or repeats the frame last taken."""
    return quality(frame.image).shows_nothing or _repeats(frame, previous)


def best(frames: Sequence[Frame], previous: Frame | None = None) -> Frame:
    """The frame to look at, of a target's and its neighbours' in the same shot; `frames[0]` is the target's.

    It stays the target's unless that shows nothing or repeats `previous`, the frame last taken, and another does
    neither, with CLEARLY more contrast than one that shows nothing. Of several others the sharpest, then the first.
    Raises ValueError: no frames.
    """
    # black, blurred, sharp  →  sharp;  blurred, sharp  →  blurred: that one shows something
    if not frames:
        raise ValueError("there is no frame to choose from: give the target's first, then its neighbours'")
    target = frames[0]
    judged = quality(target.image)
    if not judged.shows_nothing and not _repeats(target, previous):
        return target
    least = CLEARLY * judged.contrast if judged.shows_nothing else 0.0
    marks = [(quality(frame.image), frame) for frame in frames[1:]]
    fit = [(mark.sharpness, frame) for mark, frame in marks if not mark.shows_nothing and mark.contrast >= least]
    fit = [(sharpness, frame) for sharpness, frame in fit if not _repeats(frame, previous)]
    return max(fit, key=lambda each: each[0])[1] if fit else target


def _repeats(frame: Frame, previous: Frame | None) -> bool:
    return previous is not None and is_repeat(frame.image, previous.image)


def _grey(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """Rec. 601 luma as uint8 (height, width), each pixel the mean of the area that it covers."""
    import cv2

    small = cv2.resize(np.ascontiguousarray(rgb), (width, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
