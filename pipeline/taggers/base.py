"""The tagger protocol. To add a tagger: write `taggers/<name>.py` with a class like this, add one line to
`taggers.TAGGERS`, and one fixture line in tests/contract/test_taggers.py.

A tagger gets frames of many media in one stream, so that a model's batches can span media, and gives one
answer per frame, in whatever order they finish. It never raises for a single frame: an Answer with an error
code marks that one. It raises TaggerError when it can't work at all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from pipeline.model import Frame, FrameTags


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one frame: tags, or an error code of errors.CODES with a detail. model_s: time it took."""

    frame: Frame
    tags: FrameTags | None = None
    error_code: str | None = None
    detail: str = ""
    model_s: float = 0.0

    def __post_init__(self) -> None:
        if (self.tags is None) == (self.error_code is None):
            raise ValueError("an answer has either tags or an error code")


@dataclass(frozen=True, slots=True)
class TaggerIdentity:
    """The tagger's share of the recipe: what, besides sampling, decides its answers."""

    tagger: str
    model: str | None = None
    revision: str | None = None
    prompt_version: str | None = None
    thresholds: tuple[tuple[str, float], ...] = ()


class Tagger(Protocol):
    """Looks at frames and says what is in them."""

    identity: TaggerIdentity

    looks: bool
    """False for `null`, which sees nothing: no thumbnails are kept as evidence then."""

    def __enter__(self) -> Self:
        """Load weights or open connections, once a process. Raises TaggerError with the next step."""
        ...

    def __exit__(self, *exc: object) -> None: ...

    def look(self, frames: Iterable[Frame]) -> Generator[Answer]:
        """Answer every frame of the stream. Takes frames as it has room for them (the stream is unbounded and
        must not be collected) and holds at most a few batches. Closed early, it leaves no thread behind. May be
        called again when the last look has ended."""
        ...
