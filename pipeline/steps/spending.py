"""A run with a budget: what it has left, and that it had to stop."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import duckdb

from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.model import MediaTags
from pipeline.planning.budget import Budget, Purse, Took, parse_budget
from pipeline.planning.prices import load_prices
from pipeline.steps.workplace import Workplace


def budget_of(work: Workplace) -> Budget | None:
    """Raises UsageError for a budget, or a table of prices, that can't be meant."""
    prices = load_prices(work.settings.prices)
    return parse_budget(work.settings.budget, prices.currency) if work.settings.budget else None


def open_purse(
    work: Workplace, lake: Lake, run_id: str, planned: dict[str, Any], batch_id: str | None = None
) -> Purse | None:
    """What the run has left, by the batches that it has committed; None where it has no budget.

    planned: the run's plan, whose forecast says what a frame takes. batch_id: of a task beside others that spend the
    same budget; None: nobody else does.
    """
    budget = budget_of(work)
    if budget is None:
        return None
    price = load_prices(work.settings.prices).of(work.settings.tagger)
    a_frame = Took(**planned["forecast"]["a_frame"])
    before = lake.transaction(lambda con: _taken(con, run_id))
    if batch_id is None:
        return Purse(budget, price, before, a_frame)

    mine = 0.0

    def share(needed: float) -> float:
        """At least as much, or nothing; and while there is plenty, so much that nobody asks often."""
        nonlocal mine

        def promise(con: duckdb.DuckDBPyConnection) -> float:
            (of_others,) = con.execute(_PROMISED, [run_id, batch_id]).fetchone() or (0.0,)
            left = budget.limit - budget.spent(price, **asdict(_taken(con, run_id))) - of_others - mine
            amount = max(needed, left / _SHARES)
            if amount > left:
                return 0.0
            writer.add_event(con, run_id, "promised", {"batch": batch_id, "amount": amount})
            return amount

        promised = lake.transaction(promise)
        mine += promised
        return promised

    return Purse(budget, price, before, a_frame, share)


_SHARES = 8

_PROMISED = """
WITH ended AS (
    SELECT regexp_replace(batch, '-part.*', '') AS batch, max(committed_at) AS ended_at
    FROM log.batches
    WHERE run_id = $1
    GROUP BY ALL
)

SELECT coalesce(sum((detail->>'$.amount')::DOUBLE), 0)
FROM log.run_events
LEFT JOIN ended ON ended.batch = (detail->>'$.batch')
WHERE run_id = $1 AND event = 'promised' AND (detail->>'$.batch') <> $2 AND (ended_at IS NULL OR happened_at > ended_at)
"""
"""To other batches that aren't committed yet; what an earlier try of this one was promised is its own."""


def _taken(con: duckdb.DuckDBPyConnection, run_id: str) -> Took:
    return Took(*(con.execute(_TAKEN, [run_id]).fetchone() or ()))


_TAKEN = """
WITH worked AS (
    SELECT coalesce(sum((detail ->> 'seconds')::DOUBLE), 0) AS seconds
    FROM log.run_events
    WHERE run_id = $1 AND event = 'worked'
)

SELECT
    coalesce(sum(batches.seconds), 0) + any_value(worked.seconds),
    coalesce(sum(prompt_tokens), 0),
    coalesce(sum(completion_tokens), 0)
FROM worked
LEFT JOIN log.batches ON run_id = $1
"""


def pay(purse: Purse, tagging: MediaTags) -> None:
    """For what one media object took."""
    asked = [frame.tags for frame in tagging.frames if frame.reused_from_s is None]
    # what an earlier look answered took nothing now, and a frame without an answer took tokens all the same
    is_typical = tagging.status == "ok" and all(tags.prompt_tokens for tags in asked)
    purse.pay(
        tagging.object.media_id,
        len(tagging.frames) if is_typical else 0,
        sum(tags.prompt_tokens for tags in asked) + tagging.further_prompt_tokens,
        sum(tags.completion_tokens for tags in asked) + tagging.further_completion_tokens,
    )


def record_worked(lake: Lake, run_id: str, seconds: float) -> None:
    """Append how long was worked on what wasn't committed: it was paid for all the same."""
    writer.record_event(lake, run_id, "worked", {"seconds": seconds})


def record_left(lake: Lake, run_id: str, purse: Purse) -> None:
    """Append that the run had to leave something, and why."""
    told = {"budget": purse.budget.text}
    if purse.is_empty:
        writer.record_event(lake, run_id, "spent", {**told, "spent": round(purse.spent, 6)})
    if purse.too_dear:
        writer.record_event(lake, run_id, "too_dear", {**told, "media": purse.too_dear})


def is_spent(lake: Lake, run_id: str) -> bool:
    """Whether the run came to the end of its budget since it was planned, a backfill since it was begun or resumed."""
    return bool(_left(lake, run_id, "spent"))


def too_dear(lake: Lake, run_id: str) -> dict[str, str]:
    """media_id → URI of what took more than the whole budget since then."""
    return {media_id: uri for told in _left(lake, run_id, "too_dear") for media_id, uri in told["media"].items()}


def why_stopped(lake: Lake, run_id: str) -> str | None:
    """A sentence on why the run had to leave something for want of budget since then; None where it hadn't to."""
    if spent := _left(lake, run_id, "spent"):
        return f"the budget of {spent[-1]['budget']} is spent"
    if dear := _left(lake, run_id, "too_dear"):
        first, *more = sorted(too_dear(lake, run_id).values())
        what = f"'{first}' and {len(more)} more take" if more else f"'{first}' takes"
        return f"{what} more than the whole budget of {dear[-1]['budget']}"
    return None


def _left(lake: Lake, run_id: str, event: str) -> list[dict[str, Any]]:
    rows = lake.transaction(lambda con: con.execute(_LEFT, [run_id, event]).fetchall())
    return [json.loads(detail) for (detail,) in rows]


_LEFT = """
SELECT detail
FROM log.run_events
WHERE run_id = $1 AND event = $2 AND happened_at > (
    SELECT max(happened_at)
    FROM log.run_events
    JOIN log.runs USING (run_id)
    -- pieces of a backfill share the budget that it was resumed with
    WHERE run_id = $1 AND (event = 'resumed' OR (event = 'planned' AND kind <> 'backfill'))
) IS NOT false
ORDER BY happened_at
"""
