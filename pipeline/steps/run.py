"""A whole run in one process: what `shotlog tag` does, and what Airflow spreads over tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from pipeline.batch import Batch
from pipeline.lake.catalog import Lake
from pipeline.model import MediaTags
from pipeline.steps.decoders import Decoders
from pipeline.steps.leftovers import commit_finished
from pipeline.steps.listing import begin_run, check_sources, make_run_id, write_listing
from pipeline.steps.plan import plan, read_batch
from pipeline.steps.publish import end_run, freeze, told_of
from pipeline.steps.spending import budget_of, open_purse
from pipeline.steps.tag import desk_of, entered, look_at
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Tagger


class Watcher(Protocol):
    """Hears how the run goes on; the command line shows it."""

    def waiting(self) -> None:
        """Another run holds the lake."""

    def listed(self, count: int) -> None:
        """So many objects are listed so far."""

    def planned(self, counts: dict[str, Any]) -> None:
        """The plan is made; `media` of it are to do."""

    def tagged(self, tagging: MediaTags) -> None:
        """One media object has ended."""


def tag(request: dict[str, Any], watch: Watcher) -> dict[str, Any]:
    """List, plan, tag and publish. Returns the run's summary: see steps/publish.py.

    A KeyboardInterrupt commits what is finished, records the run as interrupted, and goes on to the caller; what
    else breaks the run is recorded with it.
    """
    work = Workplace.of(request)
    check_sources(work)
    budget_of(work)
    tagger = work.tagger()
    lake = work.lake(create=True, read_only=False)
    run_id = make_run_id(None)
    with lake, lake.at_work(alone=True, waiting=watch.waiting), work.decoders() as decoders:
        begin_run(work, lake, run_id)
        with told_of(work, lake, run_id, keep=lambda: commit_finished(lake, run_id)):
            listed = write_listing(work, lake, run_id, watch.listed)
            if _is_new(lake):  # else there may be nothing to do, and most often is
                decoders.start(listed)  # while the plan is made
            planned = plan(work, lake, run_id)
            decoders.start(planned["media"])
            watch.planned(planned)
            if planned["batches"]:
                batches = (read_batch(lake, run_id, batch_id) for batch_id in planned["batches"])
                tag_batches(work, lake, run_id, planned, batches, tagger, decoders, watch)
        summary = end_run(lake, run_id)
        freeze(work, lake, run_id)
        return summary


def _is_new(lake: Lake) -> bool:
    return not lake.read(lambda con: con.execute("FROM log.taggings LIMIT 1").fetchone())


def tag_batches(
    work: Workplace,
    lake: Lake,
    run_id: str,
    planned: dict[str, Any],
    batches: Iterable[Batch],
    tagger: Tagger,
    decoders: Decoders,
    watch: Watcher,
) -> None:
    """Look at batches of a plan and commit each."""
    purse = open_purse(work, lake, run_id, planned)
    desk = desk_of(work, lake, run_id, tagger, watch.tagged, purse)
    with entered(tagger) as load_s:
        look_at(work, lake, desk, batches, tagger, decoders, load_s, purse)
