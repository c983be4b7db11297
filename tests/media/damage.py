"""Files that are wrong, each with the error code it must end with."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np

from tests.media import made, media, real
from tests.media.videos import FRAMES, RATE, X264, _silence, avi, encode, jpeg


@made("empty.mp4", bad="empty_file")
def empty(path: Path) -> None:
    path.write_bytes(b"")


@made("text.mp4", bad="not_media")
def text(path: Path) -> None:
    path.write_text("This is a letter, and somebody named it .mp4.\n" * 50)


@made("playlist.mp4", bad="not_media")
def playlist(path: Path) -> None:
    """An HLS playlist that names a local file: following it would read what nobody asked for."""
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{media('cfr.mp4')}\n#EXT-X-ENDLIST\n")


@made("concat.mp4", bad="not_media")
def concat(path: Path) -> None:
    """An ffmpeg concat script that names a local file."""
    path.write_text(f"ffconcat version 1.0\nfile '{media('cfr.mp4')}'\n")


@made("noise.jpg", bad="not_media")
def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(7).bytes(5000))


@made("audio.m4a", bad="no_video")
def audio(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48_000)
        for packet in _silence(stream, 0, 2):
            out.mux(packet)


@made("no_frames.avi", bad="no_frames")
def no_frames(path: Path) -> None:
    """A video stream with no packet."""
    path.write_bytes(avi([], header_frames=FRAMES))


@made("only_empty.avi", bad="no_frames")
def only_empty(path: Path) -> None:
    """Packets, but all of them empty."""
    path.write_bytes(avi([b""] * FRAMES, header_frames=FRAMES))


def _cut(name: str, path: Path, share: float) -> None:
    data = media(name).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@made("truncated.mp4", bad="truncated")
def truncated(path: Path) -> None:
    """Index first, pictures cut at 60 %: the rest can be read."""
    _cut("faststart.mp4", path, 0.6)


@made("truncated_no_index.mp4", bad="truncated")
def truncated_no_index(path: Path) -> None:
    """Index at the end, and the end is missing: nothing can be read."""
    _cut("cfr.mp4", path, 0.6)


@made("truncated_fragmented.mp4", bad="truncated")
def truncated_fragmented(path: Path) -> None:
    _cut("fragmented.mp4", path, 0.6)


@made("truncated.mkv", bad="truncated")
def truncated_mkv(path: Path) -> None:
    _cut("cfr.mkv", path, 0.6)


@made("truncated_live.mkv", bad="truncated")
def truncated_live_mkv(path: Path) -> None:
    _cut("live.mkv", path, 0.6)


@made("truncated.ts", bad="truncated")
def truncated_ts(path: Path) -> None:
    data = media("at_36000.ts").read_bytes()
    path.write_bytes(data[: len(data) // 188 // 2 * 188 + 100])


@made("truncated.avi", bad="truncated")
def truncated_avi(path: Path) -> None:
    _cut("mpeg4.avi", path, 0.6)


@made("truncated.flv", bad="truncated")
def truncated_flv(path: Path) -> None:
    _cut("flash.flv", path, 0.6)


@made("truncated.jpg", bad="truncated")
def truncated_jpg(path: Path) -> None:
    data = real("china.jpg").read_bytes()
    path.write_bytes(data[: len(data) // 2])


@made("corrupt.mp4", bad="corrupt")
def corrupt(path: Path) -> None:
    """The bytes of half of the packets, from the middle of the film on, are noise."""
    _overwrite("cfr.mp4", path, range(FRAMES * 3 // 8, FRAMES * 7 // 8))


@made("corrupt.mkv", bad="corrupt")
def corrupt_mkv(path: Path) -> None:
    _overwrite("cfr.mkv", path, range(FRAMES * 3 // 8, FRAMES * 7 // 8))


@made("corrupt.jpg", bad="corrupt")
def corrupt_jpg(path: Path) -> None:
    """Header of a JPEG, then no picture."""
    data = real("china.jpg").read_bytes()
    path.write_bytes(data[:400] + b"\xff\xd9" * 2000)


def _overwrite(name: str, path: Path, packets: range) -> None:
    data = bytearray(media(name).read_bytes())
    with av.open(str(media(name))) as container:
        found = [(bytes(p), p.size) for p in container.demux(video=0) if p.size]
    noise = np.random.default_rng(3)
    for body, size in (found[i] for i in packets):
        at = data.index(body)
        data[at : at + size] = noise.bytes(size)
    path.write_bytes(data)


@made("bomb.png", bad="too_many_pixels")
def bomb(path: Path) -> None:
    """60,000×60,000 pixels in a few megabytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    squeeze = zlib.compressobj(9)
    row = b"\0" * (1 + 60_000 // 8)
    body = b"".join(squeeze.compress(row) for _ in range(60_000)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


@made("overcount_jpeg.avi", bad="truncated")
def overcount_cut(path: Path) -> None:
    """An AVI whose header over-counts and whose bytes end early: the cut is what counts."""
    data = avi([jpeg(i) for i in range(FRAMES)], header_frames=FRAMES * 10)
    path.write_bytes(data[: len(data) // 2])


OVERCOUNTED = {"overcount_not_coded.avi": 450, "overcount_not_coded.mp4": 450, "overcount_edited.mp4": 300}
"""Films of 450 packets of which only the first 300 make a picture, and how many frames a player shows.

decord's endless loop (dmlc/decord 269, 373, 375) waits for pictures that never come, once there are more of them in
the last group of pictures than the 128 it makes up at the end of a file. The packets of the first two are MPEG-4's
"not coded" pictures (ISO/IEC 14496-2, vop_coded 0: the last one stays); those of the third lie beyond the edit list.
"""


def overcounted(folder: Path, name: str) -> Path:
    """Write one of OVERCOUNTED; its path."""
    path = folder / name
    one_group = {"g": "1000", "sc_threshold": "1000000000"}
    if name == "overcount_edited.mp4":
        encode(path, ticks=range(450), options={**X264, "g": "1000"})
        data = path.read_bytes()
        at = data.index(b"elst") + 12
        (duration,) = struct.unpack_from(">I", data, at)
        path.write_bytes(data[:at] + struct.pack(">I", duration * 300 // 450) + data[at + 4 :])
        return path
    encode(path, codec="mpeg4", ticks=range(450), options=one_group)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        bodies = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for number, body in enumerate(bodies[300:], 300):
        at = data.index(body)
        data[at : at + len(body)] = _not_coded(number).ljust(len(body), b"\0")
    path.write_bytes(data)
    return path


def _not_coded(number: int) -> bytes:
    """A P-VOP that says its picture isn't coded: type, seconds passed, a marker, the time in five bits, marker, 0."""
    bits = f"01{'1' * (number % RATE == 0)}01{number % RATE:05b}10"
    return b"\0\0\1\xb6" + int(bits.ljust(16, "1"), 2).to_bytes(2, "big")
