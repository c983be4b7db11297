"""What one image shows, for who waits for the answer. Its frame goes into the batch that the tagger works on next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pipeline.errors import MediaError
from pipeline.model import Frame, FrameTags, MediaObject, MediaTags, TaggedFrame, Thumbnail
from pipeline.pictures import shrunk, thumbnail
from pipeline.planning.listing import VIDEO_SUFFIXES
from pipeline.recipe import Recipe
from pipeline.steps.footage import Footage
from pipeline.steps.media_in_hand import MediaInHand
from pipeline.steps.service import Fetched, Service
from pipeline.taggers.base import Answer


@dataclass(frozen=True, slots=True)
class Seen:
    """An image that was looked at. tagging: what the lake would keep of it. recipe: how it was looked at."""

    tags: FrameTags
    tagging: MediaTags
    recipe: Recipe


def is_video_by_name(url: str) -> bool:
    """Whether a URL says that it is a video's: then nobody needs to wait until that is seen."""
    try:
        return PurePosixPath(urlsplit(url).path).suffix.lower() in VIDEO_SUFFIXES
    except ValueError:
        return False


def look_at_image(service: Service, url: str, model: str, kinds: tuple[str, ...], run_id: str) -> Seen | None:
    """What the image at a stranger's URL shows; None where it is a video. Takes a thread until the tagger has answered.

    Raises MediaError for what can't be fetched, decoded or answered; UsageError for a URL that nobody may name.
    """
    tagger = service.taggers.of(model, kinds)
    with service.fetched(url) as fetched:
        opened = MediaInHand("", _as_stored(fetched), {})
        service.watch(fetched.media.size_bytes)
        frame = _decoded(service, fetched, opened, tagger.identity.max_pixels or service.settings.max_pixels)
    if frame is None:
        return None
    picture: Thumbnail | None = None

    def stream() -> Iterator[Frame]:
        nonlocal picture
        yield frame
        if tagger.looks and service.settings.thumbnails:  # made while the tagger looks
            picture = thumbnail(frame.image, width_px=service.settings.thumbnail_px)

    (answer,) = tagger.look(stream(), first=True)
    assert isinstance(answer, Answer)
    if answer.tags is None:
        raise MediaError(answer.error_code or "tagger_refused", answer.detail)
    opened.answered[0.0] = TaggedFrame(0.0, 0, answer.tags, thumbnail=picture)
    opened.seen.add(0.0)
    opened.model_s = answer.model_s
    recipe = service.taggers.work_of(model, kinds).recipe(tagger)
    return Seen(answer.tags, opened.tagging(run_id, recipe.recipe_id), recipe)


def _as_stored(fetched: Fetched) -> MediaObject:
    media = fetched.media
    return media if media.uri == fetched.stored_uri else MediaObject(fetched.stored_uri, "", media.size_bytes)


def _decoded(service: Service, fetched: Fetched, opened: MediaInHand, max_pixels: int) -> Frame | None:
    """The image as a frame of at most so many pixels; None for a video. No decoder is taken before it is fetched."""
    began = time.monotonic()
    with (
        Footage(service.settings, fetched.store, fetched.media, fetched.folder, service.watch) as footage,
        service.decoders.lend() as child,
    ):
        footage.open(child)
        opened.copy, opened.info = footage.copy, footage.probe()
        if opened.info.kind == "video":
            return None
        (frame,) = footage.frames(opened.info, None, footage.targets(opened.info, None, 1))
        opened.copy, opened.decoder = footage.copy, child.decoder
        opened.decode_s = time.monotonic() - began
        # here, so that no more large pictures are in memory than there are decoders
        return replace(frame, media_id=opened.object.media_id, image=shrunk(frame.image, max_pixels))
