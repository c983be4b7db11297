"""What decoding costs at least: plain scripts that share no code with pipeline/.

    python tests/benchmark/floors.py FOLDER --frames 10 --processes 2

decodes the uniform frames of every video of a folder and keeps nothing: the floor under a whole run. The functions
each decode the same frames of one video another way, and yield (timestamp in seconds, RGB array of shape (height,
width, 3)). One thread each.
"""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from multiprocessing import Pool
from pathlib import Path

import av
import numpy as np

Shown = tuple[float, np.ndarray]


def uniform(duration_s: float, count: int) -> list[float]:
    """The middles of equal parts: duration_s=10, count=4 → [1.25, 3.75, 6.25, 8.75]."""
    return [(part + 0.5) * duration_s / count for part in range(count)]


def gop_wise(path: Path, count: int) -> Iterator[Shown]:
    """Decode only the groups of pictures that hold a target, without the pictures there that no other refers to, and
    no further than the last target of each. Holds the packets of one group. Groups must be closed."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        context.thread_count = 1
        base, begins = stream.time_base, stream.start_time
        targets = [begins + round(moment / base) for moment in uniform(float(stream.duration * base), count)]
        for packets, end in _groups(container.demux(stream)):
            here = [target for target in targets if packets[0].pts <= target and (end is None or target < end)]
            if not here:
                continue
            shown = sorted(packet.pts for packet in packets)
            wanted = {shown[bisect_right(shown, target) - 1] for target in here}
            last = max(number for number, packet in enumerate(packets) if packet.pts in wanted)
            for packet in [*packets[: last + 1], None]:  # None: hand over what is held back for reordering
                if packet:
                    context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
                for frame in context.decode(packet):
                    if frame.pts in wanted:
                        yield float((frame.pts - begins) * base), frame.to_ndarray(format="rgb24")
            context.flush_buffers()


def _groups(packets: Iterator[av.Packet]) -> Iterator[tuple[list[av.Packet], int | None]]:
    """Packets from one keyframe up to the next, and when that one is shown."""
    group: list[av.Packet] = []
    for packet in packets:
        if packet.dts is None:
            continue
        if packet.is_keyframe and group:
            yield group, packet.pts
            group = []
        group.append(packet)
    if group:
        yield group, None


def front_to_back(path: Path, count: int) -> Iterator[Shown]:
    """PyAV: decode everything up to the last target."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        begins = float(stream.start_time * stream.time_base)
        targets = uniform(float(stream.duration * stream.time_base), count)
        held = None
        for frame in container.decode(stream):
            while targets and held is not None and frame.time - begins > targets[0]:
                yield held.time - begins, held.to_ndarray(format="rgb24")
                targets.pop(0)
            if not targets:
                return
            held = frame
        if targets and held is not None:
            yield held.time - begins, held.to_ndarray(format="rgb24")


def keyframes_only(path: Path, count: int) -> Iterator[Shown]:  # noqa: ARG001
    """PyAV: every keyframe, whatever was asked for: the least that shows something of everywhere."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = "NONKEY"
        begins = float(stream.start_time * stream.time_base)
        for frame in container.decode(stream):
            yield frame.time - begins, frame.to_ndarray(format="rgb24")


def decord2(path: Path, count: int) -> Iterator[Shown]:
    """decord2's `get_batch` on the frames shown at the targets."""
    import decord

    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    begins = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    targets = uniform(float(reader.get_frame_timestamp(len(reader) - 1)[1]), count)
    indexes = [int(np.searchsorted(begins, target, side="right")) - 1 for target in targets]
    images = reader.get_batch(indexes).asnumpy()
    yield from ((float(begins[index]), image) for index, image in zip(indexes, images, strict=True))


WAYS: dict[str, Callable[[Path, int], Iterator[Shown]]] = {
    "gop_wise": gop_wise,
    "front_to_back": front_to_back,
    "keyframes_only": keyframes_only,
    "decord2": decord2,
}


def _count(work: tuple[str, Path, int]) -> int:
    way, path, count = work
    return sum(image.size > 0 for _, image in WAYS[way](path, count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, default="gop_wise")
    asked = parser.parse_args()
    paths = sorted(asked.folder.glob("*.mp4"))
    with Pool(asked.processes) as pool:
        frames = sum(pool.imap_unordered(_count, [(asked.way, path, asked.frames) for path in paths]))
    sys.stdout.write(f"{frames}\n")


if __name__ == "__main__":
    main()
