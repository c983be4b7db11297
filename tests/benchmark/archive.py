"""Archives to tag: folders of real films and photographs, each object with bytes of its own."""

from __future__ import annotations

import io
from pathlib import Path

import av
from PIL import Image

from pipeline.decode.worker import DecodeChild
from pipeline.model import Frame
from tests.media import media

PHOTOGRAPHS = ("china.jpg", "flower.jpg", "astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def films(folder: Path, count: int) -> Path:
    """So many copies of bikes.mp4 (10 s, 640×272, six shots), remuxed, each with a title of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        remux(media("bikes.mp4"), folder / f"{number:04}.mp4", title=f"film {number}")
    return folder


def remux(source: Path, target: Path, *, title: str, seconds: float | None = None) -> None:
    """Copy the packets of the first video stream, up to so many seconds, without decoding them."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        written.metadata["title"] = title
        for packet in read.demux(stream):
            if packet.dts is None or (seconds and packet.time_base and packet.dts * packet.time_base >= seconds):
                continue
            packet.stream = copy
            written.mux(packet)


def mixed(folder: Path, count: int) -> Path:
    """So many cheap media objects: of ten nine photographs of 320 pixels and one clip of a second."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        if number % 10:
            photograph(
                PHOTOGRAPHS[number % len(PHOTOGRAPHS)], folder / f"{number:04}.jpg", title=f"photograph {number}"
            )
        else:
            remux(media("carphone_pristine.mp4"), folder / f"{number:04}.mp4", title=f"clip {number}", seconds=1)
    return folder


def photograph(name: str, target: Path, *, title: str) -> None:
    with Image.open(media(name)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((320, 320))
    packed = io.BytesIO()
    small.save(packed, "JPEG", comment=title)
    target.write_bytes(packed.getvalue())


def frames(name: str, count: int) -> list[Frame]:
    """So many frames of a test film at equal distances, decoded."""
    path = media(name)
    with DecodeChild(deadline_s=60, memory_mb=4096, max_megapixels=200) as child:
        info = child.probe(path)
        targets = [(place + 0.5) * info.duration_s / count for place in range(count)]
        return list(child.frames(path, info, targets, media_id="", decoder="auto"))
