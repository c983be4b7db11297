"""The tagger protocol. To add a tagger: write `taggers/<name>.py` with a class like this, add one line to
`taggers.TAGGERS`, and one fixture line in tests/contract/test_taggers.py. One that asks a vision-language model is a
`taggers.vlm.VisionTagger` over an engine of its own: see `taggers.engine`.

A tagger gets frames of many media in one stream, so that a model's batches can span media, and gives one
answer per frame, in whatever order they finish. It never raises for a single frame: an Answer with an error
code marks that one. It raises TaggerError when it can't work at all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from pipeline.errors import MuteError
from pipeline.model import Frame, FrameTags
from pipeline.taggers.engine import Completion, Prompt


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one frame: tags, or an error code of errors.CODES with a detail. model_s: time it took.

    prompt_tokens, completion_tokens: what an answer without tags took; tags have their own.
    """

    frame: Frame
    tags: FrameTags | None = None
    error_code: str | None = None
    detail: str = ""
    model_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __post_init__(self) -> None:
        if (self.tags is None) == (self.error_code is None):
            raise ValueError("an answer has either tags or an error code")


@dataclass(frozen=True, slots=True)
class Captioned:
    """One answered moment of a film. tokens: how many the model wrote there, 0 where that isn't known any more."""

    timestamp_s: float
    caption: str
    tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Film:
    """A video whose frames are all answered, to be summed up from its captions (ascending in time)."""

    media_id: str
    captions: tuple[Captioned, ...]
    duration_s: float
    context: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of one film: a text, or an error code of errors.CODES with a detail."""

    film: Film
    text: str | None = None
    error_code: str | None = None
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_s: float = 0.0

    def __post_init__(self) -> None:
        if (self.text is None) == (self.error_code is None):
            raise ValueError("a summary has either a text or an error code")


Look = Frame | Film | None
"""One item of the stream. None: nothing to look at just now, so answers that wait and batches half full may go."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a person asks about pictures. moments: each picture's name, its timecode (None: a still) and the frame,
    not decoded before they are asked for."""

    text: str
    moments: Iterable[tuple[str, str | None, Frame]]
    system: str | None = None


@dataclass(frozen=True, slots=True)
class TaggerIdentity:
    """The tagger's share of the recipe: what, besides sampling, decides its answers."""

    tagger: str
    model: str | None = None
    revision: str | None = None
    prompt_version: str | None = None
    thresholds: tuple[tuple[str, float], ...] = ()
    vocabulary: str | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    generation: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What a model can hold when it sums a video up, in tokens: see `taggers.budget`."""

    context_tokens: int
    prompt_tokens: int
    caption_tokens: int
    answer_tokens: int


class Tagger(Protocol):
    """Looks at frames and says what is in them."""

    identity: TaggerIdentity

    looks: bool
    """False for `null`, which sees nothing: no thumbnails are kept as evidence then."""

    summarises: bool
    """Whether it takes a Film and gives a Summary."""

    def budget(self) -> Budget | None:
        """None where answers don't have to fit in a context. May ask a server; raises TaggerError."""
        ...

    def __enter__(self) -> Self:
        """Load weights or open connections, once a process. Raises TaggerError with the next step."""
        ...

    def __exit__(self, *exc: object) -> None: ...

    def look(self, stream: Iterable[Look]) -> Generator[Answer | Summary]:
        """Answer every frame and every film of the stream. Takes items as it has room for them (the stream is
        unbounded and must not be collected) and holds at most a few batches. At None, which a stream gives after a
        little waiting, it hands out what is ready. A stream may end only after the answers to its frames have been
        handed out: then it goes on giving None until they are. Closed early, it leaves no thread behind. May be
        called again when the last look has ended."""
        ...

    def answer(self, question: Question) -> Generator[str]:
        """The answer, piece by piece as it is written; the tagger is entered before the first one is taken. Raises
        UsageError at once, before any picture is taken, where it can't answer questions."""
        ...

    def converse(self, prompt: Prompt) -> Generator[str, None, Completion]:
        """The next turn of a conversation, as `engine.Engine.stream` has it; for one that brings no system turn, with
        shotlog's own. Raises UsageError at once where it can't answer questions."""
        ...


def cannot_answer(tagger: str) -> MuteError:
    return MuteError(
        f"tagger '{tagger}' can't answer questions: use --tagger transformers:NAME or openai:MODEL "
        "(`shotlog models` says what each needs)"
    )
