"""Tagging with a vision-language model, whoever runs it: frames and films become prompts, completions become answers.

The way of a frame: prompt → completion → read by the schema → Answer. An answer that doesn't fit gets one repair turn
(the model sees its own answer and what is wrong with it), then it is that frame's failure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

from pipeline.model import Frame, timecode
from pipeline.settings import Settings
from pipeline.taggers.base import Answer, Budget, Film, Look, Question, Summary, TaggerIdentity
from pipeline.taggers.budget import CHARACTERS_A_TOKEN, TIMECODE_TOKENS
from pipeline.taggers.engine import Completion, Engine, Prompt, Turn
from pipeline.taggers.prompting import as_data, load_prompts, one_line
from pipeline.taggers.schema import SUMMARY, AnswerError, FrameSchema
from pipeline.taggers.vocabulary import load_vocabulary

_SHOWN_CHARACTERS = 2000
"""How much of a bad answer the model sees again in a repair turn."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The ticket of a prompt: what it is about, and what its first try took."""

    item: Frame | Film
    repaired: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_s: float = 0.0

    def after(self, completion: Completion) -> _Asked:
        return replace(
            self,
            prompt_tokens=self.prompt_tokens + completion.prompt_tokens,
            completion_tokens=self.completion_tokens + completion.completion_tokens,
            model_s=self.model_s + completion.model_s,
        )


