"""The shot pass: every frame of a film once, small, through a shot detector. Runs in the child process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from pipeline import decode
from pipeline.decode.image import pictures
from pipeline.decode.pyav import decoded
from pipeline.decode.video import opened, video
from pipeline.errors import MediaError
from pipeline.model import MediaInfo, Shot
from pipeline.shots import DETECTOR, open_detector
from pipeline.shots.base import ShotDetector

_EXACT = Interpolation.BITEXACT | Interpolation.ACCURATE_RND
"""The same pixels, and so the same scores, whatever the processor can do."""


def shot_pass(path: Path, info: MediaInfo, detector: str = DETECTOR, device: str = "auto") -> Iterator[Shot]:
    """Yield the shots of one local file as they end.

    detector: a name of shots.DETECTORS. device: as shots.open_detector has it. Raises UsageError and ShotlogError as
    shots.check_detector, and, while shots are taken, MediaError.
    """
    finder = open_detector(detector, device)
    small = _of_pictures(path, finder) if decode.is_picture(info) else _of_video(path, info, finder)
    return finder.find(small, info.duration_s)


def _of_pictures(path: Path, finder: ShotDetector) -> Iterator[tuple[float, np.ndarray]]:
    for timestamp_s, rgb in pictures(path):
        height, width, _ = rgb.shape
        wanted = finder.small(width, height)
        small = np.asarray(Image.fromarray(rgb).resize((wanted.width, wanted.height)))
        yield timestamp_s, small if wanted.pixel_format == "rgb24" else small[:, :, ::-1].copy()


def _of_video(path: Path, info: MediaInfo, finder: ShotDetector) -> Iterator[tuple[float, np.ndarray]]:
    """(timestamp_s, picture) of every frame that can be decoded, in presentation order."""
    line = video(path).line
    if not line.pts:
        raise MediaError(info.fault or "no_frames", info.fault_detail)
    scaler = VideoReformatter()  # one for all frames: it keeps what it has worked out for their size
    wanted, how = None, 0
    with opened(path) as (container, stream):
        for frame in decoded(container, stream, path.stat().st_size):
            if frame.pts is None or frame.pts < line.pts[0]:
                continue
            if wanted is None:  # the first frame decides: a broadcast may change its size
                wanted = finder.small(frame.width, frame.height)
                how = int(Interpolation[wanted.interpolation] | _EXACT)
            small = scaler.reformat(
                frame, wanted.width, wanted.height, wanted.pixel_format, interpolation=how, threads=1
            )
            yield line.seconds(frame.pts), small.to_ndarray()
