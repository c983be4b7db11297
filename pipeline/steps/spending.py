"""A run with a budget: what it has left, and that it had to stop."""

from __future__ import annotations

import json
from typing import Any

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


def open_purse(work: Workplace, lake: Lake, run_id: str, planned: dict[str, Any]) -> Purse | None:
    """What the run has left, by the batches that it has committed; None where it has no budget.

    planned: the run's plan, whose forecast says what a frame takes.
    """
    budget = budget_of(work)
    if budget is None:
        return None
    price = load_prices(work.settings.prices).of(work.settings.tagger)
    row = lake.transaction(lambda con: con.execute(_TAKEN, [run_id]).fetchone())
    return Purse(budget, price, Took(*(row or ())), Took(**planned["forecast"]["a_frame"]))


_TAKEN = """
SELECT coalesce(sum(seconds), 0), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0)
FROM log.batches
WHERE run_id = ?
"""


def pay(purse: Purse, tagging: MediaTags) -> None:
    """For what one media object took."""
    paid = [frame.tags for frame in tagging.frames if frame.reused_from_s is None]
    purse.pay(
        tagging.object.media_id,
        len(tagging.frames),
        sum(tags.prompt_tokens for tags in paid) + tagging.further_prompt_tokens,
        sum(tags.completion_tokens for tags in paid) + tagging.further_completion_tokens,
    )


def record_spent(lake: Lake, run_id: str, purse: Purse) -> None:
    """Append that the run had to leave something."""
    writer.record_event(lake, run_id, "spent", {"budget": purse.budget.text, "spent": round(purse.spent, 6)})


def had_to_stop(lake: Lake, run_id: str) -> str | None:
    """The budget that the run's last plan came to the end of, as it was given."""
    row = lake.transaction(lambda con: con.execute(_STOPPED, [run_id]).fetchone())
    return str(json.loads(row[0])["budget"]) if row and row[0] else None


_STOPPED = """
SELECT arg_max(detail, happened_at) FILTER (event = 'spent')
FROM log.run_events
WHERE run_id = $1
HAVING max(happened_at) FILTER (event = 'spent') > max(happened_at) FILTER (event IN ('planned', 'resumed'))
"""
