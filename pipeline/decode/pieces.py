"""Which bytes of a large film are needed: those that say how it is built, then those that the frames are made of.

Only ISO files (MP4, MOV) say in one place where every frame lies. Runs in the child process, on a file of the full
size in which only some bytes are in place.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from pipeline.decode.containers import HEAD_BYTES, sniff
from pipeline.decode.video import video

Piece = tuple[int, int]

BLOCK_BYTES = 256 << 10
"""Asked for at the beginning, and where an index of unknown length may lie."""

_MOST_INDEX_BYTES = 64 << 20

_NEAR_BYTES = 64 << 10
"""Pieces so near to each other come faster in one request: a request takes as long as so many bytes."""


def structure(path: Path, there: Sequence[Piece]) -> list[Piece] | None:
    """What is still missing to probe the film and to know its timeline; [] when nothing is.

    there: pieces in place. None where the film can't be read in pieces. Raises MediaError as `video`.
    """
    size_bytes = path.stat().st_size
    if not _holds(there, 0, min(BLOCK_BYTES, size_bytes)):
        return [(0, min(BLOCK_BYTES, size_bytes))]
    found = _index(path, size_bytes, there)
    if found != []:
        return found
    film = video(path)
    if not film.line.is_told:
        return None
    return [piece for piece in _of(path, [film.line.pts[0]]) or [] if not _holds(there, *piece)]


def needed(path: Path, targets_s: Sequence[float]) -> list[Piece] | None:
    """The bytes that the frames on screen at these moments are made of. None where nobody can tell."""
    line = video(path).line
    return _of(path, sorted({line.pts[line.on_screen(target_s)] for target_s in targets_s}))


def _of(path: Path, wanted: list[int]) -> list[Piece] | None:
    line = video(path).line
    pos, size = line.packets.column("pos"), line.packets.column("size")
    pieces: list[Piece] = []
    for key, group in groupby(wanted, line.key_before):
        last = max(line.numbers(group, key.number).values(), default=key.number)
        starts, sizes = pos[key.number : last + 1], size[key.number : last + 1]
        if (starts < 0).any():
            return None
        order = np.argsort(starts)
        starts, stops = starts[order], (starts + sizes)[order]
        cuts = np.flatnonzero(starts[1:] - stops[:-1] > _NEAR_BYTES)
        begins, ends = [0, *(cuts + 1).tolist()], [*cuts.tolist(), len(starts) - 1]
        pieces += [(int(starts[b]), int(stops[e])) for b, e in zip(begins, ends, strict=True)]
    return pieces


def _index(path: Path, size_bytes: int, there: Sequence[Piece]) -> list[Piece] | None:
    """What is missing of the boxes at the top (ISO/IEC 14496-12, 4.2) and of the index; None where there is none."""
    at, has_index = 0, False
    with path.open("rb") as file:
        if sniff(file.read(HEAD_BYTES)) not in ("mp4", "mov"):
            return None
        while at + 8 <= size_bytes:
            if not _holds(there, at, min(at + 16, size_bytes)):
                return [(at, min(at + BLOCK_BYTES, size_bytes))]
            file.seek(at)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            elif length == 0:  # to the end of the file
                length = size_bytes - at
            if length < 8 or at + length > size_bytes or kind == b"moof":
                return None
            if kind == b"moov":
                if length > _MOST_INDEX_BYTES:
                    return None
                if not _holds(there, at, at + length):
                    return [(at, at + length)]
                has_index = True
            at += length
    return [] if has_index else None


def _holds(there: Sequence[Piece], start: int, stop: int) -> bool:
    return any(piece[0] <= start and stop <= piece[1] for piece in there)
