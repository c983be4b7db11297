"""What a request wishes for, in the words of the planner."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict

from pipeline import decode
from pipeline.planning.compare import Wish
from pipeline.recipe import Recipe
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Tagger
from pipeline.taggers.budget import frame_budget

_LONGEST_S = 1e9


def wish_of(work: Workplace, recipe: Recipe, refused: Set[int] = frozenset()) -> Wish:
    """What the request asks for. refused: numbers of sources that couldn't be listed: nothing of them is gone."""
    settings = work.settings
    return Wish(
        recipe,
        tuple(source for number, source in enumerate(work.sources) if number not in refused),
        tuple(decode.installed()),
        retag=settings.retag,
        retry_failed=settings.retry_failed,
        limit=settings.limit,
        exact=settings.callers_urls,
    )


def most_frames(work: Workplace, tagger: Tagger) -> int | None:
    """How many frames of the longest video are looked at, None: all. Raises TaggerError where a model can't be asked.

    A model's context may hold less than the settings allow.
    """
    limit, budget = work.settings.max_frames, tagger.budget()
    return frame_budget(_LONGEST_S, None, limit, **asdict(budget)) if budget else limit
