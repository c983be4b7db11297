"""Decoding by PyAV: from the keyframe before a target, front to back, up to the last target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.decode.geometry import Geometry
from pipeline.decode.timeline import Timeline, is_cut, opened, packets, timeline
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo

_JUMP_S = 5.0
"""Groups of pictures that nobody asked for are jumped over where this much of the film or more would be decoded
for nothing. Less is decoded all the same: a seek costs too, and damage there is noticed."""


class PyavDecoder:
    """The decoder (see base.py) that `auto` asks first: its frames carry their own times."""

    name = "pyav"
    version = av.__version__

    def frames(self, path: Path, info: MediaInfo, targets_s: Sequence[float]) -> Iterator[Frame]:
        """As base.Decoder.frames.

        A target whose frame is damaged, or lies among packets that failed to decode, gets none; after all
        targets that follows as MediaError corrupt, also where the damage lies between them.
        """
        line = timeline(path)
        if not line.pts:
            raise MediaError(info.fault or "no_frames", info.fault_detail)
        with opened(path) as (container, stream):
            walk = _Walk(container, stream, line, path.stat().st_size)
            last_index = -1
            for target_s in targets_s:
                frame = walk.on_screen(target_s)
                if frame is None or frame.pts is None or line.index(frame.pts) == last_index:
                    continue
                last_index = line.index(frame.pts)
                geometry = Geometry.of(frame.rotation, stream.sample_aspect_ratio)
                image = geometry.upright(frame.to_ndarray(format="rgb24"))
                yield Frame("", image, line.seconds(frame.pts), target_s, last_index)
            walk.finish()
            if walk.damage and not info.fault:  # of a file that ends early nothing else is expected
                raise MediaError("corrupt", walk.damage.sentence(line))


class Damage:
    """What failed to decode: presentation times of packets and frames that are lost."""

    def __init__(self) -> None:
        self.lost_pts: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self.lost_pts)

    def between(self, after_pts: int | None, last_pts: int) -> bool:
        """Whether something after `after_pts` and up to `last_pts` is lost."""
        return any((after_pts is None or pts > after_pts) and pts <= last_pts for pts in self.lost_pts)

    def sentence(self, line: Timeline) -> str:
        """How much is lost, and where."""
        first, last = line.seconds(min(self.lost_pts)), line.seconds(max(self.lost_pts))
        return f"{len(self.lost_pts)} frames between {first:.3f} and {last:.3f} s"


def decoded(
    container: InputContainer, stream: VideoStream, size_bytes: int, damage: Damage | None = None
) -> Iterator[VideoFrame]:
    """Frames in presentation order from where the container stands to its end.

    Empty packets and one that the end of the file cuts are left out. What can't be decoded is noted in
    `damage`; a frame that the decoder itself calls corrupt is given and noted.
    """
    for packet in packets(container, stream):
        if is_cut(packet, size_bytes) or (packet.size == 0 and packet.dts is not None):
            continue
        pts = packet.pts if packet.pts is not None else packet.dts
        try:
            frames = packet.decode()
        except MemoryError:
            raise
        except av.error.FFmpegError:
            if damage is not None and pts is not None:
                damage.lost_pts.add(pts)
            continue
        for frame in frames:
            if frame.is_corrupt and damage is not None and frame.pts is not None:
                damage.lost_pts.add(frame.pts)
            yield frame


class _Walk:
    """Goes through one video once, front to back, jumping over groups of pictures that nobody asked for."""

    def __init__(self, container: InputContainer, stream: VideoStream, line: Timeline, size_bytes: int) -> None:
        self.container, self.stream, self.line, self.size_bytes = container, stream, line, size_bytes
        self.damage = Damage()
        self.seekable = True
        self._jump_pts = _JUMP_S / line.time_base
        self._run: Iterator[VideoFrame] | None = None
        self._run_damage = Damage()
        self._from_pts = line.pts[0]  # frames before it come from a group whose beginning wasn't read
        self._held: VideoFrame | None = None  # the last frame that came
        self._next: VideoFrame | None = None  # one that came too early for the last target

    def on_screen(self, target_s: float) -> VideoFrame | None:
        """The frame shown at target_s (targets ascend), None where it is damaged."""
        wanted_pts = self.line.pts[self.line.on_screen(target_s)]
        self._approach(wanted_pts)
        while self._held is None or (self._held.pts or 0) < wanted_pts:
            following = self._next or self._take()
            self._next = None
            if following is None:
                break
            if self._held is not None and (following.pts or 0) > wanted_pts:
                self._next = following
                break
            self._held = following
        self._keep_damage()
        held_pts = None if self._held is None else self._held.pts
        lost = held_pts is None or held_pts in self.damage.lost_pts or self.damage.between(held_pts, wanted_pts)
        return None if lost else self._held

    def finish(self) -> None:
        """Decode what is left after the last target where that is little: it may be damaged."""
        reached_pts = self._held.pts if self._held is not None else None
        if self._run is not None and self.line.end_pts - (reached_pts or self.line.pts[0]) <= self._jump_pts:
            for _ in self._run:
                pass
        self._keep_damage()

    def _approach(self, wanted_pts: int) -> None:
        """Begin at the keyframe before wanted_pts unless the walk is already past it."""
        key = self.line.key_before(self.line.index(wanted_pts))
        reached_pts = self._held.pts if self._held is not None else None
        if self._run is None:
            self._run = decoded(self.container, self.stream, self.size_bytes, self._run_damage)
        if key is None or not self.seekable or key[0] - (reached_pts or self.line.pts[0]) <= self._jump_pts:
            return
        self._keep_damage()
        self._held = self._next = None
        self.container.seek(key[0], stream=self.stream, backward=True)
        self._from_pts = key[0]
        self._run = decoded(self.container, self.stream, self.size_bytes, self._run_damage)

    def _take(self) -> VideoFrame | None:
        """The next frame that is whole because decoding began early enough for it."""
        assert self._run is not None
        for frame in self._run:
            if frame.pts is None or frame.pts < self._from_pts:
                continue
            if self.seekable and self._from_pts > self.line.pts[0] and not self.line.holds(frame.pts):
                return self._start_over()
            if self._held is None and self.seekable and frame.pts > self._from_pts > self.line.pts[0]:
                return self._start_over()
            return frame
        return None

    def _start_over(self) -> VideoFrame | None:
        """A jump didn't land where it should (no index, times that shift): go through the file without jumping."""
        self.seekable = False
        self._run_damage.lost_pts.clear()
        self._held = self._next = None
        self._from_pts = self.line.pts[0]
        self.container.seek(self.line.keys[0][0], stream=self.stream, backward=True)
        self._run = decoded(self.container, self.stream, self.size_bytes, self._run_damage)
        return self._take()

    def _keep_damage(self) -> None:
        """Failures count only where decoding had begun early enough."""
        self.damage.lost_pts.update(pts for pts in self._run_damage.lost_pts if pts >= self._from_pts)
        self._run_damage.lost_pts.clear()
