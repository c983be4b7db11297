"""What is done with a frame's picture besides showing it to a tagger: evidence, a smaller copy, a fingerprint."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.model import Thumbnail

# 320 px of 29 photographs and video frames: 3.6 kB on average at quality 30, 4.9 at 50, 6.6 at 75.
_QUALITY = 50

_METHOD = 2
"""How hard the encoder tries, of 6. With 4 those pictures are 6 % smaller and take twice as long (4.4 ms, not 2.0)."""

_SIDE = 32
"""Cells across and down in a fingerprint."""

_VISIBLE = 12
"""A cell whose mean red, green or blue differs by more of 255 than this has changed. On six photographs 2 % of
brightness change cells by up to 5, JPEG at quality 30 by up to 9."""

_SLOPE = 2
"""Neighbours that differ by no more of 255 are equally bright: otherwise noise decides the bits of a bare wall."""


def thumbnail(image: np.ndarray, *, width_px: int = 320) -> Thumbnail:
    """An RGB uint8 image (height, width, 3) as WebP of about 5 kB, its longer side `width_px`, never enlarged."""
    height, width = image.shape[:2]
    scale = min(1.0, width_px / max(height, width))
    small = _averaged(image, max(1, round(height * scale)), max(1, round(width * scale)))
    packed = io.BytesIO()
    Image.fromarray(small).save(packed, "WEBP", quality=_QUALITY, method=_METHOD)
    return Thumbnail(packed.getvalue(), small.shape[1], small.shape[0])


def shrunk(image: np.ndarray, max_pixels: int) -> np.ndarray:
    """An RGB uint8 image (height, width, 3) at no more than `max_pixels`, in one piece of memory.

    Keeps the aspect ratio, except where a side would be less than a pixel. One that is small enough comes back as
    it is (uncopied where it lies in one piece). Averages areas: a 4K picture takes a third of the time of Lanczos
    (34 ms, 96 ms) and differs from it by 0.3 of 255 on average.
    """
    height, width = image.shape[:2]
    if height * width <= max_pixels:
        return np.ascontiguousarray(image)
    scale = math.sqrt(max_pixels / (height * width))
    new_height, new_width = max(1, int(height * scale)), max(1, int(width * scale))
    if new_height * new_width > max_pixels:  # the shorter side was rounded up to a pixel
        new_height, new_width = min(new_height, max_pixels), min(new_width, max_pixels)
    return _averaged(image, new_height, new_width)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a picture looks like from afar. bits: its difference hash. cells: mean RGB of 32×32 cells, row by row."""

    bits: int
    cells: bytes


def fingerprint(image: np.ndarray) -> Fingerprint:
    """Of an RGB uint8 image (height, width, 3) of any size."""
    cells = _averaged(image, _SIDE, _SIDE)
    return Fingerprint(difference_hash(cells), cells.tobytes())


def difference_hash(image: np.ndarray) -> int:
    """64 bits: whether each of 8×8 places of the picture is clearly less bright than its right neighbour.

    After the difference hash that Neal Krawetz described on the Hacker Factor blog ("Kind of Like That", 2013).
    Unlike there a bit needs a difference of more than 2 of 255. Brightness, contrast and compression hardly change
    it; so by itself it takes a black picture for a white one, which is why `differences` doesn't stop here.
    """
    brightness = _averaged(image, 8, 9) @ np.array([0.299, 0.587, 0.114])  # Rec. 601 luma
    rising = brightness[:, 1:] - brightness[:, :-1] > _SLOPE
    return int.from_bytes(np.packbits(rising).tobytes(), "big")


def differences(a: Fingerprint, b: Fingerprint) -> int:
    """How many of 64 parts differ, 0 to 64: bits of the hash, or tiles of 4×4 cells, whichever are more.

    A tile differs where one of its cells changed visibly. The hash hears what is too faint for that, the tiles what
    leaves the order of bright and dark as it was: fades, colours, small things that come, go or move.
    """
    one, other = (np.frombuffer(each.cells, np.uint8).reshape(_SIDE, _SIDE, 3).astype(np.int16) for each in (a, b))
    changed = (np.abs(one - other) > _VISIBLE).any(axis=2)
    tiles = int(changed.reshape(8, 4, 8, 4).any(axis=(1, 3)).sum())
    return max((a.bits ^ b.bits).bit_count(), tiles)


def alike(a: Fingerprint, b: Fingerprint, distance: int) -> bool:
    """Whether two pictures differ in at most `distance` of 64 parts, so that one's answer may stand for the other.

    Measured on the films of the tests and rendered slides (1080p): noise, 2 % of brightness and JPEG make 0 to 2;
    something of 0.1 % of the picture that appears 1, of 1 % that crosses it 6; half a second of a film 5 to 64 (of
    two films with people 20 and more), a cut 64; two slides of one layout with other words 21 and more, a line more or
    less 4. So 1 or 2 is for slides, up to 4 for cameras that stand still; from 20 on one slide passes for another.
    A word or a digit exchanged makes 0 to 1: where small print matters, nothing may be taken over.
    """
    return differences(a, b) <= distance


def _averaged(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture at another size, each new pixel the mean of the area that it covers."""
    import cv2  # takes a while to load, and not every process needs it

    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_AREA)
