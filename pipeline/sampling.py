"""Which moments of a video are looked at. A policy is a pure function of (MediaInfo, shots, budget).

To add a policy: one function, one line in POLICIES, one parametrised case in tests/unit/test_sampling.py, one row in
README's table of policies.
"""

from __future__ import annotations

import heapq
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

from pipeline.errors import UsageError, unknown_name
from pipeline.model import MediaInfo, Shot

Policy = Callable[[MediaInfo, Sequence[Shot], float], list[float]]
"""(info, shots in order, budget of frames or infinity) → moments in seconds, ascending."""


def uniform(info: MediaInfo, shots: Sequence[Shot], budget: float) -> list[float]:  # noqa: ARG001
    """One a second, at most `budget`, in the middles of equal parts.

    First and last frame: neither, unless the video is only a few frames long.
    """
    # duration_s=10.0, budget=4  →  [1.25, 3.75, 6.25, 8.75]
    return _middles(0.0, info.duration_s, int(min(budget, max(1, round(info.duration_s)))))


def every(step_us: int) -> Policy:
    """The policy that takes one moment every `step_us` microseconds, whatever the duration.

    With more than `budget` of them, some are left out evenly; those that stay keep their place.
    First and last frame: the first always, for it begins at 0 s; the last by chance, for it ends before the end.
    """

    def policy(info: MediaInfo, shots: Sequence[Shot], budget: float) -> list[float]:  # noqa: ARG001
        # step_us=5_000_000, duration_s=15.0, budget=60  →  [0.0, 5.0, 10.0]; budget=2  →  [0.0, 5.0]
        steps = max(1, math.ceil(info.duration_s * _S / step_us))
        if steps > 1 and (steps - 1) * step_us / _S >= info.duration_s:  # the division may have been rounded up
            steps -= 1
        count = int(min(budget, steps))
        return [part * steps // count * step_us / _S for part in range(count)]

    return policy


def one_a_shot(info: MediaInfo, shots: Sequence[Shot], budget: float) -> list[float]:
    """The middle of every shot; with more shots than `budget`, those nearest to evenly spread moments.

    First and last frame: neither, of any shot that has more than two.
    """
    # shots 0–2, 2–3, 3–9 s, budget=2, duration_s=9  →  [2.5, 6.0]
    middles = list(dict.fromkeys(shot.representative_s for shot in shots))
    if len(middles) <= budget:
        return middles
    chosen: list[int] = []
    count = int(budget)
    for part, wanted in enumerate(_middles(0.0, info.duration_s, count)):
        first = chosen[-1] + 1 if chosen else 0
        last = len(middles) - (count - part)  # leaves one shot for every part still to come
        chosen.append(_nearest(middles, wanted, first, last))
    return [middles[index] for index in chosen]


def keyframes(info: MediaInfo, shots: Sequence[Shot], budget: float) -> list[float]:
    """As `uniform`; `choose` then moves each moment to the nearest keyframe, the cheapest frames to decode.

    First and last frame: the first where it is the nearest keyframe (a video's first frame nearly always is one), the
    last only where it is a keyframe itself.
    """
    # duration_s=10.0, budget=4  →  [1.25, 3.75, 6.25, 8.75], and with keyframes at 0, 4, 8 s  →  [0.0, 4.0, 8.0]
    return uniform(info, shots, budget)


def shots_and_uniform(info: MediaInfo, shots: Sequence[Shot], budget: float) -> list[float]:
    """One in each shot, and the rest of one a second (at most `budget`) to the long shots in proportion to length.

    Each further moment goes to the shot whose own lie furthest apart; a shot's are the middles of its equal parts.
    With more shots than `budget`: as `one_a_shot`. First and last frame: neither, of any shot that has more than two.
    """
    # shots 0–2, 2–10 s, budget=5, duration_s=10  →  [1.0, 3.0, 5.0, 7.0, 9.0]
    if len(shots) >= budget:
        return one_a_shot(info, shots, budget)
    counts = [1] * len(shots)
    gaps = [(shot.start_s - shot.end_s, index) for index, shot in enumerate(shots)]  # negative: the widest on top
    heapq.heapify(gaps)
    further = min(budget, round(info.duration_s)) - len(shots) if shots else 0
    for _ in range(int(further)):
        index = gaps[0][1]
        counts[index] += 1
        heapq.heapreplace(gaps, ((shots[index].start_s - shots[index].end_s) / counts[index], index))
    parts = (_middles(shot.start_s, shot.end_s, count) for shot, count in zip(shots, counts, strict=True))
    return [moment for middles in parts for moment in middles]


POLICIES: dict[str, Policy] = {
    "uniform": uniform,
    "every:5s": every(5_000_000),  # stands for every step there is
    "shots": one_a_shot,
    "keyframes": keyframes,
    "shots+uniform": shots_and_uniform,
}

_S = 1_000_000
_UNITS_US = {"ms": 1000, "s": _S, "m": 60 * _S, "h": 3600 * _S}
_EVERY = re.compile(r"every:([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")

_SHORTEST_US = 1000
"""Of a step. No film has frames as close as a millisecond; a smaller step is a slip of the pen that fills memory."""


def names() -> list[str]:
    """Every policy as it is written, `every:5s` standing for any step."""
    return list(POLICIES)


def check_policy(name: str) -> None:
    """Raises UsageError for a name that isn't known, or an `every:` without a step that can be meant."""
    _policy(name)


def canonical(name: str) -> str:
    """One spelling for one policy, so that every:1m and every:60s are one recipe. Raises as `check_policy`."""
    if not name.startswith("every"):
        check_policy(name)
        return name
    whole, part = divmod(_step_us(name), _S)
    return f"every:{whole}{f'.{part:06}'.rstrip('0') if part else ''}s"


def needs_shots(name: str) -> bool:
    """Whether the policy needs the shot pass; the others leave `shot_index` null."""
    return name in ("shots", "shots+uniform")


def needs_keyframes(name: str) -> bool:
    """Whether the policy needs to know where the keyframes are."""
    return name == "keyframes"


def choose(
    name: str, info: MediaInfo, shots: Sequence[Shot], max_frames: int | None, keyframes_s: Sequence[float] = ()
) -> list[float]:
    """The moments to look at: seconds, ascending, each once, from 0 to info.duration_s; an image has the one moment 0.

    max_frames: None: no limit. keyframes_s: ascending, for `keyframes`; where none are known that is as `uniform`, and
    where several moments have one nearest keyframe, it is taken once. Raises UsageError as `check_policy`.
    """
    policy = _policy(name)
    if info.kind == "image":
        return [0.0]
    targets = policy(info, shots, math.inf if max_frames is None else max_frames)
    targets = sorted({min(max(target_s, 0.0), info.duration_s) for target_s in targets})
    if needs_keyframes(name) and keyframes_s:
        last = len(keyframes_s) - 1
        return sorted({keyframes_s[_nearest(keyframes_s, target_s, 0, last)] for target_s in targets})
    return targets


OFFSETS_S = (0.5, 1.0)
"""How far from its target a better frame is looked for: past a fade or a flash, still in what is going on."""


def alternatives(target_s: float, shot: Shot | None, info: MediaInfo) -> list[float]:
    """The target, then moments OFFSETS_S before and after it, each at most halfway to the edge of the shot.

    So all lie in the shot (None: the whole video), away from its cuts. Each moment once, nearest first.
    """
    # target_s=4.0, shot 0–4.6 s  →  [4.0, 3.5, 4.3, 3.0]
    start_s, end_s = (shot.start_s, shot.end_s) if shot else (0.0, info.duration_s)
    before, after = max(0.0, (target_s - start_s) / 2), max(0.0, (end_s - target_s) / 2)
    moments = [target_s]
    for offset_s in OFFSETS_S:
        moments += [target_s - min(offset_s, before), target_s + min(offset_s, after)]
    return list(dict.fromkeys(moments))


def candidates(targets_s: Sequence[float], shots: Sequence[Shot], info: MediaInfo) -> list[list[float]]:
    """`alternatives` of each target. None comes near another target's, so whichever is taken, the order stays.

    targets_s: ascending, each once. shots: () where they aren't known.
    """
    # targets 1.0, 2.0, duration_s=3.0  →  [[1.0, 0.5, 1.25], [2.0, 1.75, 2.5]]
    edges = [0.0, *((one + other) / 2 for one, other in pairwise(targets_s)), info.duration_s]
    starts = [shot.start_s for shot in shots]
    found = []
    for index, target_s in enumerate(targets_s):
        low, high = edges[index], edges[index + 1]
        if shots:
            shot = shots[max(0, bisect_right(starts, target_s) - 1)]
            low, high = max(low, shot.start_s), min(high, shot.end_s)
        found.append(alternatives(target_s, Shot(min(low, target_s), max(high, target_s)), info))
    return found


def _policy(name: str) -> Policy:
    if policy := POLICIES.get(name):
        return policy
    if name == "every" or name.startswith("every:"):
        return every(_step_us(name))
    raise unknown_name("sampling policy", name, POLICIES)


def _step_us(name: str) -> int:
    """The step of every:NUMBER UNIT in microseconds, as finely as containers give their times."""
    read = _EVERY.fullmatch(name)
    step_us = round(float(read[1]) * _UNITS_US[read[2]]) if read else 0
    if step_us < _SHORTEST_US:
        raise UsageError(
            f"sampling policy '{name}' names no step: write every: with a number and its unit (ms, s, m or h; none is "
            "assumed), 1 ms or more, as in every:5s"
        )
    return step_us


def _middles(start_s: float, end_s: float, count: int) -> list[float]:
    """The middles of `count` equal parts."""
    return [start_s + (part + 0.5) * (end_s - start_s) / count for part in range(count)]


def _nearest(moments: Sequence[float], wanted: float, first: int, last: int) -> int:
    """Index, from `first` to `last`, of the moment nearest to `wanted`; of two as near the earlier."""
    # [0.0, 4.0, 8.0], wanted=2.0, 0, 2  →  0
    after = bisect_left(moments, wanted, first, last)
    return after if after == first or moments[after] - wanted < wanted - moments[after - 1] else after - 1
