"""One local video, opened once: its container, its stream, its timeline, and its packets by number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from pipeline.decode.containers import HEAD_BYTES, cut_short, sniff
from pipeline.decode.timeline import Packets, Timeline, is_cut, timeline_of
from pipeline.errors import MediaError

# What may read a file. Playlists (hls, dash, concat), devices, image sequences and network are not here: a text
# file named .mp4 can't make the decoder open other files. Sound containers are, to tell "no picture" from "no media".
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,avi,flv,asf,ogg,mxf,dv,rm,ivf,nut,wtv"
    ",yuv4mpegpipe,mp3,wav,flac,aac,aiff,ac3,amr,caf,w64"
)
# A decoder is set up for each of the streams: a thousand take 1.2 GB.
_OPTIONS = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "file", "max_streams": "256"}

JUMP_BYTES = 16 << 20
"""Packets that nobody asked for are read and dropped where they hold less than this: a seek costs too. A file with
less is read once, and its packets are kept."""


class Video:
    """A video file in use. Packets are numbered in the order in which they lie in the file, from 0."""

    def __init__(self, path: Path) -> None:
        self.path, self.size_bytes = path, path.stat().st_size
        self._in_memory: list[av.Packet] | None = [] if self.size_bytes < JUMP_BYTES else None
        self._open()
        self.line = self._read_timeline()
        self.begun: object = None
        """Decoding that has begun and may go on, for whoever began it; gone when packets are asked for anew."""

    def _open(self) -> None:
        self.container, self.stream = _opened(self.path)
        self._demuxed = packets(self.container, self.stream)
        self._at, self._seekable = 0, True

    def close(self) -> None:
        self._demuxed = iter(())  # it must not outlive what it reads
        self.container.close()

    @property
    def is_short(self) -> bool:
        """Whether its packets are all in memory."""
        return self._in_memory is not None

    def _read_timeline(self) -> Timeline:
        packets = Packets(self.size_bytes)
        for packet in self._demuxed:
            packets.add(packet)
            if self._in_memory is not None:
                self._in_memory.append(packet)
        self._at = len(packets)
        packets.mark_keys(self._indexed_keys())
        return timeline_of(packets, self.container, self.stream)

    def _indexed_keys(self) -> set[int]:
        """Where keyframes lie by the index of an ISO file: of a film in pieces nothing else tells.

        A file that calls all its frames so is believed only where its codec knows no others.
        """
        if not self.container.format.name.startswith("mov"):
            return set()
        entries = list(self.stream.index_entries)
        keys = {entry.pos for entry in entries if entry.is_keyframe}
        return keys if len(keys) < len(entries) or self.stream.codec_context.codec.intra_only else set()

    def packets(self, first: int = 0) -> Iterator[tuple[int, av.Packet]]:
        """Packets with their numbers, from `first` on, for a decoder that knows of nothing before it.

        Packets that can't be decoded for want of bytes are left out. To go back may take opening the file anew:
        `container` and `stream` are to be asked for after this call, not before.
        """
        self.begun = None
        if self._in_memory is None:
            self._go_to(first)
        self.stream.codec_context.flush_buffers()
        numbered = self._numbered(first) if self._in_memory is None else islice(enumerate(self._in_memory), first, None)
        return ((n, packet) for n, packet in numbered if packet.size and not is_cut(packet, self.size_bytes))

    def _numbered(self, first: int) -> Iterator[tuple[int, av.Packet]]:
        for packet in self._demuxed:
            number, self._at = self._at, self._at + 1
            if number >= first:
                yield number, packet

    def _go_to(self, number: int) -> None:
        """Stand at this packet or before it."""
        if number < self._at:
            self._rewind()
        if not self._seekable or self.line.packets.column("size")[self._at : number].sum() < JUMP_BYTES:
            return
        if not self._seek(number):
            self._seekable = False
            self._rewind()

    def _rewind(self) -> None:
        if self._seekable and self._seek(0):
            return
        self.close()
        self._open()
        self._seekable = False  # a file that didn't go back to its beginning isn't asked to jump either

    def _seek(self, number: int) -> bool:
        """Jump to this packet or one before it; False where nobody knows where the jump has led to."""
        if number >= len(self.line.packets):
            return False
        try:
            self.container.seek(self.line.packets.dts(number), stream=self.stream, backward=True)
        except av.error.FFmpegError:
            return False
        self._demuxed = packets(self.container, self.stream)
        first = next(self._demuxed, None)
        found = None if first is None else self.line.packets.find(first, number)
        if first is None or found is None:
            return False
        self._demuxed, self._at = chain([first], self._demuxed), found
        return True


_kept: tuple[tuple[Path, int, int], Video] | None = None  # (path, time and size of the file), and it opened


def video(path: Path) -> Video:
    """The file opened, and kept so until another one is asked for.

    Raises MediaError not_media, truncated, corrupt, no_video.
    """
    global _kept
    stat = path.stat()
    name = (path.absolute(), stat.st_mtime_ns, stat.st_size)
    if _kept is None or _kept[0] != name:
        close()
        _kept = name, Video(path)
    return _kept[1]


def close() -> None:
    """Let go of the file that is kept open."""
    global _kept
    if _kept is not None:
        _kept[1].close()
        _kept = None


def _opened(path: Path) -> tuple[InputContainer, VideoStream]:
    """A local file and its video stream, ready to decode on one thread. Cover pictures are no video."""
    try:
        # "file:" and an absolute path keep a name such as "http:x" from being taken for an address.
        container = av.open(f"file:{path.absolute()}", options=_OPTIONS, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise _unopened(path, error) from error
    try:
        stream = _film_of(container)
    except MediaError:
        container.close()
        raise
    stream.codec_context.thread_count = 1  # workers are many already; and errors stay with their packet
    return container, stream


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file opened anew, for whoever goes through all of it. Raises as `video`."""
    container, stream = _opened(path)
    with container:
        yield container, stream


def _unopened(path: Path, error: Exception) -> MediaError:
    with path.open("rb") as file:
        kind = sniff(file.read(HEAD_BYTES))
    said = getattr(error, "strerror", None) or str(error)
    if kind is None or isinstance(error, av.error.ArgumentError):
        return MediaError("not_media", said)
    missing = cut_short(path)
    return MediaError("truncated", missing) if missing else MediaError("corrupt", f"{kind}: {said}")


def _film_of(container: InputContainer) -> VideoStream:
    films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not films:
        raise MediaError("no_video", container.format.name)
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in films else films[0]


def packets(container: InputContainer, *streams: Stream) -> Iterator[av.Packet]:
    """All packets of these streams up to the end, or up to where the container's structure breaks."""
    demuxed = container.demux(*streams)
    while True:
        try:
            packet = next(demuxed, None)
        except av.error.FFmpegError:
            return
        if packet is None:
            return
        if packet.size or packet.dts is not None:  # the one at the end, which empties a decoder, isn't in the file
            yield packet
