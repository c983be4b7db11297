"""Files made to hurt whoever reads them: small, and they ask for all memory or all time there is.

`HOSTILE`: name → the codes that shotlog may end with, "" or none at all for a file that is read like any other. Not in
`MAKERS`: what they ask for is more than most suites need to see.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from tests.media import media, real
from tests.media.handmade import chunk, gif, png, zeros
from tests.media.tricks import box, element, replaced
from tests.media.videos import FRAMES, HEIGHT, WIDTH, X264, avi, encode, jpeg

SIDE = 60_000
"""Pixels of one side of a bomb: 3.6 gigapixels."""

FILM_SIDE = 16_000
"""Of a picture in a film: 256 megapixels, the most that FFmpeg doesn't refuse by itself."""

HOSTILE: dict[str, tuple[str, ...]] = {}
_MAKERS: dict[str, Callable[[], bytes]] = {}


def hostile(name: str, *codes: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    def register(maker: Callable[[], bytes]) -> Callable[[], bytes]:
        HOSTILE[name], _MAKERS[name] = codes, maker
        return maker

    return register


def write(folder: Path, name: str) -> Path:
    """Write one of `HOSTILE` into a folder; its path."""
    path = folder / name
    path.write_bytes(_MAKERS[name]())
    return path


# --- pictures of 60,000×60,000 -------------------------------------------------------------------------------------


@hostile("bomb.png", "too_many_pixels")
def bomb_png() -> bytes:
    return png(SIDE, SIDE, zeros(SIDE * SIDE * 3))


@hostile("bomb.tif", "too_many_pixels")
def bomb_tif() -> bytes:
    """One deflated strip: sizes by TIFF 6.0's tags 256 and 257."""
    strip = zeros(SIDE * SIDE)
    tags = {256: SIDE, 257: SIDE, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: SIDE, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    at = 8 + len(strip) + len(strip) % 2
    return (
        b"II*\0"
        + struct.pack("<I", at)
        + strip.ljust(at - 8, b"\0")
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


@hostile("bomb.gif", "too_many_pixels")
def bomb_gif() -> bytes:
    return gif([(0, 0, 10, 10)], screen=(SIDE, SIDE))


@hostile("grows.gif", "too_many_pixels")
def growing_gif() -> bytes:
    """A screen of 10×10, and later frames that reach far beyond it."""
    return gif([(0, 0, 10, 10), (SIDE, SIDE, 10, 10), (0, 0, 10, 10)], screen=(10, 10))


@hostile("bomb.webp", "too_many_pixels")
def bomb_webp() -> bytes:
    """The canvas of an animation is the one size in WebP that can be so large."""
    still = media("still.webp").read_bytes()
    frame = bytes(6) + _uint24(224) + _uint24(149) + _uint24(100) + b"\0" + still[12:]
    size = _uint24(SIDE - 1) * 2
    body = b"WEBP" + _riff(b"VP8X", b"\2\0\0\0" + size) + _riff(b"ANIM", bytes(6)) + _riff(b"ANMF", frame) * 2
    return _riff(b"RIFF", body)


@hostile("bomb.bmp", "too_many_pixels")
def bomb_bmp() -> bytes:
    """Run-length coded, so that few bytes are many pixels."""
    header = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + header + bytes(1024) + b"\xff\0" * 5000


@hostile("bomb.ppm", "too_many_pixels")
def bomb_ppm() -> bytes:
    return b"P6 60000 60000 255\n" + bytes(5000)


@hostile("bomb.jpg", "too_many_pixels")
def bomb_jpg() -> bytes:
    return _jpeg_of(SIDE, real("china.jpg").read_bytes())


@hostile("bomb.ico", "too_many_pixels")
def bomb_ico() -> bytes:
    """An icon that says 16×16 and holds the PNG."""
    body = bomb_png()
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(body), 22) + body


@hostile("text.png", "corrupt")
def text_png() -> bytes:
    """An honest small picture with a comment of half a gigabyte, deflated."""
    comment = chunk(b"zTXt", b"Comment\0\0" + zeros(512 << 20))
    return png(8, 8, zlib.compress(bytes(8 * 25)), before=comment)


def _jpeg_of(side: int, data: bytes) -> bytes:
    at = data.index(b"\xff\xc0") + 5  # SOF0: length, precision, then height and width
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


# --- pictures without end ------------------------------------------------------------------------------------------


@hostile("endless.gif")
def endless_gif() -> bytes:
    """A hundred thousand frames of one pixel."""
    return gif([(0, 0, 1, 1)] * 100_000, screen=(16, 16))


@hostile("huge frames.gif", "too_many_pixels")
def huge_frames_gif() -> bytes:
    """Each picture is allowed; all of them together are thirty gigapixels in 13 MB."""
    return gif([(0, 0, 10_000, 10_000)] * 300, screen=(10_000, 10_000))


@hostile("slow.gif")
def slow_gif() -> bytes:
    """Two hundred frames that say they take eleven minutes each: a day and a half in 5 kB."""
    return gif([(0, 0, 16, 16)] * 200, screen=(16, 16), delay=65535)


# --- videos --------------------------------------------------------------------------------------------------------


@hostile("bomb.avi", "corrupt")
def bomb_avi() -> bytes:
    """Motion JPEG: a header of 160×96, and pictures of 16,000×16,000 from the second half on."""
    pictures = [jpeg(i) if i < FRAMES // 2 else _jpeg_of(FILM_SIDE, jpeg(i)) for i in range(FRAMES)]
    return avi(pictures, header_frames=FRAMES)


@hostile("bomb png.avi", "decoder_memory", "too_many_pixels", "corrupt")
def bomb_png_avi() -> bytes:
    small = png(WIDTH, HEIGHT, zlib.compress(bytes(HEIGHT * (1 + WIDTH * 3))))
    pictures = [small] * (FRAMES // 2) + [png(FILM_SIDE, FILM_SIDE, zeros(FILM_SIDE * FILM_SIDE * 3))] * (FRAMES // 2)
    return avi(pictures, header_frames=FRAMES).replace(b"MJPG", b"MPNG")


@hostile("bomb header.avi", "too_many_pixels")
def bomb_header_avi() -> bytes:
    """The header says 16,000×16,000, so nothing need be decoded."""
    data = avi([_jpeg_of(FILM_SIDE, jpeg(i)) for i in range(FRAMES)], header_frames=FRAMES)
    return data.replace(struct.pack("<ii", WIDTH, HEIGHT), struct.pack("<ii", FILM_SIDE, FILM_SIDE))


@hostile("thousand tracks.mp4", "", "corrupt")
def thousand_tracks() -> bytes:
    """The one track's box a thousand times."""
    return replaced(media("cfr.mp4").read_bytes(), [b"moov"], lambda moov: moov + trak_of(moov) * 999)


@hostile("ten thousand tracks.mp4", "corrupt")
def ten_thousand_tracks() -> bytes:
    return replaced(media("cfr.mp4").read_bytes(), [b"moov"], lambda moov: moov + trak_of(moov) * 9_999)


def trak_of(moov: bytes) -> bytes:
    at = moov.index(b"trak") - 4
    return moov[at : at + struct.unpack_from(">I", moov, at)[0]]


@hostile("nested.mp4")
def nested_mp4() -> bytes:
    """Boxes within boxes, five thousand deep, before the index."""
    return replaced(media("cfr.mp4").read_bytes(), [b"moov"], lambda moov: nest(5000) + moov)


def nest(depth: int) -> bytes:
    """moov in udta in moov in …"""
    body = b""
    for level in range(depth):
        body = box((b"moov", b"udta", b"trak", b"meta")[level % 4], body)
    return body


@hostile("endless boxes.mp4", "corrupt")
def endless_boxes() -> bytes:
    """Half a million empty boxes."""
    return box(b"ftyp", b"isom\0\0\2\0isom") + box(b"free", b"") * 500_000


@hostile("huge table.mp4", "corrupt")
def huge_table() -> bytes:
    """The table of sample sizes counts four billion, in a box of a few bytes."""

    def counted(stsz: bytes) -> bytes:
        return stsz[:8] + struct.pack(">I", 0xFFFFFFF0) + stsz[12:]

    return replaced(media("cfr.mp4").read_bytes(), [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz"], counted)


@hostile("billion samples.mp4", "no_frames")
def billion_samples() -> bytes:
    """All samples have one size, so no table is needed to say that there are a billion."""

    def counted(stsz: bytes) -> bytes:
        return stsz[:4] + struct.pack(">II", 1, 1_000_000_000)

    return replaced(media("cfr.mp4").read_bytes(), [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz"], counted)


@hostile("huge.mkv", "truncated")
def huge_mkv() -> bytes:
    """A cluster of 64 petabytes."""
    data = media("live.mkv").read_bytes()
    at = data.index(b"\x1f\x43\xb6\x75") + 4
    return data[:at] + b"\x01\xff\xff\xff\xff\xff\xff\xfe" + data[at + 9 - data[at].bit_length() :]


@hostile("huge private.mkv", "truncated")
def huge_private_mkv() -> bytes:
    """Codec data of a gigabyte, of which a few bytes are there."""
    data = media("live.mkv").read_bytes()
    at = data.index(b"\x63\xa2") + 2
    return data[:at] + (1 << 56 | 1 << 30).to_bytes(8, "big") + data[at + 9 - data[at].bit_length() :]


@hostile("nested.mkv")
def nested_mkv() -> bytes:
    """Tags within tags, a thousand deep."""
    body = b""
    for _ in range(1000):
        body = element(b"\x67\xc8", body)  # SimpleTag
    data = media("live.mkv").read_bytes()
    at = data.index(b"\x1f\x43\xb6\x75")
    return data[:at] + element(b"\x12\x54\xc3\x67", element(b"\x73\x73", body)) + data[at:]


@hostile("weeks.mkv")
def weeks_mkv() -> bytes:
    """Two frames, twenty days apart."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weeks.mkv"
        encode(path, time_base=Fraction(1, 1000), ticks=[0, 1_728_000_000], options={**X264, "bf": "0"})
        return path.read_bytes()


def _riff(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _uint24(value: int) -> bytes:
    return value.to_bytes(3, "little")
