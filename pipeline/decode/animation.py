"""How long each picture of a GIF or an animated WebP is shown, from their structure alone: nothing is decoded."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Animation:
    """width, height: what holds every picture, in pixels. ms: how long each is shown, as the file says.

    cut: whether the bytes end within a picture, which isn't counted then.
    """

    width: int
    height: int
    ms: list[int] = field(default_factory=list)
    cut: bool = False


def animation(path: Path) -> Animation | None:
    """The pictures of a GIF or WebP file; None for any other and for a WebP that doesn't move."""
    with path.open("rb") as file:
        if len(head := file.read(30)) < 13:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if head[:4] == b"GIF8":
                return _gif(data)
            if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 30 and head[20] & 2:
                return _webp(data)
    return None


def _gif(data: mmap.mmap) -> Animation:
    """After CompuServe's "Graphics Interchange Format, Version 89a"."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    found, at, delay_ms = Animation(width, height), 13 + _palette_bytes(flags), 0
    try:
        while (kind := data[at]) != 0x3B:
            if kind == 0x21:
                if data[at + 1] == 0xF9 and data[at + 2] >= 3:
                    delay_ms = 10 * int.from_bytes(data[at + 4 : at + 6], "little")
                at = _after_blocks(data, at + 2)
            elif kind == 0x2C:
                left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
                at = _after_blocks(data, at + 11 + _palette_bytes(flags))
                found.width, found.height = max(found.width, left + wide), max(found.height, top + high)
                found.ms.append(delay_ms)
                delay_ms = 0
            else:
                at += 1
    except (IndexError, struct.error):  # no trailer, as many writers leave it, or in the middle of something
        found.cut = at < len(data) and data[at] in (0x21, 0x2C)
    return found


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: mmap.mmap, at: int) -> int:
    """Where a row of sub-blocks ends. Raises IndexError where the data do."""
    while length := data[at]:
        at += 1 + length
    return at + 1


def _webp(data: mmap.mmap) -> Animation:
    """After RFC 9649: the canvas is in VP8X, a picture's duration in its ANMF."""
    found = Animation(1 + _uint24(data, 24), 1 + _uint24(data, 27))
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF" and length >= 16 and at + 24 <= len(data):
            found.ms.append(_uint24(data, at + 20))
        at += 8 + length + length % 2
    return found


def _uint24(data: mmap.mmap, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
