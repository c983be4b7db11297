"""Any image-text-to-text model of transformers, by the name it has on the hub or as a folder, in this process.

Loaded once a process and shared by all who enter the same model. Prompts of many media share batches; JSON is held to
its schema while it is written.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipeline.errors import CODES, TaggerError, UnfitError
from pipeline.settings import Settings
from pipeline.taggers import checkpoint, sharing
from pipeline.taggers.engine import Completion, Prompt
from pipeline.taggers.networks import require
from pipeline.taggers.streaming import Answering, Pieces
from pipeline.taggers.vlm import VisionTagger

if TYPE_CHECKING:
    from pipeline.taggers.loaded import Loaded

SHORTEST_ANSWER = 64
"""An answer may be cut short by the context, but to no less than so many tokens: below, the prompt is too large."""

_log = logging.getLogger(__name__)

_fits: dict[sharing.Key, int] = {}
"""Model → prompts that go into its device's memory at once, where that was found to be fewer than asked for."""


class TransformersEngine:
    """Runs one model in this process: see `taggers.engine.Engine`. Holds at most one batch of each kind of prompt
    (with pictures, without; SmolVLM: by number of tiles)."""

    def __init__(self, model: str, settings: Settings) -> None:
        """Finds the model and pins its revision; loads nothing.

        Raises ModuleNotFoundError where the extra isn't installed, TaggerError for a model that isn't there or can't
        be fetched.
        """
        require("torch", "transformers", "xgrammar")
        self._checkpoint = checkpoint.find(model, settings.model_revision)
        self._settings = settings
        self._key = (self._checkpoint.source, self._checkpoint.revision, settings.device, settings.dtype)
        self._model: Loaded | None = None
        self._entered = 0
        self._answering: list[Answering] = []
        self.model = self._checkpoint.model
        self.revision: str | None = self._checkpoint.revision

    def context_tokens(self) -> int:
        """What the setting says, or the model's configuration. Raises TaggerError where neither does."""
        if tokens := self._settings.context_tokens or self._checkpoint.context_tokens():
            return tokens
        raise TaggerError(
            f"{checkpoint.CONFIG} of model {self.model} doesn't say how many tokens it can hold: "
            "set SHOTLOG_CONTEXT_TOKENS"
        )

    def __enter__(self) -> Self:
        """Load the model, unless this process has it already; on a machine with GPUs wait for a free one first."""
        # Waiting threads of torch spin otherwise, on cores that decoders need: a batch can take ten times as long.
        # Read when torch is loaded, so it comes before that.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        from pipeline.taggers.loaded import Loaded

        def load(device: str) -> Loaded:
            return Loaded(self._checkpoint, device=device, dtype=self._settings.dtype)

        self._model = sharing.enter(self._key, self._settings.device, load)
        self._entered += 1
        return self

    def __exit__(self, *exc: object) -> None:
        for answering in list(self._answering):
            answering.end()
        self._entered -= 1
        if not self._entered:
            self._model = None
        sharing.leave(self._key)

    def complete(self, prompts: Iterable[Prompt | None]) -> Generator[Completion]:
        """Answers batch by batch. A batch runs when it is full, at None, and when the stream ends."""
        waiting: dict[str, list[Prompt]] = {}
        for prompt in prompts:
            if prompt is None:
                for kind in list(waiting):
                    yield from self._run(waiting.pop(kind))
            elif reason := _unfit(prompt):
                yield Completion(prompt, error_code="tagger_refused", detail=reason)
            else:
                loaded = self._loaded()
                try:
                    kind = loaded.kind(prompt, self._pixels())
                except Exception as error:  # processors are made as their makers like
                    yield Completion(prompt, error_code="tagger_refused", detail=_said(error))
                    continue
                waiting.setdefault(kind, []).append(prompt)
                if len(waiting[kind]) >= self._batch():
                    yield from self._run(waiting.pop(kind))
        for kind in list(waiting):
            yield from self._run(waiting.pop(kind))

    def distrust(self, completion: Completion) -> None:
        """Nothing to take back: every token was held to the schema, and the next answer has the same chances."""

    def stream(self, prompt: Prompt) -> Generator[str, None, Completion]:
        """The answer piece by piece, written in a thread of its own that ends with the generator or the engine.

        Raises TaggerError for a prompt that is too long, a picture that can't be read, or what breaks on the way.
        """
        if reason := _unfit(prompt):
            raise UnfitError(f"the question can't be asked: {reason}")
        loaded, began, rows = self._loaded(), time.perf_counter(), list[list[int]]()
        try:
            inputs, (tokens,) = self._prepared([prompt])
        except Exception as error:  # processors raise what they like
            raise UnfitError(f"the question can't be asked: {_said(error)}") from error
        if not (limit := self._room(prompt, tokens)):
            raise UnfitError(f"the question doesn't fit: {self._too_long(tokens)}. {_next_step('context_too_small')}")

        def write(streamer: Pieces, stop: Event) -> None:
            rows.extend(
                loaded.generate(
                    inputs,
                    limits=[limit],
                    schemas=[prompt.schema],
                    temperature=prompt.temperature,
                    stop=stop,
                    streamer=streamer,
                )
            )

        answering = Answering(write, loaded.decode)
        self._answering.append(answering)
        try:
            yield from answering
        except Exception as error:
            code = "out_of_memory" if sharing.is_out_of_memory(error) else "tagger_refused"
            raise TaggerError(f"the model gave no answer ({_said(error)}): {_next_step(code)}") from error
        finally:
            answering.end()
            self._answering.remove(answering)
        return self._completion(prompt, rows[0], tokens, time.perf_counter() - began)

    def _loaded(self) -> Loaded:
        if not self._model:
            raise RuntimeError("the engine isn't open: use it in a with statement")
        return self._model

    def _pixels(self) -> Any:
        from pipeline.taggers.loaded import Pixels

        return Pixels(self._settings.min_pixels, self._settings.max_pixels)

    def _batch(self) -> int:
        return min(self._settings.model_batch, _fits.get(self._key, self._settings.model_batch))

    def _run(self, prompts: Sequence[Prompt]) -> Generator[Completion]:
        """Answer prompts of one kind, in as many batches as memory asks for."""
        waiting = deque(prompts)
        while waiting:
            part = [waiting.popleft() for _ in range(min(len(waiting), self._batch()))]
            answers = self._attempt(part)
            if answers is None:
                waiting.extendleft(reversed(part))
            else:
                yield from answers

    def _attempt(self, prompts: list[Prompt]) -> list[Completion] | None:
        """Answer a batch; None where it has to be smaller. What fails alone is that prompt's failure."""
        import torch

        try:
            return self._answers(prompts)
        except TaggerError:
            raise
        except Exception as error:
            code = "out_of_memory" if sharing.is_out_of_memory(error) else "tagger_refused"
            if code == "tagger_refused" and isinstance(error, torch.AcceleratorError):
                raise TaggerError(
                    f"the GPU failed ({_said(error)}): start again; if it stays, find the cause with SHOTLOG_DEVICE=cpu"
                ) from error  # every later call would fail, too, and say nothing about its frames
            detail = _said(error)
        sharing.give_memory_back()  # outside the handler: the traceback holds the tensors
        if len(prompts) == 1:
            return [Completion(prompts[0], error_code=code, detail=detail)]
        if code == "out_of_memory":
            self._halve(len(prompts))
            return None
        half = len(prompts) // 2
        return [answer for part in (prompts[:half], prompts[half:]) for answer in self._run(part)]

    def _halve(self, size: int) -> None:
        if self._key not in _fits:
            _log.warning(
                "%d frames of model %s at once don't fit in memory: going on with fewer. Set SHOTLOG_MODEL_BATCH=%d",
                size,
                self.model,
                size // 2,
            )
        _fits[self._key] = size // 2

    def _answers(self, prompts: list[Prompt]) -> list[Completion]:
        """One pass over the model. Raises what the processor or torch raises."""
        loaded, began = self._loaded(), time.perf_counter()
        inputs, tokens = self._prepared(prompts)
        limits = [self._room(prompt, length) for prompt, length in zip(prompts, tokens, strict=True)]
        if not all(limits):
            small = [
                Completion(prompt, error_code="context_too_small", detail=self._too_long(length), prompt_tokens=length)
                for prompt, length, limit in zip(prompts, tokens, limits, strict=True)
                if not limit
            ]
            fitting = [prompt for prompt, limit in zip(prompts, limits, strict=True) if limit]
            return small + (self._answers(fitting) if fitting else [])
        rows = loaded.generate(inputs, limits=limits, schemas=[prompt.schema for prompt in prompts])
        share = (time.perf_counter() - began) / len(prompts)
        return [
            self._completion(prompt, row, length, share)
            for prompt, row, length in zip(prompts, rows, tokens, strict=True)
        ]

    def _completion(self, prompt: Prompt, row: list[int], prompt_tokens: int, seconds: float) -> Completion:
        loaded, code, detail = self._loaded(), None, ""
        if not row or row[-1] not in loaded.stops:
            whole = len(row) >= prompt.max_tokens
            code = "answer_cut" if whole else "context_too_small"
            detail = f"{len(row)} tokens" if whole else self._too_long(prompt_tokens)
        return Completion(prompt, loaded.decode(row), code, detail, prompt_tokens, len(row), seconds)

    def _prepared(self, prompts: list[Prompt]) -> tuple[Any, list[int]]:
        inputs = self._loaded().prepare(prompts, self._pixels())
        return inputs, inputs["attention_mask"].sum(dim=1).tolist()

    def _room(self, prompt: Prompt, prompt_tokens: int) -> int:
        """Tokens that the answer may take; 0 where too few are left for one."""
        room = self.context_tokens() - prompt_tokens
        return min(room, prompt.max_tokens) if room >= min(SHORTEST_ANSWER, prompt.max_tokens) else 0

    def _too_long(self, prompt_tokens: int) -> str:
        return f"the prompt takes {prompt_tokens} of {self.context_tokens()} tokens"


class Transformers(VisionTagger):
    """The tagger `transformers:NAME-OR-FOLDER`."""

    def __init__(self, model: str, settings: Settings) -> None:
        super().__init__("transformers", TransformersEngine(model, settings), settings)


def _unfit(prompt: Prompt) -> str | None:
    """Why no processor could take one of the prompt's pictures. Cheaper than to find out with a whole batch."""
    for part in (part for turn in prompt.turns for part in turn.parts if not isinstance(part, str)):
        if part.dtype != np.uint8 or part.ndim != 3 or part.shape[2] != 3 or 0 in part.shape:
            return f"a picture of shape {part.shape} and {part.dtype}, where (height, width, 3) and uint8 are needed"
    return None


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _next_step(code: str) -> str:
    return CODES[code].next_step
