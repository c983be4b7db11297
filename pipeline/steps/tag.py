"""Step 3 of a run: look at batches and commit what was seen, one transaction a batch."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from pipeline.batch import Batch
from pipeline.lake import writer
from pipeline.lake.catalog import Crew, Lake
from pipeline.lake.journal import Journal
from pipeline.model import MediaTags
from pipeline.planning.budget import Purse
from pipeline.steps.decoders import Decoders
from pipeline.steps.desk import Desk
from pipeline.steps.leftovers import is_cancelled, part_of
from pipeline.steps.plan import plans_of, read_batch
from pipeline.steps.reading import Readers
from pipeline.steps.spending import is_spent, open_purse, pay, record_left, record_worked
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Look, Tagger

Watcher = Callable[[MediaTags], None]


def tag_batch(request: dict[str, Any], run_id: str, batch_id: str, crew: Crew = "runs") -> dict[str, int]:
    """Tag one planned batch; a batch that is in the lake already is left alone, so a retry adds nothing, and so is one
    of a run that was cancelled. crew: see lake/catalog.py.

    Returns counts: ok, partial, failed, skipped, frames. Media that can't be read are failed taggings;
    what breaks the batch itself raises, and the next try goes on where this one stopped.
    """
    work = Workplace.of(request)
    lake = work.lake(read_only=False)
    done: list[MediaTags] = []
    with lake.at_work(crew, alone=False):
        is_done = writer.has_batch(lake, run_id, batch_id) or is_cancelled(lake, run_id)
        if not is_done and not is_spent(lake, run_id):
            batch, tagger = read_batch(lake, run_id, batch_id), work.tagger()
            purse = open_purse(work, lake, run_id, plans_of(lake, run_id)[-1], batch_id)
            desk = desk_of(work, lake, run_id, tagger, done.append, purse)
            with work.decoders() as decoders, entered(tagger) as load_s:
                look_at(work, lake, desk, [batch], tagger, decoders, load_s, purse)
    return summary(done)


@contextmanager
def entered(tagger: Tagger) -> Iterator[float]:
    """The tagger open, and the seconds that took: what a batch's size is weighed against."""
    started = time.monotonic()
    with tagger:
        yield time.monotonic() - started


def desk_of(
    work: Workplace, lake: Lake, run_id: str, tagger: Tagger, watch: Watcher, purse: Purse | None = None
) -> Desk:
    """Where the answers of a run come together; `watch` hears of each media object as it ends, and it is paid for."""

    def ended(tagging: MediaTags) -> None:
        if purse:
            pay(purse, tagging)
        watch(tagging)

    return Desk(run_id, work.recipe(tagger), Journal(lake, run_id), ended)


def look_at(
    work: Workplace,
    lake: Lake,
    desk: Desk,
    batches: Iterable[Batch],
    tagger: Tagger,
    decoders: Decoders,
    load_s: float | None = None,
    purse: Purse | None = None,
) -> None:
    """Look at every media object of the batches in one stream, so that the tagger never waits between two of them, and
    commit each batch when it is whole.

    load_s: what loading the tagger took; it stands with the batch that is whole first. purse: what may be spent; media
    for which it doesn't reach are left, and the others of their batch committed as a part. Interrupted, it leaves all
    that was answered in the journal, and what time that took in the lake; killed, all but the last seconds.
    """
    readers, since = Readers(work, batches, desk, tagger, decoders, purse), time.monotonic() - (load_s or 0.0)

    def commit(batch: Batch, batch_id: str, taggings: list[MediaTags]) -> None:
        nonlocal load_s, since
        now = time.monotonic()
        took = {"load_s": load_s, "seconds": now - since}
        writer.commit_batch(lake, desk.run_id, batch_id, taggings, planned=batch, **took)
        load_s, since = None, now
        for tagging in taggings:
            desk.journal.drop(tagging.object.media_id)

    def commit_whole() -> None:
        for batch, taggings in desk.take_whole():
            commit(batch, batch.batch_id, taggings)

    def committing(stream: Iterable[Look]) -> Iterator[Look]:
        for item in stream:
            commit_whole()
            yield item

    try:
        with closing(readers.stream()) as stream, closing(tagger.look(committing(stream))) as answers:
            for answer in answers:
                desk.answered(answer)
        commit_whole()
        if purse and (purse.is_empty or purse.too_dear):
            for batch, taggings in desk.take_rest():
                part_id, part = part_of(lake, desk.run_id, batch.batch_id, taggings)
                if part:
                    commit(batch, part_id, part)
            record_left(lake, desk.run_id, purse)
    except BaseException:
        # what broke it may also hinder these, and matters more
        with suppress(Exception):
            desk.break_off()
        with suppress(Exception):
            record_worked(lake, desk.run_id, time.monotonic() - since)
        raise


def summary(taggings: Iterable[MediaTags]) -> dict[str, int]:
    """Counts of taggings by status, and of frames answered."""
    states: Counter[str] = Counter()
    frames = 0
    for tagging in taggings:
        states[tagging.status] += 1
        frames += len(tagging.frames)
    return {**{status: states[status] for status in ("ok", "partial", "failed", "skipped")}, "frames": frames}
