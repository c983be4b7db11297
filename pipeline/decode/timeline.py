"""Which frames a video has and when each is shown, from its packets alone: nothing is decoded."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

TIE_S = 1e-6
"""A frame that begins this little after a moment is meant by it: containers give their start in microseconds."""


_OWN_PTS, _KEY, _SHOWN = 1, 2, 4


class Packets:
    """Where the packets of one video stream lie and what they hold, in the order of the file, numbered from 0.

    Columns, since a film has hundreds of thousands: pts and dts in units of the stream's time base (pts falls back
    on dts), pos in the file (-1 where the container doesn't say), size and duration, and marks: has a pts of
    its own, is a keyframe, is a frame that a player shows.
    """

    _COLUMNS = ("pts", "dts", "pos", "size", "duration", "marks")

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._raw = [array("q") for _ in self._COLUMNS]
        self.cut = 0

    def add(self, packet: av.Packet) -> None:
        """Note the next packet of the file."""
        cut = is_cut(packet, self._size_bytes)
        self.cut += cut
        for column, value in zip(self._raw, self.row(packet, cut), strict=True):
            column.append(value)

    def row(self, packet: av.Packet, cut: bool) -> tuple[int, ...]:
        """A packet as it stands in the columns."""
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else pts
        shown = pts is not None and packet.size > 0 and not packet.is_discard and not cut
        marks = (packet.pts is not None) * _OWN_PTS | packet.is_keyframe * _KEY | shown * _SHOWN
        pos = -1 if packet.pos is None else packet.pos
        return pts or 0, dts or 0, pos, packet.size, packet.duration or 0, marks

    def mark_keys(self, positions: set[int]) -> None:
        """Call the packets that lie there keyframes, too."""
        marks = self._raw[5]
        for number in np.flatnonzero(np.isin(self.column("pos"), list(positions))):
            marks[number] |= _KEY

    def __len__(self) -> int:
        return len(self._raw[0])

    def column(self, name: str) -> np.ndarray:
        """int64 (packets,)."""
        return np.frombuffer(self._raw[self._COLUMNS.index(name)], np.int64)

    def marked(self, *, shown: bool = False, key: bool = False, own_pts: bool = False) -> np.ndarray:
        """bool (packets,): which have all of these marks."""
        mask = own_pts * _OWN_PTS | key * _KEY | shown * _SHOWN
        return (self.column("marks") & mask) == mask

    def dts(self, number: int) -> int:
        return self._raw[1][number]

    def find(self, packet: av.Packet, last: int) -> int | None:
        """Number of this packet, where it is `last` or one before it."""
        row = self.row(packet, is_cut(packet, self._size_bytes))
        for number in range(last, -1, -1):
            if all(column[number] == value for column, value in zip(self._raw, row, strict=True)):
                return number
        return None


@dataclass(frozen=True, slots=True)
class Key:
    """A frame at which decoding can begin. number: of its packet, in decoding order from 0."""

    pts: int
    number: int


@dataclass(frozen=True)
class Timeline:
    """The frames of one video in the order in which they are shown.

    pts: presentation times in units of time_base. keys: where decoding can begin. start_us: the container's start,
    the zero of every `timestamp_s`. end_pts: when the last frame goes. cut: packets at the very end that hold fewer
    bytes than they should. packets: all, in decoding order. is_told: every frame's own packet can be named by its
    time.
    """

    pts: list[int]
    keys: list[Key]
    time_base: Fraction
    start_us: int
    end_pts: int
    cut: int = 0
    is_told: bool = False
    shown: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64), repr=False)  # packet of each of pts
    packets: Packets = field(default_factory=lambda: Packets(0), repr=False)

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

    def key_before(self, pts: int) -> Key:
        """The last keyframe that lies and is shown no later than the frame at `pts`; the first where there is none."""
        last = bisect_right(self.keys, self.shown[self.index(pts)], key=lambda key: key.number)
        return next((key for key in reversed(self.keys[:last]) if key.pts <= pts), self.keys[0])

    def numbers(self, wanted: Iterable[int], first: int) -> dict[int, int]:
        """pts → number of its packet, from packet `first` on: where decoding that begins there finds each frame."""
        pts, shown = self.packets.column("pts")[first:], self.packets.marked(shown=True)[first:]
        at = np.flatnonzero(np.isin(pts, list(wanted)) & shown)
        return {int(pts[n]): first + int(n) for n in at[::-1]}


def is_cut(packet: av.Packet, size_bytes: int) -> bool:
    """Whether the file ends inside this packet."""
    return packet.is_corrupt and packet.pos is not None and packet.pos + packet.size >= size_bytes


def timeline_of(packets: Packets, container: InputContainer, stream: VideoStream) -> Timeline:
    """What all packets of a video say. A video without any frame has an empty timeline."""
    start_us, rate, base = container.start_time, stream.average_rate, stream.time_base or Fraction(1, 1000)
    # a keyframe that an edit list keeps from the screen is where decoding of what follows begins all the same
    pts, keys = packets.column("pts"), packets.marked(key=True) & (packets.column("size") > 0)
    shown = np.flatnonzero(packets.marked(shown=True))
    # A broadcast recording begins in the middle of a group of pictures: what comes before the first keyframe
    # was never whole and isn't a frame of this file.
    if keys.any():
        first = int(np.argmax(keys))
        shown = shown[(shown >= first) & (pts[shown] >= pts[first])]
    if not shown.size:
        return Timeline([], [], base, start_us or 0, 0, packets.cut, packets=packets)
    shown = shown[np.lexsort((packets.column("dts")[shown], pts[shown]))]
    times: list[int] = pts[shown].tolist()
    step = times[-1] - times[-2] if len(times) > 1 else 0
    last = int(packets.column("duration")[shown[-1]]) or step or (round(1 / rate / base) if rate else 0)
    if start_us is None:
        start_us = round(times[0] * base * 1_000_000)
    return Timeline(
        pts=times,
        keys=[Key(int(pts[n]), int(n)) for n in np.flatnonzero(keys)],
        time_base=base,
        start_us=start_us,
        end_pts=times[-1] + last,
        cut=packets.cut,
        is_told=_is_told(packets, stream, shown),
        shown=shown,
        packets=packets,
    )


def _is_told(packets: Packets, stream: VideoStream, shown: np.ndarray) -> bool:
    """Where packets have no times of their own, their order is that of the frames if none looks ahead.

    FFmpeg makes times up then (AVI): each packet has a later one than that before it, whatever the codec does.
    """
    pts = packets.column("pts")
    ahead = stream.codec_context.has_b_frames > 0
    if ahead and not (packets.marked(own_pts=True)[shown].all() and (np.diff(pts[np.sort(shown)]) < 0).any()):
        return len(shown) == 1
    return bool((np.diff(pts[shown]) > 0).all())
