"""Where decoding can begin, and so costs least."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from pipeline import decode
from pipeline.decode.video import video
from pipeline.model import MediaInfo


def keyframes(path: Path, info: MediaInfo, near_s: Sequence[float]) -> list[float]:
    """Times of the keyframes next to each of these moments, before and after it; a film may have very many.

    None for a picture that moves: what its frames are made of isn't told. Raises MediaError as `video`.
    """
    if decode.is_picture(info):
        return []
    line = video(path).line
    times_s = sorted(line.seconds(key.pts) for key in line.keys if line.holds(key.pts))
    found: set[float] = set()
    for moment_s in near_s:
        at = bisect_left(times_s, moment_s)
        found.update(times_s[max(0, at - 1) : at + 1])
    return sorted(found)
