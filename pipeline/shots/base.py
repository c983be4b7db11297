"""The shot detector protocol. To add a detector: write `shots/<name>.py` with a class like this, add one line to
`shots.DETECTORS`, and, where it needs more than shotlog itself, an extra of its name to pyproject.toml and a line to
`shots._NEEDS`. The tests in tests/unit/test_shots.py and test_shot_pass.py run over every name of `DETECTORS`.

A detector sees every frame of a film once, made small, in presentation order, and gives each shot when the next one
begins. It runs inside the child process that decodes. A film has a quarter of a million frames: a detector holds a
few of them and never all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.model import Shot

Pictures = Iterable[tuple[float, np.ndarray]]
"""(timestamp_s, picture) of every frame in presentation order, all pictures of one size."""


@dataclass(frozen=True, slots=True)
class Small:
    """The pictures that a detector wants to see: uint8 of shape (height, width, 3).

    pixel_format: bgr24 or rgb24. interpolation: the name of a filter of FFmpeg's swscale, by which frames are scaled.
    """

    width: int
    height: int
    pixel_format: str
    interpolation: str


class ShotDetector(Protocol):
    """Finds where shots begin. Made with the device that its network, if it has one, is to run on."""

    def small(self, width: int, height: int) -> Small:
        """What frames of so many pixels have to be made into for `find`."""
        ...

    def find(self, pictures: Pictures, end_s: float) -> Iterator[Shot]:
        """Yield shots as they end; together they cover everything from the first picture to end_s.

        A shot's score says how sure its cut is, by the detector's own measure; the first one's is None. No picture,
        no shot.
        """
        ...


def joined(starts: Iterable[tuple[float, float | None]], end_s: float) -> Iterator[Shot]:
    """Shots from where each begins: (timestamp_s, score). The first picture's start comes first, with None.

    A start at the time of the one before it is none, since no time lies between them.
    """
    # (0.0, None), (2.0, 7.5), end_s=3.0  →  0–2 s, 2–3 s (7.5)
    begun: tuple[float, float | None] | None = None
    for start_s, score in starts:
        if begun is None:
            begun = start_s, score
        elif start_s > begun[0]:
            yield Shot(begun[0], start_s, begun[1])
            begun = start_s, score
    if begun is not None:
        yield Shot(begun[0], max(begun[0], end_s), begun[1])
