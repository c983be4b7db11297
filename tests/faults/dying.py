"""A run that is killed where one stage hands over to the next."""

from __future__ import annotations

from typing import Any

from pipeline.lake import freeze, writer
from pipeline.steps import publish, run
from pipeline.steps.desk import Desk
from tests.faults.children import die
from tests.integration.quiet import Quiet

BOUNDARIES: dict[str, tuple[Any, str, bool]] = {
    "begun": (run, "begin_run", True),
    "listed": (run, "write_listing", True),
    "compared": (writer, "batches_of_others", True),
    "planned": (run, "plan", True),
    "decoded": (Desk, "wants", True),
    "answered": (Desk, "answered", True),
    "whole": (writer, "commit_batch", False),
    "committed": (writer, "commit_batch", True),
    "done": (run, "end_run", False),
    "ended": (publish, "clear_done", False),
    "cleared": (run, "end_run", True),
    "frozen": (freeze, "prune", False),
}
"""Where → what is called there, and whether the kill comes after it or before."""

ANYWHERE = ("decoded", "answered", "whole", "committed")
"""Boundaries that a run crosses more than once."""


def tag_until(where: str, times: int, request: dict[str, Any]) -> None:
    """A whole run, killed where it crosses this boundary for the n-th time."""
    owner, name, is_after = BOUNDARIES[where]
    real, count = getattr(owner, name), 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if not is_after and count == times:
            die()
        result = real(*arguments, **named)
        if is_after and count == times:
            die()
        return result

    setattr(owner, name, counted)
    run.tag(request, Quiet())
