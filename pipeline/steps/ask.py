"""Ask a vision-language model about images and videos; nothing is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import context
from pipeline.decode.worker import DecodeChild
from pipeline.errors import MediaError, StoreError, TaggerError, UsageError
from pipeline.model import Frame, MediaObject, timecode
from pipeline.pictures import shrunk
from pipeline.planning.listing import kind_of
from pipeline.steps.decoders import Decoders
from pipeline.steps.footage import Footage
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Question, Tagger

PIXELS_A_TOKEN = 28 * 28
"""What a token of a picture stands for in the Qwen-VL family; others take fewer tokens for a picture, not more."""

MAX_MEDIA = 100
"""More media objects than this are a mistake, not a question."""

Moment = tuple[str, str | None, Frame]
Watch = Callable[[str, str | None], None]


def ask(
    request: dict[str, Any], question: str, *, system: str | None = None, watch: Watch = lambda _name, _moment: None
) -> Generator[str]:
    """Answer a question about all media of the request's sources at once, piece by piece as it is written.

    A video is shown as frames with their timecodes: as many as sampling chooses and the model's context takes.
    watch: hears of each picture (name, timecode) before the model does. Raises UsageError for a tagger that can't
    answer, or where there is no media; StoreError for media that can't be read.
    """
    if not question.strip():
        raise UsageError('there is no question: shotlog ask "What happens here?" clip.mp4')
    work = Workplace.of(request)
    tagger = work.tagger()
    asked = Question(question, _watched(_moments(work, tagger), watch), system)
    with closing(tagger.answer(asked)) as pieces, tagger:
        yield from pieces


def _watched(moments: Iterator[Moment], watch: Watch) -> Iterator[Moment]:
    for name, moment, frame in moments:
        watch(name, moment)
        yield name, moment, frame


def _moments(work: Workplace, tagger: Tagger) -> Iterator[Moment]:
    """Every picture to be shown, decoded one media object at a time."""
    found = _media(work)
    videos = sum(kind == "video" for _, kind in found)
    room = _room(work, tagger) - (len(found) - videos)
    if room < videos:
        raise TaggerError(
            f"{len(found)} media objects are more than the model's context takes: name fewer, or lower "
            "SHOTLOG_MAX_PIXELS"
        )
    with (
        Decoders(work.settings, 1) as decoders,
        decoders.lend() as child,
        tempfile.TemporaryDirectory() as folder,
    ):
        for media, _ in found:
            try:
                yield from _frames(work, child, media, Path(folder), room // max(1, videos))
            except MediaError as error:
                raise StoreError(f"'{media.uri}' can't be looked at: {error}") from error


def _media(work: Workplace) -> list[tuple[MediaObject, str]]:
    found: list[tuple[MediaObject, str]] = []
    for source in work.sources:
        for media in work.store(source).list(source):
            kind = kind_of(media, work.settings.include, work.settings.exclude, named=media.uri == source)
            if kind in ("image", "video"):
                found.append((media, kind))
            if len(found) > MAX_MEDIA:
                raise UsageError(f"'{source}' holds more than {MAX_MEDIA} media objects: name those you ask about")
    if not found:
        raise UsageError('there is no image or video to ask about: shotlog ask "What happens here?" clip.mp4')
    return found


def _room(work: Workplace, tagger: Tagger) -> int:
    """How many pictures fit beside the question and the answer."""
    budget = tagger.budget()
    if budget is None:
        return 0
    pixels = tagger.identity.max_pixels or work.settings.max_pixels
    a_picture = pixels // PIXELS_A_TOKEN + 32
    return max(1, (budget.context_tokens - budget.answer_tokens - budget.prompt_tokens) // a_picture)


def _frames(work: Workplace, child: DecodeChild, media: MediaObject, folder: Path, most: int) -> Iterator[Moment]:
    settings, store = work.settings, work.store(media.uri)
    with Footage(settings, store, media, folder) as footage:
        footage.open(child)
        sidecar = store.beside(media, settings.context_sidecar) if settings.context_sidecar else None
        known = context.describe(settings.context, footage.copy.metadata, settings.context_metadata, sidecar)
        info = footage.probe()
        shots = footage.shots(info)
        count = most if settings.max_frames is None else min(most, settings.max_frames)
        name = media.uri.rpartition("/")[2]
        for frame in footage.frames(info, shots, footage.targets(info, shots, count)):
            image = shrunk(frame.image, settings.max_pixels)
            moment = timecode(frame.timestamp_s) if info.kind == "video" else None
            yield name, moment, replace(frame, image=image, context=known)
