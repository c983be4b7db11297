"""The JSON that a model answers with: the schema it is held to, and how what comes back is read.

The schema's bounds are tight. Reading takes about four times as much, for a model isn't always held to the schema, and
bytes that are no UTF-8 decode to up to four characters where the grammar counted one. What is too long is cut and what
is too many left out, rather than refusing an answer that was paid for; what has the wrong shape is an AnswerError.
Change what comes out and add 1 to model.ANSWER_SCHEMA.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from pipeline.model import RATINGS, FrameTags, Label, Participant
from pipeline.recipe import METADATA_KINDS
from pipeline.taggers.parse import LOOSE, AnswerError, first_fault, json_object, prose
from pipeline.taggers.vocabulary import Vocabulary, spelled
from pipeline.taggers.words import is_unknown

LABEL_CHARACTERS = 40
ITEMS = {"categories": 6, "participants": 12, "actions": 6, "scene": 3, "tags": 12}
"""Metadata kind → how many of it one frame may have."""

COUNT = 99
SUMMARY_CHARACTERS = 2000
CHARACTERS_A_TOKEN = 4
"""Of English text, roughly, with the tokenizers of the models in question."""

_FIRST = r'[^"\\\x00-\x20\x7f-\xa0]'
_REST = r'[^"\\\x00-\x1f\x7f-\x9f]'
# Without quotation marks and backslashes nothing can be escaped, so every prefix is a string that can still be closed.

SENTENCE_CHARACTERS = 120
"""xgrammar 0.2.8, as servers run it (with its cache), compiles no repetition of more than about 127."""


def _text(characters: int) -> Any:
    return Annotated[str, Field(pattern=rf"^{_FIRST}{_REST}{{0,{characters - 1}}}$")]


def _sentences(characters: int) -> Any:
    """A longer text, written as a list of sentences.

    With a vocabulary of 150,000 tokens one string of 1,200 characters took 90 ms a token as a plain repetition and 25
    to 50 s to compile as nested ones; a list of short strings takes 1 ms and 2 s.
    """
    sentence: Any = _text(min(characters, SENTENCE_CHARACTERS))
    return Annotated[list[sentence], Field(min_length=1, max_length=math.ceil(characters / SENTENCE_CHARACTERS))]


def _joined(said: Any) -> Any:
    """Whoever isn't held to the schema may write one string instead."""
    return " ".join(said) if isinstance(said, list) and said and all(isinstance(one, str) for one in said) else said


_Prose = Annotated[str, BeforeValidator(_joined)]
_Score = Annotated[float, Field(ge=0, le=1)]
# steps of a tenth are as fine as a model's word is worth, and a number by its range alone may have digits without end
_Tenths: Any = Literal[tuple(tenth / 10 for tenth in range(11))]
_Kind = Literal["person", "animal", "object"]
_Rating: Any = Literal[RATINGS]
_lower = BeforeValidator(lambda value: value.strip().lower() if isinstance(value, str) else value)


class _Held(BaseModel):
    """What is written: nothing but the fields."""

    model_config = ConfigDict(extra="forbid")


class _Read(BaseModel):
    """What is read: types as they are, other fields passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _ReadParticipant(_Read):
    label: str
    kind: Annotated[_Kind, _lower]
    count: int | None


class _ReadRating(_Read):
    label: Annotated[_Rating, _lower]
    score: _Score


def _read(kind: str) -> Any:
    return {"participants": list[_ReadParticipant], "rating": _ReadRating}.get(kind, list[str])


def _validated(model: type[BaseModel], found: dict[str, Any]) -> Any:
    try:
        return model.model_validate(found)
    except ValidationError as error:
        raise AnswerError(first_fault(error)) from None


def _schema(model: type[BaseModel]) -> str:
    """A model's JSON schema in the part of the language that xgrammar and strict structured outputs share."""
    return json.dumps(_plain(model.model_json_schema()), ensure_ascii=False)


