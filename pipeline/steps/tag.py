"""Step 3 of a run: look at a batch and commit what was seen in one transaction."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.lake.journal import Journal
from pipeline.model import Batch, MediaTags
from pipeline.steps.desk import Desk
from pipeline.steps.plan import read_batch
from pipeline.steps.reading import Readers
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Tagger

Watcher = Callable[[MediaTags], None]


def tag_batch(request: dict[str, Any], run_id: str, batch_id: str) -> dict[str, int]:
    """Tag one planned batch; a batch that is in the lake already is left alone, so a retry adds nothing.

    Returns counts: ok, partial, failed, skipped, frames. Media that can't be read are failed taggings;
    what breaks the batch itself raises, and the next try goes on where this one stopped.
    """
    work = Workplace.of(request)
    lake = work.lake(read_only=False)
    with lake.at_work(alone=False):
        if writer.has_batch(lake, run_id, batch_id):
            return summary([])
        batch, tagger = read_batch(lake, run_id, batch_id), work.tagger()
        with entered(tagger) as load_s:
            return summary(look_at(work, lake, batch, tagger, load_s=load_s))


@contextmanager
def entered(tagger: Tagger) -> Iterator[float]:
    """The tagger open, and the seconds that took: what a batch's size is weighed against."""
    started = time.monotonic()
    with tagger:
        yield time.monotonic() - started


def look_at(
    work: Workplace,
    lake: Lake,
    batch: Batch,
    tagger: Tagger,
    watch: Watcher = lambda _: None,
    *,
    load_s: float | None = None,
) -> list[MediaTags]:
    """Look at every media object of the batch and commit what was seen; `watch` hears of each as it ends.

    load_s: what loading the tagger took, where it was loaded for this batch. Interrupted, it leaves all that was
    answered in the journal; killed, all but the last seconds.
    """
    journal = Journal(lake, batch.run_id)
    desk = Desk(batch.run_id, batch.batch_id, work.recipe(tagger), journal, watch)
    readers = Readers(work, batch, desk, tagger)
    try:
        with closing(readers.stream()) as stream, closing(tagger.look(stream)) as answers:
            for answer in answers:
                desk.answered(answer)
    except BaseException:
        with suppress(Exception):  # what broke it may also hinder this, and matters more
            desk.break_off()
        raise
    writer.commit_batch(lake, batch.run_id, batch.batch_id, desk.finished, load_s=load_s)
    for media in batch.objects:
        journal.drop(media.media_id)
    return desk.finished


def summary(taggings: Iterable[MediaTags]) -> dict[str, int]:
    """Counts of taggings by status, and of frames answered."""
    states: Counter[str] = Counter()
    frames = 0
    for tagging in taggings:
        states[tagging.status] += 1
        frames += len(tagging.frames)
    return {**{status: states[status] for status in ("ok", "partial", "failed", "skipped")}, "frames": frames}
