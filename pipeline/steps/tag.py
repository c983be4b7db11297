"""Step 3 of a run: look at a batch and commit what was seen in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
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
        with work.tagger() as tagger:
            return summary(look_at(work, lake, read_batch(lake, run_id, batch_id), tagger))


def look_at(
    work: Workplace, lake: Lake, batch: Batch, tagger: Tagger, watch: Watcher = lambda _: None
) -> list[MediaTags]:
    """Look at every media object of the batch and commit what was seen; `watch` hears of each as it ends.

    Interrupted or killed, it leaves what was finished in the journal.
    """
    journal = Journal(lake, batch.run_id)
    desk = Desk(batch.run_id, batch.batch_id, work.recipe(tagger), journal, watch)
    readers = Readers(work, batch, desk, evidence=tagger.looks)
    with closing(readers.frames()) as frames:
        for answer in tagger.look(frames):
            desk.answered(answer)
    writer.commit_batch(lake, batch.run_id, batch.batch_id, desk.finished)
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
