"""What a benchmark found, as lines of one table."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what was measured, what came out, and what was promised (empty: nothing)."""

    what: str
    value: str
    promise: str = ""


def say(line: str) -> None:
    """Progress: on stderr, so that stdout holds the table alone."""
    print(line, file=sys.stderr, flush=True)


def markdown(figures: Iterable[Figure]) -> str:
    """The table as README quotes it.

    >>> print(markdown([Figure("frames", "10", "≥ 5")]))
    | measured | result | promised |
    |---|---|---|
    | frames | 10 | ≥ 5 |
    """
    rows = [(figure.what, figure.value, figure.promise) for figure in figures]
    return "\n".join(["| measured | result | promised |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)])
