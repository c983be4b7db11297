"""Decoding by PyAV: of each group of pictures only what the frames asked for are made of."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain, groupby
from pathlib import Path

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.decode import colour
from pipeline.decode.geometry import Geometry
from pipeline.decode.timeline import Key, Timeline, is_cut
from pipeline.decode.video import Video, packets, video
from pipeline.errors import MediaError
from pipeline.model import Frame, MediaInfo

SKIP = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4"})
"""Codecs whose pictures say reliably whether others are made from them; those that aren't asked for are skipped."""

_REORDERED = 8
"""Packets after a keyframe that are decoded to see it: it waits for those that may be shown before it."""

_REST_S = 5.0
"""Damage after the last target is looked for where no more than this of the film is left."""


class PyavDecoder:
    """The decoder (see base.py) that `auto` asks first: its frames carry their own times."""

    name = "pyav"
    version = av.__version__

    def frames(self, path: Path, info: MediaInfo, targets_s: Sequence[float]) -> Iterator[Frame]:
        """As base.Decoder.frames.

        A target whose frame is damaged, or lies among packets that failed to decode, gets none; after all
        targets that follows as MediaError corrupt. Damage among frames that nobody asked for may go unseen.
        """
        left = yield from self.swift(path, info, targets_s)
        if left:
            yield from _plain(video(path), info, left)

    def swift(self, path: Path, info: MediaInfo, targets_s: Sequence[float]) -> Generator[Frame, None, list[float]]:
        """As `frames`, touching no packet that the frames aren't made of, up to the first trouble.

        Returns the targets whose frames haven't come.
        """
        film = video(path)
        line = film.line
        if not line.pts:
            raise MediaError(info.fault or "no_frames", info.fault_detail)
        wanted: dict[int, float] = {}  # pts of the frame on screen → the first moment that asks for it
        for target_s in targets_s:
            wanted.setdefault(line.pts[line.on_screen(target_s)], target_s)
        if line.is_told:
            for frame in _swift(film, list(wanted)):
                yield _finished(film, frame, wanted.pop(frame.pts or 0))
        return list(wanted.values())


def _finished(film: Video, frame: VideoFrame, target_s: float) -> Frame:
    geometry = Geometry.of(frame.rotation, film.stream.sample_aspect_ratio)
    pts = frame.pts or 0
    image = geometry.upright(colour.rgb(frame))
    return Frame("", image, film.line.seconds(pts), target_s, film.line.index(pts))


def _swift(film: Video, wanted: list[int]) -> Iterator[VideoFrame]:
    """Yield the frames with these pts (ascending), up to the first trouble.

    Each group of pictures is decoded from its keyframe to the last frame asked for. Where the decoder reports
    anything wrong, or a frame doesn't come, nothing more is yielded: front to back may give more.
    """
    for key, group in groupby(wanted, film.line.key_before):
        missing = list(group)
        for frame in _group(film, key, missing):
            if frame is None or frame.pts != next(iter(missing), None):
                return
            yield frame
            del missing[0]
        if missing:
            return


def first_frame(film: Video) -> VideoFrame | None:
    """The first frame of the first group of pictures; where that gives none, the first that anything gives, and None.

    Of a short film the decoder is left standing there, so that the frames asked for next may come from where it stands.
    """
    line = film.line
    if not line.pts:
        return None
    if line.keys:
        run = _Run(film, line.keys[0])
        first = next(run.frames({run.key.number}, run.key.number + (_REORDERED if film.is_short else 0)), None)
        if first:
            film.begun = run
            return first
    packets = (packet for _, packet in film.packets())
    return next(decoded_from(film.stream, packets, Damage()), None)


def _group(film: Video, key: Key, wanted: list[int]) -> Iterator[VideoFrame | None]:
    """Frames of one group of pictures in the order in which they are shown; None where the decoder sees damage."""
    numbers = film.line.numbers(wanted, key.number)
    if len(numbers) < len(wanted):
        return
    begun = film.begun
    run = begun if isinstance(begun, _Run) and begun.stands_before(key, min(numbers.values())) else _Run(film, key)
    film.begun = None
    for frame in run.frames({key.number, *numbers.values()}, max(numbers.values())):
        if frame is None or frame.pts in numbers:
            yield frame


class _Run:
    """One group of pictures on its way through the decoder, from its keyframe on."""

    def __init__(self, film: Video, key: Key) -> None:
        self.key, self._packets = key, film.packets(key.number)
        self._decoder = film.stream.codec_context
        self._skips = self._decoder.name in SKIP or _is_flat_hevc(self._decoder)
        self._next: int | None = key.number  # packet; None: the decoder has been told that no more will come
        self._begun = key == film.line.keys[0]

    def stands_before(self, key: Key, number: int) -> bool:
        """Whether it is a run of this group that hasn't reached packet `number` yet."""
        return self.key == key and self._next is not None and self._next <= number

    def frames(self, asked: set[int], last: int) -> Iterator[VideoFrame | None]:
        """Frames in the order in which they are shown, up to packet `last`; None, and nothing more, at damage.

        asked: packets whose frames must be among them; others may be.
        """
        try:
            for number, packet in self._through(last):
                self._decoder.skip_frame = "NONREF" if self._skips and number not in asked else "DEFAULT"
                frames = self._decoder.decode(packet)
                if frames and not self._begun and not _begins(frames[0], self.key):
                    yield None
                    return
                self._begun = self._begun or bool(frames)
                for frame in frames:
                    yield None if frame.is_corrupt else frame
        except MemoryError:
            raise
        except av.error.FFmpegError:
            yield None
        finally:
            self._decoder.skip_frame = "DEFAULT"

    def _through(self, last: int) -> Iterator[tuple[int, av.Packet | None]]:
        """Packets with their numbers up to `last`, then None: hand over what waits for its turn."""
        for number, packet in self._packets:
            self._next = number + 1
            yield number, packet
            if number >= last:
                break
        self._next = None
        yield last, None


