"""From what a model wrote to JSON and clean text: AnswerError says, in a line, why something is neither."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, NoReturn

from pydantic import ValidationError

LOOSE = 4
"""Reading takes so many times what generation is held to."""

MAX_CHARACTERS = 1_000_000
"""Of an answer: no model writes more on purpose."""

_REASON_CHARACTERS = 300
_TRIES = 20


class AnswerError(ValueError):
    """What is wrong with an answer: one line of at most 300 characters, for the model that mends it and for people."""

    def __init__(self, reason: str) -> None:
        line = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in reason)
        super().__init__(" ".join(line.split())[:_REASON_CHARACTERS])


def json_object(text: str, field: str) -> dict[str, Any]:
    """The JSON object in an answer: the first that has this field, else the first, whatever is written around it.

    Raises AnswerError: there is none, it names a field twice, or a number is none; what is wrong with the first one,
    where no later one has the field.
    """
    if len(text) > MAX_CHARACTERS:
        raise AnswerError(f"the answer has more than {MAX_CHARACTERS:,} characters")
    # line breaks within strings are let through here and made blanks by `prose`
    decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number, strict=False)
    first: dict[str, Any] | AnswerError | None = None
    start = text.find("{")
    for _ in range(_TRIES):
        if start < 0:
            break
        found: dict[str, Any] | AnswerError
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            # what lies within it is looked at, too
            found, end = AnswerError(f"the answer is no JSON object: {_why(error)}"), start + 1
        if isinstance(found, dict) and field in found:
            return found
        first = found if first is None else first
        start = text.find("{", end)
    if isinstance(first, dict):
        return first
    raise first or AnswerError("there is no JSON object in the answer")


def prose(field: str, text: str, characters: int, *, may_be_empty: bool = False) -> str:
    """A text in one line of at most LOOSE × so many characters, cut at a sentence's or else a word's end.

    Raises AnswerError: control characters, halves of characters (surrogates), or nothing but blanks.
    """
    line = " ".join(text.split())
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in line):
        raise AnswerError(f"{field} has control characters")
    line = unicodedata.normalize("NFC", line)
    if not (line or may_be_empty):
        raise AnswerError(f"{field} is empty")
    most = characters * LOOSE
    if len(line) <= most:
        return line
    kept = line[:most]
    if ends := list(re.finditer(r"[.!?]['\")\]]?(?= )|[。！？]", kept)):
        return kept[: ends[-1].end()]
    return (kept.rpartition(" ")[0] or kept).rstrip()


def first_fault(error: ValidationError) -> str:
    """The first of what pydantic found: `participants[0].count should be a valid integer`."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    if first["type"] == "missing":
        return f"the field {where} is missing"
    return f"{where} {first['msg'].removeprefix('Input ')}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is there twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
