"""What lies beside the pictures: the languages of sound and subtitles, and the text of the latter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle

from pipeline.decode.video import opened, packets, video
from pipeline.model import Subtitle

TEXT_CODECS = frozenset({"subrip", "ass", "mov_text", "webvtt", "text"})
"""Subtitles that are text, by libavcodec's names (`ass` stands for SSA too). Others are pictures, or teletext."""

UNKNOWN = "und"
"""A track's language where the file says nothing (ISO 639-2)."""

MAX_LINES, MAX_CHARACTERS = 100_000, 1_000
"""Lines kept of one file, and characters of one line: more than any film has, and less than an attack would need."""

_LANGUAGE = re.compile(r"[a-z0-9-]{2,35}")  # RFC 5646, 4.4.1: 35 characters hold all tags that are in use
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), " ")
_RAW_BYTES = 16 * MAX_CHARACTERS  # of one line, its styling included


def languages(streams: Sequence[Stream]) -> tuple[str, ...]:
    """One language a track, in the order of the tracks: as the file writes it, in lower case."""
    return tuple(_language(stream) for stream in streams)


def has_text(container: InputContainer) -> bool:
    """Whether `subtitles` can read one of the tracks."""
    return any(_is_text(stream) for stream in container.streams.subtitles)


def subtitles(path: Path) -> Iterator[Subtitle]:
    """Yield the lines of all text tracks of a local video in the order of the file, up to MAX_LINES.

    What can't be decoded is left out, and so is all that follows where the container breaks: a film with bad
    subtitles is still a film. Reads the whole file, or of MP4 only these tracks. Raises MediaError as decode.video.
    """
    start_us = video(path).line.start_us
    with opened(path) as (container, _):
        tracks = {s.index: (n, s) for n, s in enumerate(container.streams.subtitles) if _is_text(s)}
        for stream in container.streams:
            if stream.index not in tracks:
                stream.discard = av.stream.Discard.all
        left = MAX_LINES
        if not tracks:
            return
        for packet in packets(container, *(stream for _, stream in tracks.values())):
            number, stream = tracks[packet.stream.index]
            if not packet.size or packet.pts is None or packet.time_base is None:
                continue
            start_s = (packet.pts * packet.time_base * 1_000_000 - start_us) / 1_000_000
            duration = packet.duration or 0
            end_s = float(start_s + duration * packet.time_base) if duration > 0 else None
            for text in _texts(stream, packet):
                if left == 0:
                    return
                left -= 1
                yield Subtitle(float(start_s), end_s, text, _language(stream), number)


def plain(dialogue: str) -> str:
    r"""The text of an ASS dialogue line without styling and drawings, on one line.

    >>> plain(r"{\i1}Wait{\i0} here,\Nplease")
    'Wait here, please'
    """
    kept, drawing = [], False
    for n, part in enumerate(_BLOCK.split(dialogue)):
        if n % 2:  # what stood between braces
            for depth in _DRAWING.findall(part):
                drawing = depth != "0"
        elif not drawing:
            kept.append(_ESCAPED.sub(lambda escape: _MEANT.get(escape[0], escape[0][1:2]), part))
    text = " ".join("".join(kept).translate(_CONTROLS).split())
    return text[:MAX_CHARACTERS].strip()


# "\{" isn't the beginning of a block; libavcodec writes "\{{}" for it, and a word joiner after a backslash that is one.
_BLOCK = re.compile(r"(?<!\\)\{([^{}]*)\}")
_DRAWING = re.compile(r"\\p(\d)")
_ESCAPED = re.compile("\\\\(?:[Nnh{}]|\u2060)")
_MEANT = {r"\N": " ", r"\n": " ", r"\h": " ", "\\\u2060": "\\"}


def _language(stream: Stream) -> str:
    said = (stream.language or "").strip().lower()
    return said if _LANGUAGE.fullmatch(said) else UNKNOWN


def _is_text(stream: SubtitleStream) -> bool:
    context = stream.codec_context  # None where libavcodec has no decoder
    return context is not None and context.codec.canonical_name in TEXT_CODECS


def _texts(stream: SubtitleStream, packet: av.Packet) -> Iterator[str]:
    try:
        found = stream.codec_context.decode2(packet)
    except MemoryError:
        raise
    except av.error.FFmpegError:
        return
    for line in found or ():
        if isinstance(line, AssSubtitle):
            # libavcodec gives every text as ASS: ReadOrder, Layer, Style, Name, three margins, Effect, Text.
            dialogue = line.ass[:_RAW_BYTES].decode(errors="replace").split(",", 8)[-1]
            if text := plain(dialogue):
                yield text