def _begins(frame: VideoFrame, key: Key) -> bool:
    """Whether decoding began where the container says it can.

    With intra refresh a "keyframe" is where the picture begins to heal, and some AVI call every frame one: what
    comes after such a jump may be wrong, and no decoder says so.
    """
    return frame.pts == key.pts and frame.key_frame


def _is_flat_hevc(decoder: VideoCodecContext) -> bool:
    """Whether HEVC has one temporal layer: with more, what no picture of its own layer needs others may.

    By hvcC, ISO/IEC 14496-15, 8.3.2.1: numTemporalLayers.
    """
    extra = decoder.extradata or b""
    return decoder.name == "hevc" and len(extra) > 22 and extra[0] == 1 and extra[21] >> 3 & 7 == 1


def _plain(film: Video, info: MediaInfo, targets_s: list[float]) -> Iterator[Frame]:
    """Front to back through the whole file, with every frame decoded: slow, and right where anything is."""
    walk = _Walk(film)
    for target_s in targets_s:
        frame = walk.on_screen(target_s)
        if frame is not None:
            yield _finished(film, frame, target_s)
    walk.finish()
    if walk.damage and not info.fault:  # of a file that ends early nothing else is expected
        raise MediaError("corrupt", walk.damage.sentence(film.line))


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
    """Frames in presentation order from where the container stands to its end; as `decoded_from`."""
    whole = (packet for packet in packets(container, stream) if packet.size and not is_cut(packet, size_bytes))
    return decoded_from(stream, whole, damage or Damage())


def decoded_from(stream: VideoStream, whole: Iterator[av.Packet], damage: Damage) -> Iterator[VideoFrame]:
    """Frames of these packets in presentation order.

    What can't be decoded is noted in `damage`; a frame that the decoder itself calls corrupt is given and noted.
    """
    for packet in chain(whole, [None]):
        try:
            frames = stream.codec_context.decode(packet)
        except MemoryError:
            raise
        except av.error.FFmpegError:
            pts = None if packet is None else packet.dts if packet.pts is None else packet.pts
            if pts is not None:
                damage.lost_pts.add(pts)
            continue
        for frame in frames:
            if frame.is_corrupt and frame.pts is not None:
                damage.lost_pts.add(frame.pts)
            yield frame


def _in_turn(film: Video, damage: Damage) -> Iterator[VideoFrame]:
    """All frames front to back. Where packets don't tell whose time is whose, the first to come has the earliest."""
    line, waiting = film.line, list[int]()
    shown, pts = line.packets.marked(shown=True), line.packets.column("pts")
    numbered = film.packets()

    def timed() -> Iterator[av.Packet]:
        for number, packet in numbered:
            if shown[number] and pts[number] >= line.pts[0]:
                heappush(waiting, int(pts[number]))
            yield packet

    for frame in decoded_from(film.stream, timed(), damage):
        while waiting and waiting[0] in damage.lost_pts:
            heappop(waiting)
        if not line.is_told and waiting and (frame.pts is None or frame.pts >= line.pts[0]):
            frame.pts = heappop(waiting)
        yield frame


class _Walk:
    """Goes through one video once, front to back."""

    def __init__(self, film: Video) -> None:
        self.line, self.damage = film.line, Damage()
        self._run = _in_turn(film, self.damage)
        self._held: VideoFrame | None = None  # the last frame that came
        self._next: VideoFrame | None = None  # one that came too early for the last target

    def on_screen(self, target_s: float) -> VideoFrame | None:
        """The frame shown at target_s (targets ascend), None where it is damaged or was given before."""
        wanted_pts, given = self.line.pts[self.line.on_screen(target_s)], self._held
        # where two frames have one time, the second is the one on screen
        while self._held is None or (self._held.pts or 0) < wanted_pts or not self.line.is_told:
            following = self._next or self._take()
            self._next = None
            if following is None:
                break
            if self._held is not None and (following.pts or 0) > wanted_pts:
                self._next = following
                break
            self._held = following
        held_pts = None if self._held is None else self._held.pts
        if held_pts is not None and held_pts > wanted_pts:  # for this moment none came
            self.damage.lost_pts.add(wanted_pts)
        lost = held_pts is None or wanted_pts in self.damage.lost_pts or held_pts in self.damage.lost_pts
        lost = lost or self.damage.between(held_pts, wanted_pts)
        return None if lost or self._held is given else self._held

    def finish(self) -> None:
        """Decode what is left after the last target where that is little: it may be damaged."""
        reached_pts = self._held.pts if self._held is not None else None
        if self.line.seconds(self.line.end_pts) - self.line.seconds(reached_pts or self.line.pts[0]) <= _REST_S:
            for _ in self._run:
                pass

    def _take(self) -> VideoFrame | None:
        """The next frame of a group of pictures whose beginning is there; one that comes after its time is none."""
        least_pts = self.line.pts[0] if self._held is None else self._held.pts or 0
        return next((f for f in self._run if f.pts is not None and f.pts >= least_pts), None)
