"""Stills and animated pictures (GIF, WebP, PNG, AVIF) by Pillow."""

from __future__ import annotations

import functools
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.decode import ANIMATED
from pipeline.decode.animation import animation
from pipeline.decode.containers import cut_short
from pipeline.decode.timeline import TIE_S
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo

# Formats with a signature of their own, and whose reader starts no other program (EPS would).
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM", "ICO", "PSD")

_MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
"""First bytes that promise a picture, so that one Pillow can't make sense of is broken rather than no media."""

# Browsers and ffmpeg show a frame of less than 20 ms for 100 ms: nobody meant it.
_SHORTEST_MS, _USUAL_MS = 20, 100

_ALL_PICTURES = 100
"""What all pictures of an animation may have together, by what one may: at 200 megapixels, six hours of 320×240 at
12 a second, or half an hour of 720p. More takes longer than any deadline."""

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # the limit is max_megapixels, checked before any pixel is decoded
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def probe_image(path: Path, *, max_megapixels: float) -> MediaInfo | None:
    """What the file is if Pillow reads it, None if it is no picture. A still is decoded to see that it is whole.

    An animation has no more than _ALL_PICTURES × max_megapixels in all. One that ends early has fault "truncated".
    Raises MediaError too_many_pixels, truncated, corrupt.
    """
    try:
        moves = animation(path)
        if moves:
            _check_pixels(moves.width, moves.height, max_megapixels)
        image = _open(path, max_megapixels)
    except UnidentifiedImageError as error:
        with path.open("rb") as file:
            if file.read(8).startswith(_MAGICS):
                raise _broken(path, error) from error
        return None
    except Exception as error:
        raise _broken(path, error) from error
    with image:
        name = (image.format or "").lower()
        _check_pixels(image.width, image.height, max_megapixels)
        count = len(moves.ms) if moves else _count(path, image)
        width, height = image.size
    if count <= 1:
        height, width = still(path).shape[:2]
        return MediaInfo("image", name, name, width, height)
    _check_pixels(width, height, max_megapixels, count)
    times_s = frame_times(path)
    mean_rate = (len(times_s) - 1) / times_s[-1]
    info = MediaInfo("video", name, name, width, height, duration_s=times_s[-1], frame_rate=mean_rate)
    cut = moves is not None and moves.cut
    return replace(info, fault="truncated", fault_detail=f"{count:,} whole pictures") if cut else info


def _open(path: Path, max_megapixels: float) -> Image.Image:
    """Opened; what says to be a small icon may hold a huge PNG, which Pillow decodes at once."""
    with path.open("rb") as file:
        icon = file.read(4) == b"\0\0\1\0"
    Image.MAX_IMAGE_PIXELS = round(max_megapixels * 500_000) if icon else None  # Pillow refuses twice as many
    try:
        return Image.open(path, formats=_FORMATS)
    finally:
        Image.MAX_IMAGE_PIXELS = None


def _check_pixels(width: int, height: int, max_megapixels: float, count: int = 1) -> None:
    most = max_megapixels * (1 if count == 1 else _ALL_PICTURES)
    if width * height * count > most * 1_000_000:
        many = "" if count == 1 else f"{count:,} pictures of "
        raise MediaError("too_many_pixels", f"{many}{width}×{height} of {most:g} megapixels")


def _count(path: Path, image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1)) if (image.format or "").lower() in ANIMATED else 1
    except Exception as error:
        raise _broken(path, error) from error


class ImageDecoder:
    """A decoder (see base.py) for what `probe_image` knows. A still gives its one frame at 0 s."""

    name = "pillow"
    version = PIL.__version__

    def frames(self, path: Path, info: MediaInfo, targets_s: Sequence[float]) -> Iterator[Frame]:
        """As base.Decoder.frames. Raises MediaError truncated or corrupt."""
        if not targets_s:
            return
        if info.kind == "image":
            yield Frame("", still(path), 0.0, targets_s[0], 0)
            return
        starts_s = frame_times(path)[:-1]
        wanted: dict[int, float] = {}
        for target_s in targets_s:
            wanted.setdefault(max(0, bisect_right(starts_s, target_s + TIE_S) - 1), target_s)
        with Image.open(path, formats=_FORMATS) as image:
            for index, target_s in wanted.items():
                try:
                    image.seek(index)
                    rgb = _rgb(image)
                except Exception as error:
                    raise _broken(path, error) from error
                yield Frame("", rgb, starts_s[index], target_s, index)


def pictures(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    """(timestamp_s, RGB) of every frame of an animated picture."""
    for frame in ImageDecoder().frames(path, _MOVING, frame_times(path)[:-1]):
        yield frame.timestamp_s, frame.image


_MOVING = MediaInfo("video", "gif", "gif", 1, 1)


def still(path: Path) -> np.ndarray:
    """A still as upright RGB; the last one is kept, since probing and decoding both ask. Raises MediaError."""
    stat = path.stat()
    return _still(path.absolute(), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=1)
def _still(path: Path, _mtime_ns: int, _size: int) -> np.ndarray:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        raise _broken(path, error) from error


def frame_times(path: Path) -> list[float]:
    """When each frame of an animated picture begins, and when the last one ends, in seconds."""
    stat = path.stat()
    return list(_frame_times(path.absolute(), stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=1)
def _frame_times(path: Path, _mtime_ns: int, _size: int) -> tuple[float, ...]:
    ms, times = 0, [0.0]
    try:
        moves = animation(path)
        for shown in moves.ms if moves else _decoded_ms(path):
            ms += shown if shown >= _SHORTEST_MS else _USUAL_MS
            times.append(ms / 1000)
    except Exception as error:
        raise _broken(path, error) from error
    return tuple(times)


def _decoded_ms(path: Path) -> Iterator[int]:
    """How long each picture is shown where Pillow knows that only once it is decoded."""
    with Image.open(path, formats=_FORMATS) as image:
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            image.load()
            yield int(image.info.get("duration", 0))


def _rgb(image: Image.Image) -> np.ndarray:
    """Any of Pillow's modes as RGB uint8: 16 bits by their upper half, transparency over white."""
    if image.mode.startswith("I;16"):
        return _grey((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):  # no agreed white: the brightest pixel becomes it
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        low, high = float(values.min()), float(values.max())
        return _grey(((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[:, :, np.newaxis], 3, axis=2)


def _broken(path: Path, error: Exception) -> Exception:
    """What to raise for whatever Pillow raised. Memory and our own errors stay what they are."""
    if isinstance(error, (MediaError, MemoryError)):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return MediaError("too_many_pixels", f"within it {str(error).partition(',')[0]}")
    missing = cut_short(path)
    if isinstance(error, UnidentifiedImageError):
        error = ValueError("it begins like a picture and holds none")
    ends = missing or "truncated" in str(error).lower() or isinstance(error, EOFError)
    return MediaError("truncated" if ends else "corrupt", missing or f"{type(error).__name__}: {error}")
