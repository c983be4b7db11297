"""One answer, handed out while it is written in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

_BROKEN = "\ufffd"


class Pieces:
    """A streamer of transformers: tokens go in, pieces of text come out as soon as their characters are whole.

    transformers' own keeps everything back until the next space, which some languages never write.
    """

    def __init__(self, decode: Callable[[list[int]], str], out: SimpleQueue[str | None]) -> None:
        self._decode, self._out = decode, out
        self._prompt_seen = False
        self._tokens: list[int] = []
        self._text = ""

    def put(self, value: Any) -> None:
        """One row of tokens, as a tensor; the first is the prompt."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._tokens += value.flatten().tolist()
        text = self._decode(self._tokens)
        # a character that isn't whole yet shows as one to three of these; more of them are broken for good
        if not text.endswith(_BROKEN) or text.endswith(_BROKEN * 4):
            self._give(text)

    def end(self) -> None:
        self._give(self._decode(self._tokens))

    def _give(self, text: str) -> None:
        if text != self._text:
            self._out.put(text[len(self._text) :])
        self._text = text


class Answering:
    """A thread that writes one answer. `write` gets the streamer, and the event at which it has to stop."""

    def __init__(self, write: Callable[[Pieces, Event], object], decode: Callable[[list[int]], str]) -> None:
        self._pieces: SimpleQueue[str | None] = SimpleQueue()
        self._closed = Event()
        self._error: BaseException | None = None
        self._write, self._decode = write, decode
        self._thread = Thread(target=self._work, name="shotlog-answer", daemon=True)
        self._thread.start()

    def __iter__(self) -> Generator[str]:
        """The pieces. Raises what `write` raised, when they have all been given."""
        while (piece := self._pieces.get()) is not None:
            yield piece
        if self._error:
            raise self._error

    def end(self) -> None:
        """Stop writing and wait for the thread."""
        self._closed.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._write(Pieces(self._decode, self._pieces), self._closed)
        except BaseException as error:
            self._error = error
        finally:
            self._pieces.put(None)
