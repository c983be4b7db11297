"""Which frames a video has and when each is shown, from its packets alone: nothing is decoded."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from pipeline.decode.containers import HEAD_BYTES, cut_short, sniff
from pipeline.errors import MediaError

# What may read a file. Playlists (hls, dash, concat), devices, image sequences and network are not here: a text
# file named .mp4 can't make the decoder open other files. Sound containers are, to tell "no picture" from "no media".
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,mxf,dv,rm,ivf,nut,wtv"
    ",yuv4mpegpipe,mp3,wav,flac,aac,aiff,ac3,amr,caf,w64"
)
_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"}


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A local file and its video stream, ready to decode on one thread.

    Cover pictures are no video. Raises MediaError not_media, truncated, corrupt or no_video.
    """
    try:
        # "file:" and an absolute path keep a name such as "http:x" from being taken for an address.
        container = av.open(f"file:{path.absolute()}", options=_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise _unopened(path, error) from error
    with container:
        stream = _video(container)
        stream.codec_context.thread_count = 1  # workers are many already; and errors stay with their packet
        yield container, stream


def _unopened(path: Path, error: Exception) -> MediaError:
    with path.open("rb") as file:
        kind = sniff(file.read(HEAD_BYTES))
    said = getattr(error, "strerror", None) or str(error)
    if kind is None or isinstance(error, av.error.ArgumentError):
        return MediaError("not_media", said)
    missing = cut_short(path)
    return MediaError("truncated", missing) if missing else MediaError("corrupt", f"{kind}: {said}")


def _video(container: InputContainer) -> VideoStream:
    films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not films:
        raise MediaError("no_video", container.format.name)
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in films else films[0]


TIE_S = 1e-6
"""A frame that begins this little after a moment is meant by it: containers give their start in microseconds."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames of one video in the order in which they are shown.

    pts: presentation times in units of time_base. keys: (pts, dts) of the frames at which decoding can begin.
    start_us: the container's start, the zero of every `timestamp_s`. end_pts: when the last frame goes.
    cut: packets at the very end that hold fewer bytes than they should.
    """

    pts: list[int]
    keys: list[tuple[int, int]]
    time_base: Fraction
    start_us: int
    end_pts: int
    cut: int = 0

    def seconds(self, pts: int) -> float:
        """pts on the clock a player shows, correctly rounded."""
        ticks = pts * self.time_base.numerator * 1_000_000 - self.start_us * self.time_base.denominator
        return ticks / (self.time_base.denominator * 1_000_000)

    def on_screen(self, target_s: float) -> int:
        """Index of the frame shown at target_s; 0 before the first."""
        return max(0, bisect_right(self.pts, target_s + TIE_S, key=self.seconds) - 1)

    def index(self, pts: int) -> int:
        """Index of the frame with this pts, or of the one before it."""
        return max(0, bisect_right(self.pts, pts) - 1)

    def holds(self, pts: int) -> bool:
        """Whether a frame with exactly this pts is known."""
        at = bisect_left(self.pts, pts)
        return at < len(self.pts) and self.pts[at] == pts

    def key_before(self, index: int) -> tuple[int, int] | None:
        """(pts, dts) of the last keyframe shown no later than frame `index`."""
        at = bisect_right(self.keys, self.pts[index], key=lambda key: key[0]) - 1
        return self.keys[at] if at >= 0 else None


def is_cut(packet: av.Packet, size_bytes: int) -> bool:
    """Whether the file ends inside this packet."""
    return packet.is_corrupt and packet.pos is not None and packet.pos + packet.size >= size_bytes


def timeline(path: Path) -> Timeline:
    """Read all packets of a video once; the last file's answer is kept. Raises MediaError as `opened` does.

    A video without any frame has an empty timeline.
    """
    stat = path.stat()
    return _read(path.absolute(), stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=1)
def _read(path: Path, _mtime_ns: int, size_bytes: int) -> Timeline:
    shown: list[tuple[int, int, int, bool]] = []  # pts, dts, duration, keyframe; in decoding order
    cut = 0
    with opened(path) as (container, stream):
        for packet in packets(container, stream):
            if is_cut(packet, size_bytes):
                cut += 1
            elif packet.size and not packet.is_discard:
                pts = packet.pts if packet.pts is not None else packet.dts
                if pts is not None:
                    dts = packet.dts if packet.dts is not None else pts
                    shown.append((pts, dts, packet.duration or 0, packet.is_keyframe))
        start_us, rate, base = container.start_time, stream.average_rate, stream.time_base or Fraction(1, 1000)
    # A broadcast recording begins in the middle of a group of pictures: what comes before the first keyframe
    # was never whole and isn't a frame of this file.
    first = next((n for n, packet in enumerate(shown) if packet[3]), None)
    if first is not None:
        shown = [p for p in shown[first:] if p[0] >= shown[first][0]]
    shown.sort()
    if not shown:
        return Timeline([], [], base, start_us or 0, 0, cut)
    times = [p[0] for p in shown]
    last = shown[-1][2] or (times[-1] - times[-2] if len(times) > 1 else 0) or (round(1 / rate / base) if rate else 0)
    keys = [(p[0], p[1]) for p in shown if p[3]]
    if start_us is None:
        start_us = round(times[0] * base * 1_000_000)
    return Timeline(times, keys, base, start_us, times[-1] + last, cut)


def packets(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """All packets up to the end, or up to where the container's structure breaks."""
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        yield packet
