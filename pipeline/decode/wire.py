"""How the two ends of the decoder process talk: a JSON header and a run of bytes.

Not pickle: a decoder that a file has taken over must not be able to run anything in the process that reads it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")
"""Bytes of the header, bytes of what follows it."""

MAX_HEADER_BYTES = 8 << 20

Message = tuple[dict[str, Any], bytes | memoryview]


def send(file: BinaryIO, header: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Write one message."""
    packed = json.dumps(header).encode()
    file.write(LENGTHS.pack(len(packed), len(body)) + packed)
    file.write(body)
    file.flush()


def receive(read: Callable[[int], bytes], *, max_body_bytes: int = 0) -> Message | None:
    """Read one message; None at the end. read(n) gives n bytes, or fewer at the end.

    Raises ValueError for lengths that no honest end would send.
    """
    lengths = read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    header_bytes, body_bytes = LENGTHS.unpack(lengths)
    if header_bytes > MAX_HEADER_BYTES or body_bytes > max_body_bytes:
        raise ValueError(f"a message of {header_bytes} + {body_bytes} bytes")
    header, body = read(header_bytes), read(body_bytes)
    if len(header) < header_bytes or len(body) < body_bytes:
        return None
    return json.loads(header), body
