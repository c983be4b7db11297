"""The desk where a batch's answers come together: which media are open, what is missing, how each ended."""

from __future__ import annotations

import bisect
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.errors import CODES, MediaError, describe
from pipeline.lake.journal import Entry, Journal
from pipeline.model import Frame, MediaInfo, MediaObject, MediaTags, Recipe, Shot, TaggedFrame, Thumbnail
from pipeline.store.base import LocalCopy
from pipeline.taggers.base import Answer

KEEP_EVERY_S = 3.0
"""How often the answered frames of a media object in flight are journalled, where that takes no time."""

MOST_OF_THE_TIME = 0.05
"""Share of the time that journalling may take: a film of many frames is written anew each time."""


@dataclass
class OpenMedia:
    """One media object in hand. Filled by its reader thread and by the answers; finished when both are done."""

    object: MediaObject
    answered: dict[float, TaggedFrame]
    """By timestamp_s; begins with what an earlier, killed or partial, look has answered."""
    copy: LocalCopy | None = None
    info: MediaInfo | None = None
    shots: tuple[Shot, ...] | None = None
    decoder: str | None = None
    decode_s: float = 0.0
    model_s: float = 0.0
    thumbnails: dict[float, Thumbnail] = field(default_factory=dict)
    seen: set[float] = field(default_factory=set)
    """Timestamps this look came to: what else was answered before doesn't belong to it."""
    waiting: int = 0
    read_to_end: bool = False
    trouble: MediaError | None = None
    refused: MediaError | None = None
    keep_at: float = field(default_factory=lambda: time.monotonic() + KEEP_EVERY_S)
    journalling: threading.Lock = field(default_factory=threading.Lock)
    finished: bool = False

    def shot_index(self, timestamp_s: float) -> int | None:
        if not self.shots:
            return None
        return max(0, bisect.bisect_right([shot.start_s for shot in self.shots], timestamp_s) - 1)


class Desk:
    """Collects what readers and tagger report and turns each finished media object into a MediaTags.

    Safe to use from several threads. Every finished tagging is journalled before `on_finished` hears of it.
    """

    def __init__(
        self, run_id: str, batch_id: str, recipe: Recipe, journal: Journal, on_finished: Callable[[MediaTags], None]
    ) -> None:
        self.finished: list[MediaTags] = []
        self._run_id, self._batch_id, self._recipe = run_id, batch_id, recipe
        self._journal, self._on_finished = journal, on_finished
        self._open: dict[str, OpenMedia] = {}
        self._lock = threading.Lock()

    def open(self, media: MediaObject, answered: Iterable[TaggedFrame]) -> OpenMedia | None:
        """Take a media object in hand; None where an earlier try of this very batch has finished it."""
        entry = self._journal.find(media.media_id)
        if entry and (entry.etag, entry.recipe_id) == (media.etag, self._recipe.recipe_id):
            if entry.finished and (entry.finished.run_id, entry.finished.batch_id) == (self._run_id, self._batch_id):
                self._done(entry.finished)
                return None
            answered = [*answered, *entry.frames]
        opened = OpenMedia(media, {frame.timestamp_s: frame for frame in answered})
        with self._lock:
            self._open[media.media_id] = opened
        return opened

    def wants(self, opened: OpenMedia, frame: Frame, thumbnail: Thumbnail | None) -> bool:
        """Note a decoded frame; False where it is answered already."""
        with self._lock:
            opened.seen.add(frame.timestamp_s)
            if frame.timestamp_s in opened.answered:
                return False
            if thumbnail:
                opened.thumbnails[frame.timestamp_s] = thumbnail
            opened.waiting += 1
            return True

    def answered(self, answer: Answer) -> None:
        """Note the tagger's answer to one frame."""
        frame = answer.frame
        with self._lock:
            opened = self._open[frame.media_id]
            opened.waiting -= 1
            opened.model_s += answer.model_s
            thumbnail = opened.thumbnails.pop(frame.timestamp_s, None)
            if answer.tags is None:
                opened.refused = MediaError(answer.error_code or "tagger_refused", answer.detail)
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
            self._finish(opened)
        elif time.monotonic() > opened.keep_at:
            self._keep(opened)

    def read_to_end(self, opened: OpenMedia, trouble: MediaError | None = None) -> None:
        """Note that no more frames will come, and why where that is not the end of the file."""
        with self._lock:
            opened.trouble = trouble
            opened.read_to_end = True
            ended = opened.waiting == 0
        if ended:
            self._finish(opened)

    def _keep(self, opened: OpenMedia) -> None:
        with self._lock:
            frames = tuple(opened.answered.values())
        media, started = opened.object, time.monotonic()
        with opened.journalling:
            if opened.finished:  # by its reader, just now
                return
            self._journal.keep(Entry(media.media_id, media.etag, self._recipe.recipe_id, frames))
        took_s = time.monotonic() - started
        opened.keep_at = time.monotonic() + max(KEEP_EVERY_S, took_s / MOST_OF_THE_TIME)

    def _finish(self, opened: OpenMedia) -> None:
        with self._lock:
            del self._open[opened.object.media_id]
        tagging = self._tagging(opened)
        media = opened.object
        with opened.journalling:
            opened.finished = True
            self._journal.keep(Entry(media.media_id, media.etag, tagging.recipe_id, tagging.frames, tagging))
        self._done(tagging)

    def _done(self, tagging: MediaTags) -> None:
        with self._lock:
            self.finished.append(tagging)
        self._on_finished(tagging)

    def _tagging(self, opened: OpenMedia) -> MediaTags:
        trouble = opened.trouble or opened.refused
        # a look that broke off hasn't come to all that an earlier one answered; one to the end knows what belongs
        moments = set(opened.answered) if opened.trouble else opened.seen & set(opened.answered)
        frames = tuple(opened.answered[moment] for moment in sorted(moments))
        if trouble is None and opened.info and opened.info.fault:
            trouble = MediaError(opened.info.fault, opened.info.fault_detail)
        if trouble is None and not frames:
            trouble = MediaError("no_frames")
        # a file that changed under the reader may have shown anything: nothing of it is kept
        if trouble and trouble.code == "object_changed":
            frames = ()
        return MediaTags(
            tagging_id=uuid.uuid4().hex,
            run_id=self._run_id,
            batch_id=self._batch_id,
            recipe_id=self._recipe.recipe_id,
            object=opened.object,
            status="ok" if trouble is None else "partial" if frames else CODES[trouble.code].status,  # type: ignore[arg-type]
            tagged_at=datetime.now(UTC),
            info=opened.info,
            content_id=opened.copy.content_id if opened.copy else None,
            bytes_read=opened.copy.bytes_read if opened.copy else 0,
            decoder=opened.decoder,
            error_code=trouble.code if trouble else None,
            error=describe(trouble.code, trouble.detail) if trouble else None,
            shots=opened.shots,
            frames=frames,
            decode_s=opened.decode_s,
            model_s=opened.model_s,
        )
