"""A clock that a test sets: what the code writes down as now, wherever it asks for it. Durations aren't its concern."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pipeline.lake import freeze, order, recipes, writer
from pipeline.steps import listing, media_in_hand, plan

MODULES = (freeze, listing, media_in_hand, order, plan, recipes, writer)


class Clock:
    """ahead: of the real one. jumps: by how much it is set at the n-th time that it is asked."""

    def __init__(self, monkeypatch: Any) -> None:
        self.ahead = timedelta(0)
        self.asked = 0
        self.jumps: dict[int, timedelta] = {}
        set_by_hand = type("datetime", (datetime,), {"now": self._now})
        for module in MODULES:
            monkeypatch.setattr(module, "datetime", set_by_hand, raising=False)

    def _now(self, zone: Any = None) -> datetime:
        self.asked += 1
        self.ahead += self.jumps.pop(self.asked, timedelta(0))
        return datetime.now(zone) + self.ahead
