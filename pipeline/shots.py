"""Shot boundaries: where the picture changes at once and not just moves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.model import Shot

DETECTOR = "adaptive"
"""PySceneDetect's AdaptiveDetector at its own defaults: a cut is a change of at least 15 (of 255, mean over hue,
saturation and luma) that is 3 times what the two frames before and after it change by; a shot has 15 frames or
more. On bikes.mp4 it finds the five cuts that an eye counts."""

WIDTH_PX = 256
"""Pictures are made this small first, as PySceneDetect does: detail only makes noise."""


def find_shots(pictures: Iterable[tuple[float, np.ndarray]], end_s: float) -> Iterator[Shot]:
    """Yield shots as they end; together they cover everything from the first picture to end_s.

    pictures: (timestamp_s, BGR uint8 (height, width, 3) of about WIDTH_PX) of every frame in presentation order.
    A shot's score is how many times more the picture changes at its start than around it, None for the first.
    """
    from scenedetect.common import FrameTimecode  # with OpenCV: only the child process that decodes pays for it
    from scenedetect.detectors import AdaptiveDetector
    from scenedetect.stats_manager import StatsManager

    class Latest(StatsManager):
        """Keeps the last frame's metrics alone: a film has a quarter of a million frames."""

        ratio: float | None = None

        def set_metrics(self, timecode: FrameTimecode, metric_kv_dict: dict[str, float]) -> None:  # noqa: ARG002
            self.ratio = metric_kv_dict.get(ratio_key, self.ratio)

        def metrics_exist(self, timecode: FrameTimecode, metric_keys: Iterable[str]) -> bool:  # noqa: ARG002
            return False

    detector = AdaptiveDetector()
    ratio_key = detector.get_metrics()[-1]
    detector.stats_manager = latest = Latest()
    times: list[float] = []  # of the frames that a cut may still be found at
    first_frame = 0
    start_s: float | None = None
    score: float | None = None
    for index, (timestamp_s, picture) in enumerate(pictures):
        start_s = timestamp_s if start_s is None else start_s
        times.append(timestamp_s)
        # numbered frames of a nominal rate: the detector only compares neighbours and counts frames
        for cut in detector.process_frame(FrameTimecode(index, fps=25.0), picture):
            cut_s = times[cut.frame_num - first_frame]
            yield Shot(start_s, cut_s, score)
            start_s, score = cut_s, latest.ratio
        if len(times) > 2 * detector.event_buffer_length + 1:
            times.pop(0)
            first_frame += 1
    if start_s is not None:
        yield Shot(start_s, max(start_s, end_s), score)
