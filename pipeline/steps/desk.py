"""The desk where answers come together: which media are open, what is missing, how each ended, which batch is whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipeline.batch import Batch
from pipeline.errors import MediaError, passing_codes
from pipeline.lake.journal import Entry, Journal
from pipeline.model import Frame, MediaObject, MediaTags, TaggedFrame, Thumbnail
from pipeline.recipe import Recipe
from pipeline.steps.media_in_hand import KEEP_EVERY_S, MediaInHand, Twin
from pipeline.taggers.base import Answer, Film, Summary

MOST_OF_THE_TIME = 0.05
"""Share of the time that journalling may take: a film of many frames is written anew each time."""


@dataclass(frozen=True, slots=True)
class SoFar:
    """What is known of one media object in hand. taken_over: frames that take another's answer. expected: frames that
    were chosen, None before they are."""

    media: MediaObject
    frames: tuple[TaggedFrame, ...]
    taken_over: int
    expected: int | None


class Desk:
    """Collects what readers and tagger report and turns each finished media object into a MediaTags.

    Safe to use from several threads. Every finished tagging is journalled before `on_finished` hears of it.
    sum_up: takes a film whose summary `answered` will get; None where nobody sums films up.
    """

    def __init__(self, run_id: str, recipe: Recipe, journal: Journal, on_finished: Callable[[MediaTags], None]) -> None:
        self.run_id, self._recipe = run_id, recipe
        self._batches: dict[str, tuple[Batch, list[MediaTags]]] = {}
        self.journal, self._on_finished = journal, on_finished
        self.sum_up: Callable[[Film], None] | None = None
        self._open: dict[str, MediaInHand] = {}
        self._lock = threading.Lock()

    def begin(self, batch: Batch) -> None:
        """Expect the batch's media."""
        with self._lock:
            self._batches[batch.batch_id] = batch, []

    def take_whole(self) -> list[tuple[Batch, list[MediaTags]]]:
        """Batches whose media have all ended since, with their taggings and those of copies: the desk forgets them."""
        with self._lock:
            whole = [each for each in self._batches.values() if len(each[0].objects) == len(each[1])]
            for batch, _ in whole:
                del self._batches[batch.batch_id]
        return [(batch, [*taggings, *self._inherited(batch, taggings)]) for batch, taggings in whole]

    def _inherited(self, batch: Batch, taggings: Iterable[MediaTags]) -> Iterator[MediaTags]:
        """What the copies of a batch get: the rows of their originals, or the failure that their bytes cause."""
        by_media = {tagging.object.media_id: tagging for tagging in taggings} if batch.copies else {}
        for media, original_id in batch.copies:
            original = by_media.get(original_id)
            # what hindered the look at one, and not its bytes, says nothing of the other: that one is left to be done
            if original and not (original.status == "failed" and original.error_code in passing_codes()):
                copy = original.for_copy(media)
                self._on_finished(copy)
                yield copy

    def open(self, batch_id: str, media: MediaObject, answered: Iterable[TaggedFrame]) -> MediaInHand | None:
        """Take a media object in hand; None where an earlier try of this very batch has finished it."""
        entry = self.journal.find(media.media_id)
        if entry and (entry.etag, entry.recipe_id) == (media.etag, self._recipe.recipe_id):
            if entry.finished and (entry.finished.run_id, entry.finished.batch_id) == (self.run_id, batch_id):
                self._done(entry.finished)
                return None
            answered = [*answered, *entry.frames]
        opened = MediaInHand(batch_id, media, {frame.timestamp_s: frame for frame in answered})
        with self._lock:
            self._open[media.media_id] = opened
        return opened

    def wants(self, opened: MediaInHand, frame: Frame, thumbnail: Thumbnail | None) -> bool:
        """Note a decoded frame; False where it is answered already."""
        with self._lock:
            opened.seen.add(frame.timestamp_s)
            if frame.timestamp_s in opened.answered:
                return False
            if thumbnail:
                opened.thumbnails[frame.timestamp_s] = thumbnail
            opened.waiting += 1
            return True

    def take_over(self, opened: MediaInHand, frame: Frame, twin: Twin) -> None:
        """Note a frame that isn't looked at, since it is almost the same as another."""
        with self._lock:
            opened.twins[frame.timestamp_s] = twin

    def so_far(self) -> list[SoFar]:
        """What is known of the media in hand."""
        with self._lock:
            return [SoFar(o.object, tuple(o.answered.values()), len(o.twins), o.expected) for o in self._open.values()]

    def is_clear(self) -> bool:
        """Whether no media object is in hand."""
        with self._lock:
            return not self._open

    def put_back(self, opened: MediaInHand) -> None:
        """Nobody looks at it any more in this run; what an earlier look answered stays in the journal."""
        with self._lock:
            del self._open[opened.object.media_id]

    def take_rest(self) -> list[tuple[Batch, list[MediaTags]]]:
        """Batches of which some media were put back, with what the others got: the desk forgets them."""
        with self._lock:
            rest, self._batches = [each for each in self._batches.values() if each[1]], {}
        return [(batch, [*taggings, *self._inherited(batch, taggings)]) for batch, taggings in rest]

    def answered(self, answer: Answer | Summary) -> None:
        """Note the tagger's answer to one frame, or its summary of one film."""
        if isinstance(answer, Summary):
            return self._summed_up(answer)
        frame = answer.frame
        with self._lock:
            opened = self._open[frame.media_id]
            opened.waiting -= 1
            opened.model_s += answer.model_s
            thumbnail = opened.thumbnails.pop(frame.timestamp_s, None)
            if answer.tags is None:
                opened.refuse(MediaError(answer.error_code or "tagger_refused", answer.detail))
                opened.failed_prompt_tokens += answer.prompt_tokens
                opened.failed_completion_tokens += answer.completion_tokens
            else:
                opened.answered[frame.timestamp_s] = TaggedFrame(
                    timestamp_s=frame.timestamp_s,
                    frame_index=frame.frame_index,
                    tags=answer.tags,
                    shot_index=opened.shot_index(frame.timestamp_s),
                    thumbnail=thumbnail,
                )
            ended = opened.read_to_end and opened.waiting == 0
        if ended:
            self._end(opened)
        elif time.monotonic() > opened.keep_at:
            self._keep(opened)
        return None

    def _summed_up(self, summary: Summary) -> None:
        with self._lock:
            opened = self._open[summary.film.media_id]
            opened.summary = summary
            opened.model_s += summary.model_s
        self._finish(opened)

    def read_to_end(self, opened: MediaInHand, trouble: MediaError | None = None) -> None:
        """Note that no more frames will come, and why where that is not the end of the file."""
        with self._lock:
            opened.trouble = trouble
            opened.read_to_end = True
            ended = opened.waiting == 0
        if ended:
            self._end(opened)

    def _end(self, opened: MediaInHand) -> None:
        """Every frame is answered: what is left is the summary, where there is one."""
        film = opened.film() if self.sum_up else None
        if self.sum_up and film:
            self._keep(opened)  # the summary comes after whatever waits already
            self.sum_up(film)
        else:
            self._finish(opened)

    def break_off(self) -> None:
        """Journal what is answered of every media object in hand: no more answers will come to this look."""
        with self._lock:
            begun = [opened for opened in self._open.values() if opened.answered]
        for opened in begun:
            self._keep(opened)

    def _keep(self, opened: MediaInHand) -> None:
        with self._lock:
            frames = tuple(opened.answered.values())
        media, started = opened.object, time.monotonic()
        with opened.journalling:
            if opened.finished:  # by its reader, just now
                return
            self.journal.keep(Entry(media.media_id, media.etag, self._recipe.recipe_id, frames))
        took_s = time.monotonic() - started
        opened.keep_at = time.monotonic() + max(KEEP_EVERY_S, took_s / MOST_OF_THE_TIME)

    def _finish(self, opened: MediaInHand) -> None:
        tagging = opened.tagging(self.run_id, self._recipe.recipe_id)
        media = opened.object
        with opened.journalling:
            opened.finished = True
            self.journal.keep(Entry(media.media_id, media.etag, tagging.recipe_id, tagging.frames, tagging))
        with self._lock:  # first: nobody is to count it twice
            del self._open[media.media_id]
        self._done(tagging)

    def _done(self, tagging: MediaTags) -> None:
        with self._lock:
            self._batches[tagging.batch_id][1].append(tagging)
        self._on_finished(tagging)
