"""PNG and GIF written byte by byte, so that few bytes may say anything."""

from __future__ import annotations

import functools
import struct
import zlib


def png(width: int, height: int, body: bytes, *, before: bytes = b"") -> bytes:
    """A PNG of RGB pixels around a zlib stream; before: chunks between the header and the pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + end


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def zeros(count: int) -> bytes:
    """A zlib stream of count zero bytes whose last block never ends, at most a few hundred bytes long.

    Its blocks are copies of one (RFC 1951: a full flush makes each stand alone), and there are a hundred at most.
    """
    squeeze = zlib.compressobj(9, wbits=-15)
    block = squeeze.compress(bytes(min(count, 1 << 20))) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + block * min(100, count >> 20)


def gif(frames: list[tuple[int, int, int, int]], *, screen: tuple[int, int], delay: int = 2) -> bytes:
    """Frames (left, top, width, height) of one colour, delay in hundredths of a second, repeated for ever."""
    out = [b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])]
    out.append(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")
    control = b"!\xf9\x04\0" + struct.pack("<H", delay) + b"\0\0"
    for frame in frames:
        out += [control, b"," + struct.pack("<HHHHB", *frame, 0), lzw(frame[2] * frame[3])]
    return b"".join(out) + b";"


@functools.cache
def lzw(count: int) -> bytes:
    """A GIF's data for count pixels of colour 0: each code stands for one pixel more than the one before it."""
    clear, end, width = 4, 5, 3
    bits, length = 0, 0

    def put(code: int) -> None:
        nonlocal bits, length
        bits |= code << length
        length += width

    put(clear)
    newest, run = 5, 1  # the newest code, and how many pixels it stands for
    put(0)
    count -= 1
    while count > 0:
        if newest < 4095:
            newest += 1
            if newest == 1 << width and width < 12:
                width += 1
            run += 1
        if run > count:  # the code for just so many, or the single pixel
            put(4 + count if count > 1 else 0)
            break
        put(newest)
        count -= run
    put(end)
    data = bits.to_bytes((length + 7) // 8, "little")
    blocks = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"\x02" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
