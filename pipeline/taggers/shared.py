"""One loaded tagger for many streams at once: what they bring is answered in common batches."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from itertools import count
from typing import Self

from pipeline.errors import TaggerError
from pipeline.model import Frame
from pipeline.taggers.base import Answer, Budget, Film, Look, Question, Summary, Tagger
from pipeline.taggers.engine import Completion, Prompt

WAITING = 8
"""Frames that may wait beside those the tagger has taken: more would only take memory."""

IDLE_S = 0.05
"""How often a tagger that has nothing to do hears so."""

BUSY_S = 0.003
"""How often one that has something hears that there is no more: so long its answers wait to be taken."""

Inbox = queue.SimpleQueue["Answer | Summary | None"]
"""Of one stream. None: the tagger has come to an end."""


class SharedTagger:
    """A tagger (see base.Tagger) whose `look` may run in several threads at a time; `tagger` is entered with it.

    What makes the tagger give up ends every look with the same TaggerError.
    """

    def __init__(self, tagger: Tagger) -> None:
        self.identity, self.looks, self.summarises = tagger.identity, tagger.looks, tagger.summarises
        self._tagger = tagger
        self._items: queue.PriorityQueue[tuple[bool, int, Frame | Film]] = queue.PriorityQueue()
        self._numbers, self._room = count(), threading.Semaphore(WAITING)
        self._inboxes: dict[Frame | Film, Inbox] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tagger", daemon=True)

    @property
    def has_given_up(self) -> bool:
        """Whether what the tagger raised has ended it."""
        return self._trouble is not None

    def budget(self) -> Budget | None:
        return self._tagger.budget()

    def answer(self, question: Question) -> Generator[str]:
        return self._tagger.answer(question)

    def converse(self, prompt: Prompt) -> Generator[str, None, Completion]:
        return self._tagger.converse(prompt)

    def __enter__(self) -> Self:
        self._tagger.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self._tagger.__exit__(*exc)

    def look(self, stream: Iterable[Look], *, first: bool = False) -> Generator[Answer | Summary]:
        """As base.Tagger.look; a stream that ends is waited for until its last answer is there.

        first: what it brings goes before what others have waiting: somebody waits for it.
        """
        inbox: Inbox = queue.SimpleQueue()
        asked: set[Frame | Film] = set()
        try:
            for item in stream:
                if item is not None:
                    asked.add(item)
                    self._ask(item, inbox, first)
                while not inbox.empty():
                    yield self._taken(inbox, asked)
            while asked:
                yield self._taken(inbox, asked)
        finally:
            with self._lock:
                for item in asked:
                    self._inboxes.pop(item, None)

    def _ask(self, item: Frame | Film, inbox: Inbox, first: bool) -> None:
        with self._lock:
            self._inboxes[item] = inbox
        self._check()
        while not first and not self._room.acquire(timeout=IDLE_S):
            self._check()
        self._items.put((not first, next(self._numbers), item))

    def _taken(self, inbox: Inbox, asked: set[Frame | Film]) -> Answer | Summary:
        self._check()
        answer = inbox.get()
        if answer is None:
            self._check()
        assert answer
        asked.discard(_item_of(answer))
        return answer

    def _check(self) -> None:
        if self._trouble:
            raise TaggerError(str(self._trouble)) from self._trouble
        if self._over.is_set():
            raise TaggerError("the tagger has been ended")

    def _run(self) -> None:
        try:
            for answer in self._tagger.look(self._stream()):
                with self._lock:
                    inbox = self._inboxes.pop(_item_of(answer), None)
                if inbox:  # else nobody waits for it any more
                    inbox.put(answer)
        except BaseException as error:
            self._trouble = error
        finally:
            self._over.set()
            with self._lock:
                for inbox in self._inboxes.values():
                    inbox.put(None)

    def _stream(self) -> Generator[Look]:
        """What all bring; None at once when there is nothing more, so that no batch waits to be filled."""
        while not self._over.is_set():
            try:
                can_wait, _, item = self._items.get_nowait()
            except queue.Empty:
                yield None
                try:
                    can_wait, _, item = self._items.get(timeout=BUSY_S if self._inboxes else IDLE_S)
                except queue.Empty:
                    continue
            if can_wait:
                self._room.release()
            with self._lock:
                wanted = item in self._inboxes
            if wanted:
                yield item


def _item_of(answer: Answer | Summary) -> Frame | Film:
    return answer.frame if isinstance(answer, Answer) else answer.film
