"""How videos are made, and healthy ones that each show one thing containers do: 160×96, two seconds.

What codecs do is in codecs.py, what times do in timing.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np

from tests.media import made

WIDTH, HEIGHT, FRAMES, RATE = 160, 96, 48, 24
X264 = {"g": "12", "bf": "2", "b_strategy": "0", "preset": "veryfast", "crf": "20"}


def picture(i: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """RGB picture number i: a drifting texture, and i written as eight black or white blocks at the top."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack(
        [(x * 2 + i * 5) % 256, (y * 3 + i * 3) % 256, 127 + 90 * np.sin((x + y + 4 * i) / 11)], axis=2
    ).astype(np.uint8)
    side = width // 8
    for bit in range(8):
        rgb[:16, bit * side : (bit + 1) * side] = 255 * (i >> bit & 1)
    return rgb


def encode(
    path: Path,
    *,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    first_s: float = 0,
    audio_s: tuple[int, int] | None = None,
    rotation: int = 0,
    sar: Fraction | None = None,
    pix_fmt: str = "yuv420p",
    mux: dict[str, str] | None = None,
    format: str | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    interlaced: bool = False,
) -> None:
    """Write `picture(0), picture(1), …` as a video.

    ticks: presentation times in time_base (default: a constant rate). first_s: seconds added to them.
    audio_s: start and end of a silent sound track. mux: options of the muxer. interlaced: frames are two fields,
    the upper one first.
    """
    ticks = range(FRAMES) if ticks is None else ticks
    with av.open(str(path), "w", format=format, options=mux or {}) as out:
        video = out.add_stream(codec, rate=RATE, options=X264 if options is None else options)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.time_base = time_base
        video.codec_context.thread_count = 1
        if sar:
            video.codec_context.sample_aspect_ratio = sar
        if rotation:
            video.set_display_rotation(rotation)
        fields = _fields(*size) if interlaced else None
        sound = out.add_stream("aac", rate=48_000) if audio_s else None
        packets = [] if sound is None else list(_silence(sound, *audio_s))  # type: ignore[misc]
        for i, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24").reformat(format=pix_fmt)
            if fields:
                fields.push(frame)
                frame = fields.pull()
            frame.pts, frame.time_base = int(tick + first_s / time_base), time_base
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)


def _fields(width: int, height: int) -> av.filter.Graph:
    """A filter that marks frames as interlaced: PyAV's own attribute is read-only."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="yuv420p", time_base=Fraction(1, RATE))
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
    return graph


def _silence(stream: av.AudioStream, start_s: int, end_s: int) -> list[av.Packet]:
    packets = []
    for n in range(start_s * 48_000, end_s * 48_000, 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, n, Fraction(1, 48_000)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


@made("cfr.mp4")
def cfr_mp4(path: Path) -> None:
    """Constant rate, B-frames, a keyframe every half second, index at the end."""
    encode(path)


@made("faststart.mp4")
def faststart_mp4(path: Path) -> None:
    """The index (moov) before the pictures."""
    encode(path, mux={"movflags": "faststart"})


@made("fragmented.mp4")
def fragmented_mp4(path: Path) -> None:
    """Fragments, each with its own index, as cameras and streams write them."""
    encode(path, mux={"movflags": "frag_keyframe+empty_moov"})


@made("cfr.mov")
def cfr_mov(path: Path) -> None:
    encode(path)


@made("cfr.mkv")
def cfr_mkv(path: Path) -> None:
    encode(path)


@made("live.mkv")
def live_mkv(path: Path) -> None:
    """Matroska of unknown length without an index, as a live recorder writes it."""
    encode(path, mux={"live": "1"}, format="matroska")


@made("flash.flv")
def flash_flv(path: Path) -> None:
    encode(path)


@made("rotated.mp4")
def rotated_mp4(path: Path) -> None:
    """A telephone held upright: the display matrix turns the picture by a quarter."""
    encode(path, rotation=90)


@made("rotated_180.mp4")
def rotated_180_mp4(path: Path) -> None:
    encode(path, rotation=180)


@made("rotated_270.mov")
def rotated_270_mov(path: Path) -> None:
    encode(path, rotation=270)


@made("anamorphic.mp4")
def anamorphic_mp4(path: Path) -> None:
    """Pixels twice as wide as they are high."""
    encode(path, sar=Fraction(2, 1))


@made("single.mp4")
def single_mp4(path: Path) -> None:
    """A video of one frame."""
    encode(path, ticks=[0])


@made("cover.mp4")
def cover_mp4(path: Path) -> None:
    """A film with a cover picture, which containers keep as a video stream of its own."""
    film = path.with_name("without_cover.mp4")
    encode(film)
    with av.open(str(film)) as source, av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        video = out.add_stream_from_template(source.streams.video[0])
        packet = av.Packet(jpeg(200))
        packet.stream, packet.pts, packet.dts, packet.is_keyframe = cover, 0, 0, True
        out.mux(packet)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)


@made("overcount.avi")
def overcount_avi(path: Path) -> None:
    """Header counts ten times the frames there are; every third packet is empty (the picture stays)."""
    chunks = [b"" if i % 3 == 2 else jpeg(i) for i in range(FRAMES)]
    path.write_bytes(avi(chunks, header_frames=FRAMES * 10))


@made("overcount.mp4")
def overcount_mp4(path: Path) -> None:
    """stts and all durations say ten times the frames there are."""
    encode(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 12
    struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] * 10)
    for box, offset in ((b"mvhd", 20), (b"mdhd", 20), (b"tkhd", 24)):
        at = data.index(box) + offset
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] * 10)
    path.write_bytes(data)


def jpeg(i: int) -> bytes:
    """Picture number i as JPEG bytes."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture(i)).save(out, "JPEG", quality=90)
    return out.getvalue()


def avi(chunks: Sequence[bytes], *, header_frames: int, rate: int = RATE) -> bytes:
    """A Motion-JPEG AVI, written by hand so that its header may lie and its packets be empty.

    Layout after Microsoft's "AVI RIFF File Reference": hdrl (avih, strh, strf), movi, idx1.
    """

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    def group(name: bytes, kind: bytes, body: bytes) -> bytes:
        return chunk(name, kind + body)

    avih = struct.pack("<14I", 1_000_000 // rate, 0, 0, 0x10, header_frames, 0, 1, 0, WIDTH, HEIGHT, 0, 0, 0, 0)
    strh = struct.pack(
        "<4s4sIHHIIIIIIII4H", b"vids", b"MJPG", 0, 0, 0, 0, 1, rate, 0, header_frames, 0, 0, 0, 0, 0, WIDTH, HEIGHT
    )
    strf = struct.pack("<IiiHH4sIiiII", 40, WIDTH, HEIGHT, 1, 24, b"MJPG", WIDTH * HEIGHT * 3, 0, 0, 0, 0)
    movi, index = b"", b""
    for body in chunks:
        index += struct.pack("<4sIII", b"00dc", 0x10, 4 + len(movi), len(body))
        movi += chunk(b"00dc", body)
    header = group(
        b"LIST", b"hdrl", chunk(b"avih", avih) + group(b"LIST", b"strl", chunk(b"strh", strh) + chunk(b"strf", strf))
    )
    return group(b"RIFF", b"AVI ", header + group(b"LIST", b"movi", movi) + chunk(b"idx1", index))
