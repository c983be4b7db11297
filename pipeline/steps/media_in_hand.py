"""One media object in hand: what its reader and the answers have brought together so far."""

from __future__ import annotations

import bisect
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pipeline.errors import CODES, MediaError, describe
from pipeline.model import Frame, MediaInfo, MediaObject, MediaTags, Shot, Subtitle, TaggedFrame, Thumbnail
from pipeline.pictures import Fingerprint, alike
from pipeline.store.base import LocalCopy
from pipeline.taggers.base import Captioned, Film, Summary

KEEP_EVERY_S = 3.0
"""How often the answered frames of a media object in flight are journalled, where that takes no time."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A frame that takes over the answer of the one at `of_s`."""

    of_s: float
    frame_index: int


@dataclass
class MediaInHand:
    """Filled by its reader thread and by the answers, under the desk's lock; finished when both are done."""

    batch_id: str
    object: MediaObject
    answered: dict[float, TaggedFrame]
    """By timestamp_s; begins with what an earlier, killed or partial, look has answered."""
    alike: dict[str, str] = field(default_factory=dict)
    """Content id → the tagging it inherits where it has those bytes."""
    copy: LocalCopy | None = None
    context: str = ""
    info: MediaInfo | None = None
    shots: tuple[Shot, ...] | None = None
    subtitles: tuple[Subtitle, ...] = ()
    frame_budget: int | None = None
    decoder: str | None = None
    decode_s: float = 0.0
    model_s: float = 0.0
    thumbnails: dict[float, Thumbnail] = field(default_factory=dict)
    seen: set[float] = field(default_factory=set)
    """Timestamps this look came to: what else was answered before doesn't belong to it."""
    twins: dict[float, Twin] = field(default_factory=dict)
    looked_at: tuple[float, Fingerprint] | None = None
    """The last frame that was no twin of another."""
    expected: int | None = None
    """Frames that were chosen."""
    waiting: int = 0
    read_to_end: bool = False
    trouble: MediaError | None = None
    refused: MediaError | None = None
    """Of the frames without an answer; a passing cause where there is one, so that the next run asks again."""
    failed_prompt_tokens: int = 0
    failed_completion_tokens: int = 0
    summary: Summary | None = None
    keep_at: float = field(default_factory=lambda: time.monotonic() + KEEP_EVERY_S)
    journalling: threading.Lock = field(default_factory=threading.Lock)
    finished: bool = False

    @property
    def inherits(self) -> str | None:
        """The tagging of another object with the very same bytes, which makes a look at this one needless."""
        return self.alike.get(self.copy.content_id or "") if self.copy else None

    def shot_index(self, timestamp_s: float) -> int | None:
        if not self.shots:
            return None
        return max(0, bisect.bisect_right([shot.start_s for shot in self.shots], timestamp_s) - 1)

    def twin_of(self, frame: Frame, fingerprint: Fingerprint, distance: int) -> Twin | None:
        """The frame last looked at, where it is almost the same and in the same shot; else this one is looked at."""
        if self.looked_at:
            moment, last = self.looked_at
            if self.shot_index(moment) == self.shot_index(frame.timestamp_s) and alike(last, fingerprint, distance):
                return Twin(moment, frame.frame_index)
        self.looked_at = (frame.timestamp_s, fingerprint)
        return None

    def refuse(self, error: MediaError) -> None:
        """Note a frame without an answer."""
        if self.refused is None or CODES[error.code].passing:
            self.refused = error

    def film(self) -> Film | None:
        """What there is to sum up: a video's captions, unless its next look will know better."""
        trouble = self.problem()
        if self.summary or self.info is None or self.info.kind != "video" or (trouble and CODES[trouble.code].passing):
            return None
        captions = tuple(
            Captioned(frame.timestamp_s, frame.tags.caption, frame.tags.completion_tokens)
            for frame in self.frames()
            if frame.tags.caption and frame.reused_from_s is None
        )
        return Film(self.object.media_id, captions, self.info.duration_s, self.context) if captions else None

    def frames(self) -> tuple[TaggedFrame, ...]:
        """The answered frames of this look, ascending in time, those that took an answer over among them."""
        # a look that broke off hasn't come to all that an earlier one answered; one to the end knows what belongs
        moments = set(self.answered) if self.trouble else self.seen & set(self.answered)
        frames = {moment: self.answered[moment] for moment in moments}
        for moment, twin in self.twins.items():
            if original := self.answered.get(twin.of_s):
                frames[moment] = self._reused(moment, twin, original)
        return tuple(frames[moment] for moment in sorted(frames))

    def _reused(self, moment: float, twin: Twin, original: TaggedFrame) -> TaggedFrame:
        return TaggedFrame(
            timestamp_s=moment,
            frame_index=twin.frame_index,
            tags=replace(original.tags, prompt_tokens=0, completion_tokens=0),
            shot_index=self.shot_index(moment),
            reused_from_s=twin.of_s,
        )

    def problem(self) -> MediaError | None:
        """Why it isn't whole, if it isn't: what ended its reading, a frame without an answer, or the file itself."""
        if trouble := self.trouble or self.refused:
            return trouble
        if self.inherits:
            return None
        if self.info and self.info.fault:
            return MediaError(self.info.fault, self.info.fault_detail)
        if not self.frames():
            return MediaError("no_frames")
        if self.summary and self.summary.error_code:
            return MediaError(self.summary.error_code, self.summary.detail)
        return None

    def tagging(self, run_id: str, recipe_id: str) -> MediaTags:
        """What goes into the lake, now that nothing more will come."""
        trouble, frames = self.problem(), self.frames()
        # a file that changed under the reader may have shown anything: nothing of it is kept
        if trouble and trouble.code == "object_changed":
            frames = ()
        return MediaTags(
            tagging_id=uuid.uuid4().hex,
            run_id=run_id,
            batch_id=self.batch_id,
            recipe_id=recipe_id,
            object=self.object,
            status="ok" if trouble is None else "partial" if frames else CODES[trouble.code].status,  # type: ignore[arg-type]
            tagged_at=datetime.now(UTC),
            info=self.info,
            content_id=self.copy.content_id if self.copy else None,
            bytes_read=self.copy.bytes_read if self.copy else 0,
            decoder=self.decoder,
            error_code=trouble.code if trouble else None,
            error=describe(trouble.code, trouble.detail) if trouble else None,
            shots=self.shots,
            subtitles=self.subtitles,
            inherited_from=None if trouble else self.inherits,
            frames=frames,
            frame_budget=self.frame_budget,
            summary=self.summary.text if self.summary else None,
            further_prompt_tokens=self.failed_prompt_tokens + (self.summary.prompt_tokens if self.summary else 0),
            further_completion_tokens=self.failed_completion_tokens
            + (self.summary.completion_tokens if self.summary else 0),
            decode_s=self.decode_s,
            model_s=self.model_s,
        )
