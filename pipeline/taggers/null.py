"""The tagger that doesn't look: what everything else costs is measured with it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import NoReturn, Self

from pipeline.model import Frame, FrameTags
from pipeline.settings import Settings
from pipeline.taggers.base import Answer, Look, Question, TaggerIdentity, cannot_answer
from pipeline.taggers.engine import Prompt


class Null:
    """Answers every frame at once, and says nothing of it."""

    identity = TaggerIdentity(tagger="null")
    looks = False
    summarises = False

    def __init__(self, _model: None, _settings: Settings) -> None:
        """Takes what every tagger takes, and uses none of it."""

    def budget(self) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def look(self, stream: Iterable[Look]) -> Generator[Answer]:
        for frame in stream:
            if isinstance(frame, Frame):
                yield Answer(frame, FrameTags())

    def answer(self, _question: Question) -> NoReturn:
        raise cannot_answer("null")

    def converse(self, _prompt: Prompt) -> NoReturn:
        raise cannot_answer("null")
