"""How stored pixels become an upright picture with square pixels. One way for every decoder, so all agree."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

_WIDEST = 8
"""A sample aspect ratio beyond 1:8 is a broken header, not a lens: it is left alone."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """rotation: degrees counter-clockwise that set the picture upright, in quarters.

    sample_aspect: width of a pixel by its height.
    """

    rotation: int = 0
    sample_aspect: Fraction = Fraction(1)

    @classmethod
    def of(cls, rotation: int | None, sample_aspect: Fraction | None) -> Geometry:
        """From what a container says, which may be nothing or nonsense."""
        sane = sample_aspect and Fraction(1, _WIDEST) <= sample_aspect <= _WIDEST
        return cls(round((rotation or 0) / 90) * 90 % 360, sample_aspect if sane and sample_aspect else Fraction(1))

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright picture: the shorter side of a pixel is stretched, so none is lost."""
        if self.sample_aspect > 1:
            width = round(width * self.sample_aspect)
        elif self.sample_aspect < 1:
            height = round(height / self.sample_aspect)
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def upright(self, rgb: np.ndarray) -> np.ndarray:
        """The picture as it is meant to be seen; rgb is uint8 (height, width, 3)."""
        height, width = rgb.shape[:2]
        if self.sample_aspect != 1:
            stretched = Geometry(0, self.sample_aspect).size(width, height)
            rgb = np.asarray(Image.fromarray(rgb).resize(stretched, Image.Resampling.BICUBIC))
        return np.ascontiguousarray(np.rot90(rgb, self.rotation // 90)) if self.rotation else rgb