def _plain(schema: Any) -> Any:
    """Without titles, and one allowed value as an enum like several."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    named = {"enum" if key == "const" else key: [value] if key == "const" else value for key, value in schema.items()}
    return {key: _plain(value) for key, value in named.items() if key not in ("title", "description")}


class FrameSchema:
    """What is asked of one frame: a caption and the metadata kinds asked for, in the order of METADATA_KINDS.

    vocabulary: its labels are the only ones that can be written, or read. caption_tokens: about as long a caption.
    """

    def __init__(self, kinds: tuple[str, ...], vocabulary: Vocabulary | None, *, caption_tokens: int) -> None:
        self._kinds = tuple(kind for kind in METADATA_KINDS if kind in kinds)
        self._vocabulary = vocabulary
        self._caption_characters = caption_tokens * CHARACTERS_A_TOKEN
        held: dict[str, Any] = {kind: self._held(kind) for kind in self._kinds}
        self.json = _schema(create_model("Frame", __base__=_Held, caption=_sentences(self._caption_characters), **held))
        """The JSON schema, as text, that generation is held to."""
        read: dict[str, Any] = {kind: _read(kind) for kind in self._kinds}
        self._model = create_model("Frame", __base__=_Read, caption=_Prose, **read)

    def read(self, text: str) -> FrameTags:
        """The tags in an answer: labels in their normal spelling, each once, none that says `unknown`.

        Raises AnswerError, and nothing else, for whatever else was answered.
        """
        answer = _validated(self._model, json_object(text, "caption"))
        seen: dict[str, Any] = {kind: self._seen(kind, getattr(answer, kind)) for kind in self._kinds}
        caption = prose("caption", answer.caption, self._caption_characters)
        return FrameTags(caption, "vlm", **seen)

    def _held(self, kind: str) -> Any:
        if kind == "rating":
            return create_model("Rating", __base__=_Held, label=_Rating, score=(_Tenths, ...))
        allowed = self._vocabulary.labels(kind) if self._vocabulary else None
        label: Any = Literal[allowed] if allowed else _text(LABEL_CHARACTERS)
        if kind == "participants":
            count = Annotated[int, Field(ge=1, le=COUNT)] | None
            label = create_model("Participant", __base__=_Held, label=label, kind=_Kind, count=count)
        return Annotated[list[label], Field(max_length=ITEMS[kind])]

    def _seen(self, kind: str, found: Any) -> tuple[Any, ...]:
        if kind == "rating":
            return (Label(found.label, found.score),)
        found = found[: ITEMS[kind] * LOOSE]
        if kind == "participants":
            return self._participants(found)
        labels = [self._label(kind, text) for text in found]
        return tuple(Label(label) for label in dict.fromkeys(labels) if label)

    def _participants(self, found: list[_ReadParticipant]) -> tuple[Participant, ...]:
        """One of a label and kind, with the greatest count of them. A count of 0 isn't seen, a crowd isn't counted."""
        counts: dict[tuple[str, _Kind], int | None] = {}
        for one in found:
            label = self._label("participants", one.label)
            count = None if one.count and one.count > COUNT * LOOSE else one.count
            if label and (count is None or count > 0):
                known = counts.get((label, one.kind))
                counts[label, one.kind] = max(filter(None, (known, count)), default=None)
        return tuple(Participant(label, kind, count) for (label, kind), count in counts.items())

    def _label(self, kind: str, text: str) -> str | None:
        """As it goes into the lake; None where the vocabulary hasn't it, or it says that there is none."""
        text = prose(kind, text, LABEL_CHARACTERS, may_be_empty=True)
        if self._vocabulary and self._vocabulary.labels(kind):
            return self._vocabulary.find(kind, text)
        label = spelled(kind, text)
        return None if is_unknown(label) else label


class SummarySchema:
    """What is asked of a whole video: one text."""

    def __init__(self) -> None:
        self.json = _schema(create_model("Summary", __base__=_Held, summary=_sentences(SUMMARY_CHARACTERS)))
        self._model = create_model("Summary", __base__=_Read, summary=_Prose)

    def read(self, text: str) -> str:
        """Raises AnswerError, and nothing else."""
        answer = _validated(self._model, json_object(text, "summary"))
        return prose("summary", answer.summary, SUMMARY_CHARACTERS)


SUMMARY = SummarySchema()
