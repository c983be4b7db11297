"""What the first bytes and the outermost structure of a file tell, without any decoder.

Only one question is asked of the structure: do the bytes end before the file does, by its own account?
A container that gives no account of its length (MPEG-PS, a TS cut between two packets) can't be asked.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

HEAD_BYTES = 4096

# Boxes that an ISO file can begin with (ISO/IEC 14496-12, and Apple's QuickTime File Format).
_ISO_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"styp", b"pnot"}
_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675


def sniff(head: bytes) -> str | None:
    """Name of the container that the first bytes announce, None where they announce none."""
    if head[4:8] in _ISO_FIRST:
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "webm" if b"webm" in head[:64] else "matroska"
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WEBP": "webp"}.get(head[8:12], "riff")
    for magic, name in (
        (b"FLV\x01", "flv"),
        (b"OggS", "ogg"),
        (b"\x00\x00\x01\xba", "mpeg"),
        (b"0&\xb2u\x8ef\xcf\x11", "asf"),
        (b"\x06\x0e+4\x02\x05\x01\x01", "mxf"),
    ):
        if head.startswith(magic):
            return name
    return "mpegts" if _ts_packet_bytes(head) else None


def cut_short(path: Path) -> str:
    """Where the bytes end although the structure goes on ('' where nothing is known to be missing)."""
    with path.open("rb", buffering=1 << 16) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(HEAD_BYTES)
        kind = sniff(head)
        check = {
            "mp4": _iso_end,
            "mov": _iso_end,
            "matroska": _ebml_end,
            "webm": _ebml_end,
            "avi": _riff_end,
            "webp": _riff_end,
            "flv": _flv_end,
            "ogg": _ogg_end,
        }.get(kind or "")
        if kind == "mpegts":
            length, offset = _ts_packet_bytes(head) or (188, 0)
            extra = size % length
            file.seek(size - extra + offset)
            return "the last transport packet is incomplete" if extra and file.read(1) in (b"\x47", b"") else ""
        end = check(file, size) if check else 0
    if end < 0:
        return "the index (moov) at the end is missing"
    return f"{size:,} bytes of at least {end:,}" if end > size else ""


def _iso_end(file: BinaryIO, size: int) -> int:
    """Where the box that passes the end of the file should end; -1 where pictures have no index at all."""
    at, seen = 0, set()
    while at + 8 <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        elif length == 0:  # to the end of the file, whatever that is
            length = size - at
        seen.add(kind)
        if length < 8 or (at + length > size and kind not in (b"mdat", b"moov", b"moof", b"meta")):
            break
        if at + length > size:
            return -1 if b"mdat" in seen and not seen & {b"moov", b"moof", b"meta"} else at + length
        at += length
    return -1 if b"mdat" in seen and not seen & {b"moov", b"moof", b"meta"} else 0


def _ebml_end(file: BinaryIO, size: int) -> int:
    """As above for Matroska (RFC 8794): a live recording has elements of unknown length, which are stepped into."""
    at = 0
    while at + 2 <= size:
        file.seek(at)
        head = file.read(12)
        id_bytes = 9 - head[0].bit_length()
        if id_bytes > 4 or len(head) <= id_bytes:
            return 0
        kind, first = int.from_bytes(head[:id_bytes], "big"), head[id_bytes]
        length_bytes = 9 - first.bit_length()
        if length_bytes > 8:
            return 0
        raw = head[id_bytes : id_bytes + length_bytes]
        length = int.from_bytes(raw, "big") & ((1 << 7 * length_bytes) - 1)
        body = at + id_bytes + length_bytes
        if length == (1 << 7 * length_bytes) - 1:
            if kind not in (_SEGMENT, _CLUSTER):
                return 0
            at = body
            continue
        if body + length > size or kind == _SEGMENT:
            return body + length
        at = body + length
    return 0


def _riff_end(file: BinaryIO, size: int) -> int:
    """As above for AVI and WebP. A recorder that crashed leaves length 0 or all ones: nothing is known then."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or length in (0, 0xFFFFFFFF):
            return 0
        at += 8 + length + length % 2
    return at - 1 if at == size + 1 else at  # the last pad byte is often left out


def _flv_end(file: BinaryIO, size: int) -> int:
    """As above for FLV: a tag has 11 bytes of header, its body and 4 bytes of its own length."""
    at = 13
    while at + 11 <= size:
        file.seek(at)
        kind, *length = file.read(4)
        body = at + 11 + int.from_bytes(bytes(length), "big")
        if kind & 0x1F not in (8, 9, 18):
            return 0
        if body > size:
            return body
        at = body + 4
    return at + 11 if at < size else 0


def _ogg_end(file: BinaryIO, size: int) -> int:
    """As above for Ogg (RFC 3533): the end of the last page, by its segment table."""
    start = max(0, size - (1 << 17))
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return 0
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    return start + at + 27 + tail[at + 26] + sum(segments)


def _ts_packet_bytes(head: bytes) -> tuple[int, int] | None:
    """Length of a transport packet and where its sync byte 0x47 is; None where the bytes are no transport stream."""
    for length, offset in ((188, 0), (192, 4), (204, 0)):
        syncs = head[offset::length][:5]
        if len(syncs) >= 3 and set(syncs) == {0x47}:
            return length, offset
    return None
