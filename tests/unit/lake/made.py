"""Taggings as a tag step would hand them over, for tests that need no media."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.errors import describe
from pipeline.model import (
    FrameTags,
    Label,
    MediaInfo,
    MediaObject,
    MediaTags,
    Participant,
    Shot,
    Subtitle,
    TaggedFrame,
    Thumbnail,
)
from pipeline.recipe import Recipe

RECIPE = Recipe("builtin")
OTHER_RECIPE = Recipe("builtin", max_frames=7)


def media(name: str = "a.mp4", etag: str = "1", size: int = 100) -> MediaObject:
    return MediaObject(f"/archive/{name}", etag, size, datetime(2026, 1, 2, tzinfo=UTC))


def frame(timestamp_s: float) -> TaggedFrame:
    tags = FrameTags(
        caption="1 person.",
        caption_source="template",
        categories=(Label("people", 0.9),),
        participants=(Participant("person", "person", 1, 0.9),),
        scene=(),
        tags=(Label("person", 0.9), Label("hat")),
        rating=(Label("safe", 0.98),),
        prompt_tokens=500,
        completion_tokens=40,
    )
    return TaggedFrame(timestamp_s, round(timestamp_s * 25), tags, 0, Thumbnail(b"\xffRIFF\x00", 4, 3))


def reused(timestamp_s: float, from_s: float) -> TaggedFrame:
    """A frame so like an earlier one that it took its answer over."""
    return replace(frame(timestamp_s), reused_from_s=from_s)


TRACKS = {"rotation": 90, "hdr": "hlg", "audio_languages": ("eng", "und"), "subtitle_languages": ("eng", "ger")}
"""What a film says beside its pictures."""

SAID = (
    Subtitle(0.2, 1.5, "Look, a bicycle!", "eng", 0),
    Subtitle(0.2, 1.5, "Schau, ein Fahrrad!", "ger", 1),
    Subtitle(61.0, None, "Where?", "eng", 0),
)


def tagging(
    of: MediaObject | None = None,
    *,
    status: str = "ok",
    code: str | None = None,
    recipe: Recipe = RECIPE,
    run_id: str = "run-1",
    batch_id: str = "000000",
    decoder: str = "pyav 18.1.0",
    frames: int = 2,
) -> MediaTags:
    good = status in ("ok", "partial")
    return MediaTags(
        tagging_id=uuid.uuid4().hex,
        run_id=run_id,
        batch_id=batch_id,
        recipe_id=recipe.recipe_id,
        object=of or media(),
        status=status,
        tagged_at=datetime.now(UTC),
        info=MediaInfo("video", "mp4", "h264", 640, 360, 2.0, 25.0) if good else None,
        decoder=decoder,
        error_code=code,
        error=describe(code) if code else None,
        shots=(Shot(0, 2),) if good else None,
        frames=tuple(frame(float(second)) for second in range(frames)) if good else (),
    )
