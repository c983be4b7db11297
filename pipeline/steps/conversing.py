"""One turn of a conversation about pictures that lie anywhere: they are fetched and decoded, and the model is asked."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.errors import UsageError
from pipeline.model import timecode
from pipeline.pictures import shrunk
from pipeline.steps.footage import Footage
from pipeline.steps.service import Service
from pipeline.taggers.engine import Completion, Prompt, Turn

MOST_PICTURES = 64
"""In one request, images and frames together: what a model of today takes in one go, and 200 MB of memory."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture or a short video, by its URL."""

    url: str


@dataclass(frozen=True, slots=True)
class Said:
    """One message: texts and media in the order in which they are read."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Shown, ...]


def check(service: Service, messages: Sequence[Said]) -> None:
    """Raises UsageError for a conversation that no model could go on with."""
    if messages[-1].role != "user":
        raise UsageError("the last message is not the user's: there is nothing to answer")
    media = sum(isinstance(part, Shown) for message in messages for part in message.parts)
    if media > service.settings.ask_media:
        raise UsageError(f"{media} images and videos in one request: {service.settings.ask_media} are allowed")


def prompt_of(service: Service, messages: Sequence[Said], *, max_tokens: int | None, temperature: float) -> Prompt:
    """The conversation as the model gets it, its media looked at one after the other. Raises MediaError, UsageError."""
    media = sum(isinstance(part, Shown) for message in messages for part in message.parts)
    most = MOST_PICTURES // max(1, media)  # of each
    turns = tuple(Turn(message.role, tuple(_parts(service, message, most))) for message in messages)
    return Prompt(turns, max_tokens or service.settings.answer_tokens, temperature=temperature)


def converse(service: Service, model: str, prompt: Prompt) -> Generator[str, None, Completion]:
    """The next turn, piece by piece; returns it whole. Raises UsageError at once for a tagger that can't answer,
    TaggerError where there is no answer, UnfitError where another question may have one."""
    return service.taggers.of(model, service.settings.metadata).converse(prompt)


def _parts(service: Service, message: Said, most: int) -> Iterator[str | np.ndarray]:
    for part in message.parts:
        if isinstance(part, str):
            yield part
        else:
            yield from _looked_at(service, part.url, most)


def _looked_at(service: Service, url: str, most: int) -> Iterator[str | np.ndarray]:
    """An image, or frames of a video, each after its timecode."""
    settings = service.settings
    with service.fetched(url) as fetched:
        service.watch(fetched.media.size_bytes)
        with Footage(settings, fetched.store, fetched.media, fetched.folder, service.watch) as footage:
            with service.decoders.lend() as child:
                footage.open(child)
                info = footage.probe()
                shots = footage.shots(info)
                targets = footage.targets(info, shots, min(most, settings.max_frames or most))
                for frame in footage.frames(info, shots, targets):
                    if info.kind == "video":
                        yield f"at {timecode(frame.timestamp_s)}:"
                    yield shrunk(frame.image, settings.max_pixels)
