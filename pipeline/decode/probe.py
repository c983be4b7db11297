"""What a file is, by its bytes and never by its name. Runs in the child process."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from av.container import InputContainer

from pipeline.decode.colour import hdr
from pipeline.decode.containers import HEAD_BYTES, cut_short, sniff
from pipeline.decode.geometry import Geometry
from pipeline.decode.image import probe_image
from pipeline.decode.pyav import first_frame
from pipeline.decode.timeline import Timeline
from pipeline.decode.tracks import has_text, languages
from pipeline.decode.video import opened, video
from pipeline.errors import MediaError
from pipeline.model import MediaInfo


def probe(path: Path, *, max_megapixels: float) -> MediaInfo:
    """Kind, container, codec, upright size, real duration, start and tracks of one local file.

    duration_s reaches to the end of the last frame whose bytes are there, whatever the header says; a file that
    ends early has fault "truncated". Raises MediaError: empty_file, not_media, no_video, no_frames, truncated,
    corrupt, too_many_pixels; OSError where the file can't be read at all.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise MediaError("empty_file")
    picture = probe_image(path, max_megapixels=max_megapixels)
    if picture is None:
        return _probe_video(path, head, max_megapixels)
    # Nothing that Pillow plays has sound or subtitles.
    return replace(picture, audio_languages=(), subtitle_languages=()) if picture.kind == "video" else picture


def glance(path: Path) -> float:
    """How long a film says that it is, in seconds: of a copy of which maybe only both ends are there.

    Nothing is decoded, and nothing of it is checked. Raises MediaError: not_media, no_video, no_frames where it doesn't
    say, corrupt.
    """
    with opened(path) as (container, _):
        if not container.duration:
            raise MediaError("no_frames", "its header says no duration")
        return float(container.duration / 1_000_000)


def _probe_video(path: Path, head: bytes, max_megapixels: float) -> MediaInfo:
    film = video(path)
    container, stream, line = film.container, film.stream, film.line
    pixels = stream.codec_context.width * stream.codec_context.height
    if pixels > max_megapixels * 1_000_000:
        size = f"{stream.codec_context.width}×{stream.codec_context.height}"
        raise MediaError("too_many_pixels", f"{size} of {max_megapixels:g} megapixels")
    missing = _missing(path, container, line)
    first = first_frame(film)
    container, stream = film.container, film.stream  # it may have been opened anew
    if first is None:
        raise MediaError("truncated", missing) if missing else MediaError("no_frames", f"{len(line.pts)} packets")
    geometry = Geometry.of(first.rotation, stream.sample_aspect_ratio)
    width, height = geometry.size(first.width, first.height)
    return MediaInfo(
        kind="video",
        container=sniff(head) or container.format.name.split(",")[0],
        codec=stream.codec_context.codec.canonical_name,
        width=width,
        height=height,
        duration_s=max(0.0, line.seconds(line.end_pts)),
        frame_rate=float(stream.average_rate) if stream.average_rate else None,
        container_start_s=line.start_us / 1_000_000,
        stream_start_s=float(line.pts[0] * line.time_base),
        start_timecode=_timecode(container),
        fault="truncated" if missing else None,
        fault_detail=missing,
        rotation=geometry.rotation,
        hdr=hdr(first),
        audio_languages=languages(container.streams.audio),
        subtitle_languages=languages(container.streams.subtitles),
        text_subtitles=has_text(container),
    )


def _missing(path: Path, container: InputContainer, line: Timeline) -> str:
    """What shows that the bytes end early, '' where nothing does."""
    missing = cut_short(path)
    if not missing and line.cut:
        missing = "the last packet is incomplete"
    if not missing and container.format.name.startswith("mov"):
        size = path.stat().st_size
        ends = [entry.pos + entry.size for s in container.streams for entry in s.index_entries]
        if max(ends, default=0) > size:
            missing = f"{size:,} bytes of at least {max(ends):,}"
    if missing and line.pts:
        missing += f"; pictures up to {line.seconds(line.end_pts):.3f} s"
    return missing


# SMPTE ST 12-1: hours, minutes, seconds and frames; a semicolon (or a full stop) before the frames means drop-frame.
_TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;.]\d{2,3}")


def _timecode(container: InputContainer) -> str | None:
    """The tape's own start timecode, which containers keep in one stream's or the file's metadata."""
    for metadata in (container.metadata, *(s.metadata for s in container.streams)):
        for name, value in metadata.items():
            if name.lower() == "timecode" and _TIMECODE.fullmatch(value):  # Matroska writes names in capitals
                return value
    return None
