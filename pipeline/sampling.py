"""Which moments of a video are looked at. A policy is a pure function of (MediaInfo, shots, budget).

To add a policy: one function, one line in POLICIES, one parametrised case in tests/unit/test_sampling.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pipeline.errors import unknown_name
from pipeline.model import MediaInfo, Shot

Policy = Callable[[MediaInfo, Sequence[Shot], float], list[float]]


def uniform(info: MediaInfo, shots: Sequence[Shot], budget: float) -> list[float]:  # noqa: ARG001
    """One a second, at most `budget`, in the middles of equal parts, so neither the first nor the last frame."""
    # duration_s=10.0, budget=4  →  [1.25, 3.75, 6.25, 8.75]
    count = int(min(budget, max(1, round(info.duration_s))))
    return [(part + 0.5) * info.duration_s / count for part in range(count)]


def shots(info: MediaInfo, shots: Sequence[Shot], budget: float) -> list[float]:
    """The middle of every shot; with more shots than `budget`, those nearest to evenly spread moments."""
    # shots 0–2, 2–3, 3–9 s, budget=2, duration_s=9  →  [2.5, 6.0]
    middles = [shot.representative_s for shot in shots]
    if len(middles) <= budget:
        return middles
    chosen: list[int] = []
    count = int(budget)
    for part in range(count):
        wanted = (part + 0.5) * info.duration_s / count
        first = chosen[-1] + 1 if chosen else 0
        last = len(middles) - (count - part)  # leaves one shot for every part still to come
        chosen.append(min(range(first, last + 1), key=lambda index: abs(middles[index] - wanted)))
    return [middles[index] for index in chosen]


POLICIES: dict[str, Policy] = {"uniform": uniform, "shots": shots}

NEED_SHOTS = frozenset({"shots"})
"""Policies that run the shot pass; the others leave `shot_index` null."""


def check_policy(name: str) -> None:
    if name not in POLICIES:
        raise unknown_name("sampling policy", name, POLICIES)


def choose(name: str, info: MediaInfo, shots: Sequence[Shot], max_frames: int | None) -> list[float]:
    """Ascending timestamps in seconds; an image has the one moment 0. max_frames None: no limit."""
    if info.kind == "image":
        return [0.0]
    return POLICIES[name](info, shots, math.inf if max_frames is None else max_frames)
