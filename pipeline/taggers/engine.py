"""What a vision-language model is asked and says, whoever runs it: the protocol between `vlm` and its engines.

An engine turns prompts into texts, as many at a time as it can, and knows nothing of tags. To add one: write
`taggers/<name>.py` with a class like `Engine` and a VisionTagger over it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One message: texts and pictures (RGB uint8 of shape (height, width, 3)) in the order in which they are read."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | np.ndarray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One request. schema: JSON schema (as JSON text) the answer is held to where the engine can; None: plain text.

    max_tokens: of the answer. temperature: 0 takes the likeliest token each time, more leaves more to chance.
    ticket: the asker's own mark, handed back as it is.
    """

    turns: tuple[Turn, ...]
    max_tokens: int
    schema: str | None = None
    ticket: object = None
    temperature: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """What came of one prompt. error_code (of errors.CODES, or None) and detail say why the text is no whole answer.

    answer_cut: it ran into max_tokens. model_s: seconds that the model took for it (its share of a batch).
    """

    prompt: Prompt
    text: str = ""
    error_code: str | None = None
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_s: float = 0.0


class Engine(Protocol):
    """Runs one model, or asks the server that does."""

    model: str
    """As it stands in the recipe: no path of this machine."""

    revision: str | None

    def context_tokens(self) -> int:
        """Tokens that prompt and answer may have together. Known without loading weights; may ask a server."""
        ...

    def __enter__(self) -> Self:
        """Load, or connect. Raises TaggerError with the next step."""
        ...

    def __exit__(self, *exc: object) -> None: ...

    def complete(self, prompts: Iterable[Prompt | None]) -> Generator[Completion]:
        """Answer every prompt of the stream, in whatever order they finish; never raises for a single one.

        Takes a prompt only when it has room for it. At None (nothing just now, given after a little waiting) it goes
        on with what it holds: a batch half full is run, what is finished is yielded. Raises TaggerError when nothing
        can be answered any more (wrong key, no such model, no server). Closed early, it leaves no thread behind.
        """
        ...

    def distrust(self, completion: Completion) -> None:
        """Hear that a whole answer didn't validate although its prompt had a schema."""
        ...

    def stream(self, prompt: Prompt) -> Generator[str, None, Completion]:
        """One answer, piece by piece; returns it whole. Raises TaggerError where there is none.

        Its counts of tokens are 0 where nobody tells them.
        """
        ...
