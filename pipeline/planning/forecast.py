"""What a plan will take, before anything is looked at: frames, tokens, hours, money, each with how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from pipeline.planning.prices import Price

SURE, GUESSED = 0.1, 0.5
"""How far off tokens and seconds of a frame may be: where this lake's own runs say them, and where the table does."""

MINE, TABLE = "this lake's own runs", "the table of prices and speeds"

_STUDENT = (12.7, 4.3, 3.2, 2.8, 2.6, 2.4, 2.4, 2.3, 2.3, 2.2)
"""Student's t for 95 % with 1 to 10 degrees of freedom; beyond, the normal distribution's 1.96 is near enough."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A number that isn't known yet. In 95 of 100 cases it is expected to be between low and high."""

    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, number: float) -> Interval:
        return cls(number, number, number)

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, factor: float, unsure: float = 0.0) -> Interval:
        """unsure: by what share the factor may be off."""
        return Interval(self.low * factor * (1 - unsure), self.expected * factor, self.high * factor * (1 + unsure))

    def rounded(self, digits: int | None = None) -> dict[str, float]:
        return {name: round(getattr(self, name), digits) for name in ("low", "expected", "high")}


def total(count: int, sample: Sequence[float], *, least: float = 0.0, most: float = math.inf) -> Interval:
    """What `count` things make together, of which these few are known; each makes between `least` and `most`.

    >>> total(4, [2, 4, 6, 8])
    Interval(low=20, expected=20, high=20)
    """
    return Interval.exactly(sum(sample)) + others(count - len(sample), sample, least=least, most=most)


def others(count: int, sample: Sequence[float], *, least: float = 0.0, most: float = math.inf) -> Interval:
    """What `count` further things make together, when these are like them; each between `least` and `most`.

    By the mean of the sample and Student's t, for the mean of that many further ones. Of one thing nobody knows how
    others differ from it: then they may be anything between the limits.
    """
    if count <= 0:
        return Interval.exactly(0)
    mean = fmean(sample) if sample else (least + min(most, least + 1)) / 2
    if len(sample) < 2:
        return Interval(count * least, count * mean, count * (max(mean, most) if most < math.inf else 4 * mean))
    degrees = len(sample) - 1
    error = stdev(sample) * math.sqrt(1 / len(sample) + 1 / count)
    reach = (_STUDENT[degrees - 1] if degrees <= len(_STUDENT) else 1.96) * error
    low, high = max(least, mean - reach), max(mean, min(most, mean + reach))
    return Interval(count * low, count * mean, count * high)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one frame takes. learned: what of it (speed, tokens, thumbnails) this lake's own runs say; what they don't,
    the table of prices does.

    frames_per_s: as whole runs managed, so everything beside the model is in it.
    """

    frames_per_s: float
    prompt_tokens: float
    completion_tokens: float
    thumbnail_bytes: float
    learned: frozenset[str]

    def unsure(self, what: str) -> float:
        return SURE if what in self.learned else GUESSED

    @property
    def learned_from(self) -> str:
        """Who says tokens and speed; where one of them is learned and the other isn't, which is which."""
        mine, others = (
            [what for what in ("tokens", "speed") if (what in self.learned) is learned] for learned in (True, False)
        )
        return f"{MINE} ({mine[0]}) and {TABLE} ({others[0]})" if mine and others else MINE if mine else TABLE


_OF_MONEY = {"gpus", "gpu_hour", "million_prompt_tokens", "million_completion_tokens"}


@dataclass(frozen=True, slots=True)
class Forecast:
    """sampled: of how many media the headers were read."""

    media_s: Interval
    frames: Interval
    rates: Rates
    price: Price
    currency: str
    sampled: int

    def as_json(self) -> dict[str, object]:
        """The numbers as `shotlog plan --format json` prints them."""
        rates = self.rates
        prompt, completion = (
            self.frames.times(each, rates.unsure("tokens")) for each in (rates.prompt_tokens, rates.completion_tokens)
        )
        hours = self.frames.times(1 / 3600 / rates.frames_per_s, rates.unsure("speed"))
        gpu_hours = hours.times(self.price.gpus)
        cost = (
            gpu_hours.times(self.price.gpu_hour)
            + prompt.times(self.price.million_prompt_tokens / 1e6)
            + completion.times(self.price.million_completion_tokens / 1e6)
        )
        return {
            "media_hours": self.media_s.times(1 / 3600).rounded(3),
            "frames": self.frames.rounded(),
            "tokens": {"prompt": prompt.rounded(), "completion": completion.rounded()},
            "thumbnail_bytes": self.frames.times(rates.thumbnail_bytes, rates.unsure("thumbnails")).rounded(),
            "hours": hours.rounded(3),
            "gpu_hours": gpu_hours.rounded(3),
            "cost": {**cost.rounded(2), "currency": self.currency},
            "prices": self.price.model_dump(include=_OF_MONEY),
            "a_frame": {
                "seconds": 1 / rates.frames_per_s,
                "prompt_tokens": rates.prompt_tokens,
                "completion_tokens": rates.completion_tokens,
            },
            "sampled": self.sampled,
            "learned_from": rates.learned_from,
        }
