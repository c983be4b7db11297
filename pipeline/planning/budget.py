"""A budget: how much a run may spend, in money, in GPU hours or in tokens."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pipeline.errors import UsageError
from pipeline.model import MediaObject
from pipeline.planning.prices import Price

_NUMBER = r"(?:[0-9]{1,3}(?:[_,][0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
"""A comma parts thousands: of '2,50 USD' nobody knows whether 2.5 is meant, or 250."""

_THOUSANDS = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}


@dataclass(frozen=True, slots=True)
class Budget:
    """limit: in `unit`. text: as it was given."""

    limit: float
    unit: Literal["money", "gpu_hours", "tokens"]
    text: str

    def spent(self, price: Price, *, seconds: float, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many seconds of a run and so many tokens are, in this budget's unit."""
        if self.unit == "tokens":
            return prompt_tokens + completion_tokens
        gpu_hours = price.gpus * seconds / 3600
        if self.unit == "gpu_hours":
            return gpu_hours
        tokens = prompt_tokens * price.million_prompt_tokens + completion_tokens * price.million_completion_tokens
        return gpu_hours * price.gpu_hour + tokens / 1e6


def parse_budget(text: str, currency: str) -> Budget:
    """'50 USD', '10 GPU-hours', '1M tokens'. Raises UsageError for another unit, or none, or nothing to spend.

    >>> parse_budget("1.5M tokens", "USD").limit
    1500000.0
    """
    found = re.fullmatch(rf"\s*({_NUMBER})\s*([kKmMbB]?)\s+([A-Za-z-]+)\s*", text)
    number = float(re.sub("[_,]", "", found[1])) * _THOUSANDS[found[2].lower()] if found else 0.0
    unit = found[3].lower() if found else ""
    units: dict[str, Literal["money", "gpu_hours", "tokens"]] = {
        currency.lower(): "money",
        "gpu-hours": "gpu_hours",
        "gpu-hour": "gpu_hours",
        "tokens": "tokens",
    }
    if not number or unit not in units:
        raise UsageError(
            f"budget can't be {text!r}: give an amount above 0 and a unit, as '2.50 {currency}', '10 GPU-hours' or "
            "'1M tokens'"
        )
    return Budget(number, units[unit], text.strip())


@dataclass(frozen=True, slots=True)
class Took:
    """What something took: seconds of a run, and tokens."""

    seconds: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0


class Purse:
    """What is left of a budget while media are looked at. Safe to use from several threads.

    before: what the run had taken when this process began. a_frame: what one frame is expected to take; the tokens that
    frames really took replace its own as whole looks end. The clock runs from now on. more: gets as much more as is
    given, of what several purses share, and says how much that is; None where this one has all of it.
    """

    def __init__(
        self, budget: Budget, price: Price, before: Took, a_frame: Took, more: Callable[[float], float] | None = None
    ) -> None:
        self.budget, self._price, self._before, self._more = budget, price, before, more
        self._a_frame = a_frame
        self._began, self._lock = time.monotonic(), threading.Lock()
        self._prompt = self._completion = 0
        self._reserved: dict[str, int] = {}
        self._told: tuple[int, ...] = (0, 0, 0)
        """Frames, and the tokens that they took."""
        self._limit = self.spent if more else budget.limit
        self.is_empty = False
        """Whether something had to be left, and nothing more is begun."""
        self.too_dear: dict[str, str] = {}
        """media_id → URI of what takes more than the whole budget: such are left, and others aren't."""

    @property
    def spent(self) -> float:
        """In the budget's unit."""
        return self.budget.spent(
            self._price,
            seconds=self._before.seconds + time.monotonic() - self._began,
            prompt_tokens=self._before.prompt_tokens + self._prompt,
            completion_tokens=self._before.completion_tokens + self._completion,
        )

    def reserve(self, media: MediaObject, frames: int) -> bool:
        """Put aside what so many frames will take; False where there isn't as much left."""
        with self._lock:
            if self._of(1) <= self.budget.limit < self._of(frames):
                self.too_dear[media.media_id] = media.uri
                return False
            if not self.is_empty and self._more and (short := self._short_of(frames)) > 0:
                self._limit += self._more(short)
            if self.is_empty or self._short_of(frames) > 0:
                self.is_empty = True
                return False
            self._reserved[media.media_id] = frames
            return True

    def _short_of(self, frames: int) -> float:
        return self.spent + self._of(sum(self._reserved.values()) + frames) - self._limit

    def _of(self, frames: int) -> float:
        """What so many frames take, in the budget's unit."""
        return frames * self.budget.spent(self._price, **asdict(self._a_frame))

    def pay(self, media_id: str, frames: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Note what a media object took in the end. frames: so many took these tokens; 0 where nobody can say."""
        with self._lock:
            self._reserved.pop(media_id, None)
            self._prompt += prompt_tokens
            self._completion += completion_tokens
            if frames:
                told = frames, prompt_tokens, completion_tokens
                self._told = tuple(map(sum, zip(self._told, told, strict=True)))
                of, prompt, completion = self._told
                self._a_frame = replace(self._a_frame, prompt_tokens=prompt / of, completion_tokens=completion / of)
