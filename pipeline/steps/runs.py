"""The runs of a lake."""

from __future__ import annotations

from typing import Any

from pipeline.steps.workplace import Workplace

_SHORT = (
    "run_id, concat(state, ', until ' || strftime(eta, '%m-%d %H:%M')) AS state, "
    "strftime(started_at, '%Y-%m-%d %H:%M') AS started, round(seconds, 1) AS seconds, tagger, "
    "listed, new, changed, gone, "
    "concat(media_done, '/', coalesce(media_planned, 0), ', ' || round(100 * progress)::INTEGER || ' %') AS tagged, "
    "ok, partial, failed, skipped, frames"
)


def list_runs(request: dict[str, Any], *, short: bool) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of the view `runs`, newest first; `short`: what fits a terminal."""
    with Workplace.of(request).lake() as lake:
        answer = lake.con.execute(f"SELECT {_SHORT if short else '*'} FROM runs ORDER BY started_at DESC")
        return [column[0] for column in answer.description or ()], answer.fetchall()
