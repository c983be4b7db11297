"""Healthy pictures: the real photographs again, in the ways files store them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.media import made, real
from tests.media.videos import FRAMES, picture

EXIF_ORIENTATION = 0x0112


def photo() -> Image.Image:
    """The photograph that the others are made from: chelsea the cat, 225×150, RGB."""
    with Image.open(real("chelsea.png")) as image:
        return image.convert("RGB").resize((225, 150))


@made("heic.heic")
def heic(path: Path) -> None:
    import pillow_heif

    pillow_heif.from_pillow(photo()).save(path, quality=90)


@made("exif_rotated.jpg")
def exif_rotated(path: Path) -> None:
    """Stored lying on its side; orientation 6 says to turn it a quarter clockwise."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    photo().transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


@made("cmyk.jpg")
def cmyk(path: Path) -> None:
    photo().convert("CMYK").save(path, quality=95)


@made("grey16.png")
def grey16(path: Path) -> None:
    """16 bits a pixel, using the whole range."""
    grey = np.asarray(photo().convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(path)


@made("palette.png")
def palette(path: Path) -> None:
    photo().quantize(64).save(path)


@made("alpha.png")
def alpha(path: Path) -> None:
    """The left half is transparent (and black beneath): on white it is white."""
    rgba = np.dstack([np.asarray(photo()), np.full((150, 225), 255, np.uint8)])
    rgba[:, :112] = 0
    Image.fromarray(rgba).save(path)


@made("still.webp")
def still_webp(path: Path) -> None:
    photo().save(path, quality=90)


@made("still.gif")
def still_gif(path: Path) -> None:
    photo().save(path)


@made("still.bmp")
def still_bmp(path: Path) -> None:
    photo().save(path)


@made("still.tif")
def still_tif(path: Path) -> None:
    photo().save(path)


@made("still.avif")
def still_avif(path: Path) -> None:
    photo().save(path, quality=80)


@made("animated.gif")
def animated_gif(path: Path) -> None:
    """48 pictures, shown 50, 100 and 150 ms in turn: 4.8 s."""
    images = [Image.fromarray(picture(i)) for i in range(FRAMES)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[50, 100, 150] * (FRAMES // 3), loop=0)


@made("animated.webp")
def animated_webp(path: Path) -> None:
    images = [Image.fromarray(picture(i)) for i in range(FRAMES)]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=[50, 100, 150] * (FRAMES // 3), lossless=True
    )
