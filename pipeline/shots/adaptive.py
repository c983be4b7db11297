"""The detector `adaptive`: a cut is where the picture changes much more than it does just before and after."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import cv2

from pipeline.model import Shot
from pipeline.shots.base import Pictures, Small, joined

# PySceneDetect's AdaptiveDetector at its own defaults, and a test holds the two together. It is written out here
# because the score that a shot keeps costs ten times as much there: with statistics it looks for edges, too.
RATIO = 3.0
"""A cut changes the picture at least so many times as much as the frames around it do."""

LEAST_CHANGE = 15.0
"""And at least by so much of 255: the mean over hue, saturation and value of all pixels."""

AROUND = 2
"""Frames before a cut and after it that it is compared with."""

SHORTEST = 15
"""Frames that a shot has at least."""

MOST_RATIO, STILL = 255.0, 1e-5
"""The ratio where the frames around don't change at all, and less than what change counts as none."""

SIDE_PX = 96
"""The longer side of the pictures. 256 found the same cuts in every film tried, with no more room to the threshold,
also among grain and fast pans: detail only makes noise."""


class Adaptive:
    """See base.ShotDetector. A score is a ratio: RATIO or more, 255 at most."""

    def __init__(self, device: str = "auto") -> None:
        """device: as shots.open_detector has it; there is no network to run."""

    def small(self, width: int, height: int) -> Small:
        """No side longer than SIDE_PX. Few pixels are read for it, which suffices where all of them are averaged."""
        shrink = min(1.0, SIDE_PX / max(width, height))
        return Small(max(2, round(width * shrink)), max(2, round(height * shrink)), "bgr24", "FAST_BILINEAR")

    def find(self, pictures: Pictures, end_s: float) -> Iterator[Shot]:
        """As base.ShotDetector.find. Holds the last two pictures."""
        return joined(_starts(pictures), end_s)


def _starts(pictures: Pictures) -> Iterator[tuple[float, float | None]]:
    """Where the first shot begins, then (timestamp_s, ratio) of every cut."""
    around: deque[tuple[int, float, float]] = deque(maxlen=2 * AROUND + 1)  # number, timestamp_s, change
    last_cut = 0
    for number, timestamp_s, change in _changes(pictures):
        if number == 0:
            yield timestamp_s, None
        around.append((number, timestamp_s, change))
        if len(around) <= 2 * AROUND:
            continue
        middle, middle_s, middle_change = around[AROUND]
        ratio = _ratio(middle_change, (sum(change for _, _, change in around) - middle_change) / (2 * AROUND))
        if ratio >= RATIO and middle_change >= LEAST_CHANGE and middle - last_cut >= SHORTEST:
            last_cut = middle
            yield middle_s, ratio


def _ratio(change: float, usual: float) -> float:
    if usual < STILL:
        return MOST_RATIO if change >= LEAST_CHANGE else 0.0
    return min(change / usual, MOST_RATIO)


def _changes(pictures: Pictures) -> Iterator[tuple[int, float, float]]:
    """(number, timestamp_s, how much the picture differs from the one before it, of 255)."""
    before = None
    for number, (timestamp_s, picture) in enumerate(pictures):
        hsv = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        change = 0.0 if before is None else cv2.norm(hsv, before, cv2.NORM_L1) / hsv.size
        yield number, timestamp_s, change
        before = hsv
