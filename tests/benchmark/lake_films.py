"""Taggings of films that nobody filmed, as a tag step hands them to the lake: 20 frames each, five labels a frame."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.batch import Batch
from pipeline.model import FrameTags, Label, MediaInfo, MediaObject, MediaTags, Participant, TaggedFrame

FRAMES, LABELS = 20, 5


def film(name: str, number: int, *, run_id: str, batch_id: str) -> MediaTags:
    """One film under the archive's root, as if it had been looked at now. number: decides what is seen in it."""
    return MediaTags(
        tagging_id=uuid.uuid4().hex,
        run_id=run_id,
        batch_id=batch_id,
        recipe_id="recipe-1",
        object=MediaObject(f"s3://archive/{name}", f"etag-{number}", 1_000_000, datetime(2026, 1, 2, tzinfo=UTC)),
        status="ok",
        tagged_at=datetime.now(UTC),
        info=MediaInfo("video", "mp4", "h264", 1920, 1080, float(FRAMES), 25.0),
        decoder="pyav",
        frames=tuple(_frame(number, second) for second in range(FRAMES)),
    )


def planned(looks: Sequence[MediaTags]) -> Batch:
    """The batch that a run planned before it looked so: of new media, in a lake where no other run has committed."""
    return Batch(looks[0].batch_id, looks[0].run_id, tuple(look.object for look in looks))


def _frame(number: int, second: int) -> TaggedFrame:
    seen = number * FRAMES + second
    tags = FrameTags(
        caption=f"Frame {seen % 10_007} of a street with label{seen % 1000}.",
        caption_source="vlm",
        categories=(Label(f"category{seen % 40}", seen % 100 / 100),),
        participants=(Participant(("person", "bicycle", "dog", "car")[seen % 4], "object", seen % 5 + 1, 0.9),),
        tags=(Label(f"label{seen % 1000}", seen % 99 / 100), Label(f"label{(seen * 7 + 1) % 1000}", seen % 98 / 100)),
        rating=(Label("safe", 0.98),),
        prompt_tokens=500,
        completion_tokens=50,
    )
    return TaggedFrame(second + 0.5, second * 25 + 12, tags)
