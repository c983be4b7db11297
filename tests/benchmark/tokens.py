"""How many tokens one frame takes: what is asked, and the most that may be answered.

A token of the tiny model is a byte, so these are characters too; tokenizers of real models take a quarter or so.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pipeline.recipe import METADATA_KINDS
from pipeline.settings import Settings
from pipeline.taggers.base import Answer
from pipeline.taggers.schema import FrameSchema
from pipeline.taggers.transformers import Transformers
from tests.benchmark.archive import frames
from tests.benchmark.table import Figure, say
from tests.models import tiny_llava

TWO = ("scene", "tags")


def run(folder: Path) -> list[Figure]:
    model = tiny_llava(folder / "model")
    return [_figure(model, f"all {len(METADATA_KINDS)} metadata kinds", METADATA_KINDS), _figure(model, "two", TWO)]


def _figure(model: Path, what: str, kinds: tuple[str, ...]) -> Figure:
    say(f"  {what}")
    asked = _asked(model, kinds)
    settings = Settings()
    schema = json.loads(FrameSchema(kinds, None, caption_tokens=settings.caption_tokens).json)
    caption = len(longest(schema["properties"]["caption"], schema))
    rest = len(longest(schema, schema)) - caption
    return Figure(
        f"Tokens of a frame with {what} ({', '.join(kinds)}), a byte a token: the question with its picture; the most "
        "of an answer, caption + the rest",
        f"{asked:,}; {caption:,} + {rest:,}",
    )


def _asked(model: Path, kinds: tuple[str, ...]) -> int:
    with Transformers(str(model), Settings(metadata=kinds, device="cpu")) as tagger:
        (answer,) = tagger.look(iter(frames("bikes.mp4", 1)))
    if not isinstance(answer, Answer) or answer.tags is None:
        raise RuntimeError(f"no answer: {answer}")
    return answer.tags.prompt_tokens


def longest(part: dict[str, Any], schema: dict[str, Any]) -> str:
    """The longest JSON text that a part of a schema allows, as it is written: without blanks beyond one.

    >>> longest({"type": "array", "items": {"enum": ["cat", "horse"]}, "maxItems": 2}, {})
    '["horse", "horse"]'
    """
    if "$ref" in part:
        return longest(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in part:
        return max((longest(choice, schema) for choice in part["anyOf"]), key=len)
    if "enum" in part:
        return max((json.dumps(value) for value in part["enum"]), key=len)
    match part["type"]:
        case "object":
            fields = [f'"{name}": {longest(inner, schema)}' for name, inner in part["properties"].items()]
            return "{" + ", ".join(fields) + "}"
        case "array":
            return "[" + ", ".join([longest(part["items"], schema)] * part["maxItems"]) + "]"
        case "string":
            length = next(n for n in range(10_000, 0, -1) if re.fullmatch(part["pattern"], "x" * n))
            return f'"{"x" * length}"'
        case "integer":
            return str(part["maximum"])
        case "null":
            return "null"
    raise ValueError(f"a schema with {part} is new here")
