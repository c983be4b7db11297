"""A budget: how much a run may spend, in money, in GPU hours or in tokens."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Literal

from pipeline.errors import UsageError
from pipeline.planning.prices import Price

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
    found = re.fullmatch(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([kKmMbB]?)\s+([A-Za-z-]+)\s*", text)
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
            f"budget can't be {text!r}: give an amount above 0 and a unit, as '50 {currency}', '10 GPU-hours' or "
            "'1M tokens'"
        )
    return Budget(number, units[unit], text.strip())


@dataclass
class Purse:
    """What is left of a budget while media are looked at. Safe to use from several threads.

    a_frame: what one frame is expected to take, in the budget's unit. used: what is spent already.
    """

    budget: Budget
    a_frame: float
    used: float = 0.0
    frames: int = 0
    _reserved: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, media_id: str, frames: int) -> bool:
        """Whether there is enough left for so many frames of a media object; if so, it is put aside."""
        with self._lock:
            needed = frames * self.a_frame
            if self.used + sum(self._reserved.values()) + needed > self.budget.limit:
                return False
            self._reserved[media_id] = needed
            return True

    def pay(self, media_id: str, amount: float, frames: int) -> None:
        """Note what a media object took in the end; what a frame takes is learned from it."""
        with self._lock:
            self._reserved.pop(media_id, None)
            self.used += amount
            self.frames += frames
            if self.frames:
                self.a_frame = max(self.used / self.frames, 1e-12)
