"""What a request wishes for, in the words of the planner."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict

from pipeline import decode
from pipeline.planning.wish import Inventoried, Wish
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Tagger
from pipeline.taggers.budget import frame_budget

_LONGEST_S = 1e9


def wish_of(
    work: Workplace, tagger: Tagger, refused: Set[int] = frozenset(), inventoried: Inventoried | None = None
) -> Wish:
    """What the request asks for. refused: numbers of sources that couldn't be listed: nothing of them is gone.

    inventoried: of which objects an inventory told, and how old it is.
    """
    settings = work.settings
    # what the archive says of an object is part of a model's question, and may differ where the bytes don't
    has_context = tagger.summarises and (settings.context_metadata or settings.context_sidecar)
    return Wish(
        work.recipe(tagger),
        tuple(source for number, source in enumerate(work.sources) if number not in refused),
        tuple(decode.installed()),
        retag=settings.retag,
        sample=settings.sample,
        retry_failed=settings.retry_failed,
        limit=settings.limit,
        exact=settings.callers_urls,
        inherit=not has_context,
        only=settings.only,
        kinds=settings.media_kinds,
        modified_since=settings.modified_since,
        modified_before=settings.modified_before,
        inventoried=inventoried,
    )


def most_frames(work: Workplace, tagger: Tagger) -> int | None:
    """How many frames of the longest video are looked at, None: all. Raises TaggerError where a model can't be asked.

    A model's context may hold less than the settings allow.
    """
    limit, budget = work.settings.max_frames, tagger.budget()
    return frame_budget(_LONGEST_S, None, limit, **asdict(budget)) if budget else limit
