"""Damaged files: a number gives the file, its damage and how it is looked at, always the same."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.media import media, names

LARGEST_BYTES = 70_000
"""Of a file that is damaged: small ones have more header for their size, and are looked at fast."""

HEAD_BYTES = 2048
"""How far from either end most damage is done: containers keep what they say about themselves there."""

_NUMBERS = (0, 1, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Lengths and counts that break sums."""


@dataclass(frozen=True)
class Case:
    """One damaged file. decoder: as `--decoder` takes it. damage: what was done, in words."""

    seed: int
    name: str
    data: bytes
    decoder: str
    damage: tuple[str, ...]

    def kept(self, path: Path, facts: dict[str, Any]) -> Case:
        """The same number's file as it was when it was kept: other versions of the encoders make other files."""
        name = path.name.partition("-")[2]
        return Case(self.seed, name, path.read_bytes(), facts["decoder"], tuple(facts["damage"]))


Healthy = tuple[tuple[str, bytes], ...]
_known: Healthy = ()


def know(files: Healthy) -> None:
    """Take these for `healthy`, in a process that needn't make them again."""
    global _known
    _known = files


def healthy() -> Healthy:
    """Name and bytes of every kind of healthy file that is small."""
    if not _known:
        know(_small())
    return _known


def _small() -> Healthy:
    found = [(name, media(name)) for name in names() if not name.startswith("long")]
    return tuple((name, _same_always(path)) for name, path in found if path.stat().st_size <= LARGEST_BYTES)


def _same_always(path: Path) -> bytes:
    """The file's bytes without the random numbers that Matroska's writer puts into it."""
    data = bytearray(path.read_bytes())
    if data.startswith(b"\x1aE\xdf\xa3"):
        for tag, count in ((b"\x73\xa4\x90", 16), (b"\x73\xc5\x88", 8), (b"\x63\xc5\x88", 8)):  # SegmentUID, TrackUIDs
            at = data.find(tag)
            if at >= 0:
                data[at + 3 : at + 3 + count] = bytes(count - 1) + b"\1"
    return bytes(data)


def case(seed: int) -> Case:
    """The file that belongs to a number."""
    dice = random.Random(seed)
    name, data = dice.choice(healthy())
    damaged, done = bytearray(data), []
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        if damaged:
            done.append(dice.choice(_DAMAGES)(damaged, dice))
    decoder = dice.choices(("auto", "pyav", "decord"), (6, 1, 3))[0]
    return Case(seed, name, bytes(damaged), decoder, tuple(done))


def _place(data: bytearray, dice: random.Random) -> int:
    """Where to do damage: four times in five near the beginning or the end."""
    near = min(len(data), HEAD_BYTES)
    where = dice.randrange(5)
    if where < 2:
        return dice.randrange(near)
    return len(data) - 1 - dice.randrange(near) if where < 4 else dice.randrange(len(data))


def _flip(data: bytearray, dice: random.Random) -> str:
    places = [_place(data, dice) for _ in range(dice.choice((1, 4, 32)))]
    for at in places:
        data[at] ^= 1 << dice.randrange(8)
    return f"a bit flipped at {', '.join(map(str, places))}"


def _noise(data: bytearray, dice: random.Random) -> str:
    at, count = _place(data, dice), dice.choice((1, 4, 64, 1024))
    data[at : at + count] = dice.randbytes(len(data[at : at + count]))
    return f"{count} bytes of noise at {at}"


def _zero(data: bytearray, dice: random.Random) -> str:
    at, count = _place(data, dice), dice.choice((4, 16, 256, 4096))
    data[at : at + count] = bytes(len(data[at : at + count]))
    return f"{count} bytes zeroed at {at}"


def _repeat(data: bytearray, dice: random.Random) -> str:
    at, count, times = _place(data, dice), dice.choice((4, 64, 1024)), dice.choice((1, 1, 50))
    data[at:at] = data[at : at + count] * times
    return f"{count} bytes at {at} repeated {times} times"


def _remove(data: bytearray, dice: random.Random) -> str:
    at, count = _place(data, dice), dice.choice((1, 4, 64, 1024))
    del data[at : at + count]
    return f"{count} bytes removed at {at}"


def _number(data: bytearray, dice: random.Random) -> str:
    at, number, form = _place(data, dice), dice.choice(_NUMBERS), dice.choice((">I", "<I", ">H", "<H", ">Q"))
    packed = struct.pack(form, number & ((1 << 8 * struct.calcsize(form)) - 1))
    data[at : at + len(packed)] = packed
    return f"{number:#x} as {form} at {at}"


def _length(data: bytearray, dice: random.Random) -> str:
    """A number that is about as large as the file or a part of it, where a length may be."""
    at, form = _place(data, dice), dice.choice((">I", "<I"))
    number = max(0, len(data) - at + dice.choice((-9, -8, -1, 0, 1, 8, 9)))
    data[at : at + 4] = struct.pack(form, number)
    return f"the length {number} as {form} at {at}"


def _end(data: bytearray, dice: random.Random) -> str:
    at = dice.randrange(len(data))
    del data[at:]
    return f"cut at {at}"


def _splice(data: bytearray, dice: random.Random) -> str:
    name, other = dice.choice(healthy())
    at, count = _place(data, dice), dice.choice((16, 256, 4096))
    start = dice.randrange(len(other))
    data[at : at + count] = other[start : start + count]
    return f"{count} bytes of {name} at {at}"


_DAMAGES = (_flip, _flip, _noise, _zero, _repeat, _remove, _number, _number, _length, _end, _splice)
