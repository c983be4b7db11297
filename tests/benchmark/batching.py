"""What batches gain, and what the pipeline costs beside the model, on the tiny model of the tests.

Every answer is the same by its schema, so whoever generates, and however many at once, writes the same tokens.
The tiny model is the hardest case for the second figure: a real one takes a hundred times as long for a token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.model import Frame
from pipeline.recipe import DEFAULT_KINDS
from pipeline.settings import Settings
from pipeline.taggers.base import Answer
from pipeline.taggers.engine import Prompt
from pipeline.taggers.transformers import Transformers
from tests.benchmark.archive import frames
from tests.benchmark.busy import ANSWER
from tests.benchmark.table import Figure, say
from tests.models import tiny_llava

FRAMES, BATCH, ROUNDS = 32, 16, 5

SAID = {name: value for name, value in json.loads(ANSWER).items() if name in ("caption", *DEFAULT_KINDS)}


def run(folder: Path) -> list[Figure]:
    model = tiny_llava(folder / "model")
    looked_at = frames("bikes.mp4", FRAMES)
    with _tagger(model, 1) as one, _tagger(model, BATCH) as many:
        bare = Bare(model, [many._prompt(frame) for frame in looked_at])
        single, together, alone = _fastest(
            lambda: _look(one, looked_at[: BATCH // 2]), lambda: _look(many, looked_at), bare.run
        )
    per_second = (BATCH // 2) / single, FRAMES / together
    cost = together / alone - 1
    return [
        Figure(
            f"Frames a second of the tiny model on one thread, in batches of {BATCH} over one at a time",
            f"{per_second[1]:.1f} ÷ {per_second[0]:.1f} = {per_second[1] / per_second[0]:.1f}",
        ),
        Figure(
            f"CPU time a frame of it, in batches of {BATCH}: the tagger over processor and model in a bare loop",
            f"{together / FRAMES * 1000:.1f} ms ÷ {alone / FRAMES * 1000:.1f} ms: {cost:+.1%}",
            "≤ 10 %",
        ),
    ]


def _fastest(*runs: Callable[[], list[int]]) -> list[float]:
    """The least CPU seconds of each, all taking turns. torch has one thread, and who else runs doesn't count.

    Raises RuntimeError where an answer has another length.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(ROUNDS + 1):
        lengths = set()
        for took, run in zip(seconds, runs, strict=True):
            began = time.process_time()
            lengths.update(run())
            if number:  # the first compiles grammars
                took.append(time.process_time() - began)
        if len(lengths) != 1:
            raise RuntimeError(f"answers of {sorted(lengths)} tokens: they should be of one length")
        say(f"  round {number} of {ROUNDS}, {lengths.pop()} tokens an answer")
    return [min(took) for took in seconds]


def _tagger(model: Path, batch: int) -> Transformers:
    """With a schema that leaves the model no choice."""
    tagger = Transformers(str(model), Settings(model_batch=batch, device="cpu"))
    tagger._schema.json = _only(SAID)
    return tagger


def _only(answer: dict[str, Any]) -> str:
    fixed = {name: {"enum": [value]} if isinstance(value, str) else _one(value) for name, value in answer.items()}
    return json.dumps({"type": "object", "properties": fixed, "required": list(fixed), "additionalProperties": False})


def _one(items: list[Any]) -> dict[str, Any]:
    (item,) = items
    if isinstance(item, dict):
        fields = {name: {"enum": [value]} for name, value in item.items()}
        held = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    else:
        held = {"enum": [item]}
    return {"type": "array", "items": held, "minItems": 1, "maxItems": 1}


def _look(tagger: Transformers, looked_at: Sequence[Frame]) -> list[int]:
    """Tokens of every answer."""
    answers = list(tagger.look(iter(looked_at)))
    return [answer.tags.completion_tokens for answer in answers if isinstance(answer, Answer) and answer.tags]


class Bare:
    """Processor and model as transformers' own pages use them, on the same prompts in the same batches."""

    def __init__(self, folder: Path, prompts: Sequence[Prompt]) -> None:
        import torch
        import xgrammar
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self._processor: Any = AutoProcessor.from_pretrained(folder)
        loader: Any = AutoModelForImageTextToText
        self._model = loader.from_pretrained(folder, dtype=torch.float32).eval()
        self._talks = [[_message(prompt)] for prompt in prompts]
        self._most = prompts[0].max_tokens
        info = xgrammar.TokenizerInfo.from_huggingface(
            self._processor.tokenizer, vocab_size=self._model.config.get_text_config().vocab_size
        )
        assert prompts[0].schema
        self._grammar = xgrammar.GrammarCompiler(info).compile_json_schema(prompts[0].schema, any_whitespace=False)

    def run(self) -> list[int]:
        """Tokens of every answer."""
        return [
            length for at in range(0, len(self._talks), BATCH) for length in self._batch(self._talks[at : at + BATCH])
        ]

    def _batch(self, talks: list[Any]) -> Iterator[int]:
        import torch
        from xgrammar.contrib.hf import LogitsProcessor

        inputs = self._processor.apply_chat_template(
            talks,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        )
        with torch.inference_mode():
            written = self._model.generate(
                **inputs, max_new_tokens=self._most, do_sample=False, logits_processor=[LogitsProcessor(self._grammar)]
            )
        for row in written[:, inputs["input_ids"].shape[1] :]:
            text = self._processor.tokenizer.decode(row, skip_special_tokens=True)
            if json.loads(text) != SAID:
                raise RuntimeError(f"the bare loop wrote {text}")
            yield len(row)


def _message(prompt: Prompt) -> dict[str, Any]:
    (turn,) = prompt.turns
    parts = [
        {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": Image.fromarray(part)}
        for part in turn.parts
    ]
    return {"role": turn.role, "content": parts}