class VisionTagger:
    """A tagger over an engine: see `taggers.base.Tagger` and `taggers.engine.Engine`."""

    looks = True
    summarises = True

    def __init__(self, name: str, engine: Engine, settings: Settings) -> None:
        """Raises UsageError for a vocabulary or prompts that can't be used."""
        vocabulary = load_vocabulary(settings.vocabulary) if settings.vocabulary else None
        prompts = load_prompts(settings.prompts)
        self._engine, self._prompts, self._settings = engine, prompts, settings
        self._schema = FrameSchema(settings.metadata, vocabulary, caption_tokens=settings.caption_tokens)
        self._frame_text = lru_cache(256)(
            lambda context: prompts.frame(
                settings.metadata, caption_tokens=settings.caption_tokens, vocabulary=vocabulary, context=context
            )
        )
        self._frame_text("")  # a prompt that lacks something is said now
        told = {"context_tokens": settings.context_tokens} if settings.context_tokens else {}
        generation = {"answer_tokens": settings.answer_tokens, "caption_tokens": settings.caption_tokens, **told}
        self.identity = TaggerIdentity(
            tagger=name,
            model=engine.model,
            revision=engine.revision,
            prompt_version=prompts.version,
            vocabulary=vocabulary.digest if vocabulary else None,
            min_pixels=settings.min_pixels,
            max_pixels=settings.max_pixels,
            generation=tuple(sorted(generation.items())),
        )

    def budget(self) -> Budget:
        blank = self._prompts.summary(Film("", (), 0.0), ())
        return Budget(
            context_tokens=self._engine.context_tokens(),
            prompt_tokens=len(blank) // CHARACTERS_A_TOKEN,
            caption_tokens=self._settings.caption_tokens,
            answer_tokens=self._settings.answer_tokens,
        )

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine.__exit__(*exc)

    def look(self, stream: Iterable[Look]) -> Generator[Answer | Summary]:
        again: deque[Prompt] = deque()
        asked: set[Frame | Film] = set()
        completions = self._engine.complete(self._prompted(iter(stream), again, asked))
        try:
            for completion in completions:
                outcome = self._judge(completion)
                if isinstance(outcome, Prompt):
                    again.append(outcome)
                else:
                    asked.discard(outcome.frame if isinstance(outcome, Answer) else outcome.film)
                    yield outcome
        finally:
            completions.close()

    def answer(self, question: Question) -> Generator[str]:
        parts: list[Any] = []
        told: set[str] = set()
        for name, moment, frame in question.moments:
            known = as_data(frame.context) if name not in told else ""
            told.add(name)
            called = one_line(name)
            parts += [f"{known}\n{called} at {moment}:" if moment else f"{known}\n{called}:", frame.image]
        system = Turn("system", (question.system or self._prompts.answer(),))
        turns = (system, Turn("user", (*parts, question.text)))
        yield from self._engine.stream(Prompt(turns, max_tokens=self._settings.answer_tokens))

    def converse(self, prompt: Prompt) -> Generator[str, None, Completion]:
        if not any(turn.role == "system" for turn in prompt.turns):
            prompt = replace(prompt, turns=(Turn("system", (self._prompts.answer(),)), *prompt.turns))
        return self._engine.stream(prompt)

    def _prompted(
        self, items: Iterator[Look], again: deque[Prompt], asked: set[Frame | Film]
    ) -> Generator[Prompt | None]:
        """Repairs first, then what the stream brings; open as long as an answer may want a repair."""
        ended = False
        while not ended or again or asked:
            if again:
                yield again.popleft()
            elif ended:
                yield None
            else:
                try:
                    item = next(items)
                except StopIteration:
                    ended = True
                    continue
                if item is not None:
                    asked.add(item)
                yield None if item is None else self._prompt(item)

    def _prompt(self, item: Frame | Film) -> Prompt:
        if isinstance(item, Frame):
            parts: tuple[Any, ...] = (item.image, self._frame_text(item.context))
            schema = self._schema.json
        else:
            parts, schema = (self._prompts.summary(item, self._fitted(item)),), SUMMARY.json
        return Prompt((Turn("user", parts),), self._settings.answer_tokens, schema, ticket=_Asked(item))

    def _fitted(self, film: Film) -> list[tuple[str, str]]:
        """Timecodes and captions, all shortened alike where together they are more than the context takes.

        The budget keeps that from happening as long as captions keep to their tokens.
        """
        budget = self.budget()
        room = (
            budget.context_tokens
            - budget.prompt_tokens
            - len(film.context) // CHARACTERS_A_TOKEN
            - budget.answer_tokens
        )
        lines = film.captions[:: max(1, -(-len(film.captions) * 2 * TIMECODE_TOKENS // max(1, room)))]
        room -= len(lines) * TIMECODE_TOKENS
        needed = sum(min(line.tokens or len(line.caption), len(line.caption)) for line in lines)
        share = min(1.0, room / max(1, needed))
        return [(timecode(line.timestamp_s), line.caption[: max(1, int(len(line.caption) * share))]) for line in lines]

    def _judge(self, completion: Completion) -> Answer | Summary | Prompt:
        ticket = completion.prompt.ticket
        assert isinstance(ticket, _Asked)
        asked = ticket.after(completion)
        if completion.error_code:
            return _failed(asked, completion.error_code, completion.detail)
        try:
            return self._read(asked, completion.text)
        except AnswerError as error:
            self._engine.distrust(completion)
            if asked.repaired:
                return _failed(asked, "answer_invalid", str(error))
            return self._repair(completion, asked, str(error))

    def _read(self, asked: _Asked, text: str) -> Answer | Summary:
        if isinstance(asked.item, Film):
            return Summary(
                asked.item,
                SUMMARY.read(text),
                prompt_tokens=asked.prompt_tokens,
                completion_tokens=asked.completion_tokens,
                model_s=asked.model_s,
            )
        tags = replace(
            self._schema.read(text), prompt_tokens=asked.prompt_tokens, completion_tokens=asked.completion_tokens
        )
        return Answer(asked.item, tags, model_s=asked.model_s)

    def _repair(self, completion: Completion, asked: _Asked, reason: str) -> Prompt:
        prompt = completion.prompt
        said = Turn("assistant", (completion.text[:_SHOWN_CHARACTERS] or "(nothing)",))
        turns = (*prompt.turns, said, Turn("user", (self._prompts.repair(reason),)))
        return replace(prompt, turns=turns, ticket=replace(asked, repaired=True))


def _failed(asked: _Asked, code: str, detail: str) -> Answer | Summary:
    about: Any = (
        {"frame": asked.item, "detail": detail}
        if isinstance(asked.item, Frame)
        else {"film": asked.item, "detail": f"summary: {detail}"}
    )
    return (Answer if "frame" in about else Summary)(
        **about,
        error_code=code,
        model_s=asked.model_s,
        prompt_tokens=asked.prompt_tokens,
        completion_tokens=asked.completion_tokens,
    )
