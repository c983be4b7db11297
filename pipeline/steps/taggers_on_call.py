"""The taggers that callers of the HTTP API may name: each is loaded once, when it is first asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Self

from pipeline.steps.workplace import Workplace
from pipeline.taggers import open_tagger
from pipeline.taggers.shared import SharedTagger

Kinds = tuple[str, ...]


class TaggersOnCall:
    """Use it in a with statement, which loads the server's own. Its methods suit many threads.

    Names are as the setting `tagger` has them; kinds are metadata kinds in their order.
    """

    def __init__(self, work: Workplace) -> None:
        """Raises UsageError where one of them is none."""
        self._work, self._all = work, work.settings.metadata
        self.own = work.settings.tagger
        self.names = tuple(dict.fromkeys((self.own, *work.settings.models)))
        for name in self.names:
            open_tagger(work.settings.model_copy(update={"tagger": name}))
        self._open: dict[tuple[str, Kinds], tuple[SharedTagger, Kinds]] = {}
        self._loading = threading.RLock()

    def __enter__(self) -> Self:
        self.of(self.own, self._all)
        return self

    def __exit__(self, *exc: object) -> None:
        for tagger in self._entered():
            tagger.__exit__(*exc)

    @property
    def is_broken(self) -> bool:
        """Whether one has given up: nothing mends that but another process."""
        return any(tagger.has_given_up for tagger in self._entered())

    def named(self, name: str | None) -> str | None:
        """The whole name of who is meant, the server's own where nobody is named; None for who isn't known.

        A model may be named without what it runs by.
        """
        if name is None:
            return self.own
        return next((known for known in self.names if name in (known, known.partition(":")[2] or None)), None)

    def of(self, name: str, kinds: Kinds) -> SharedTagger:
        """Who fills these kinds. A model is asked for no others; who sees all at once needs no telling.

        Takes as long as loading does where nobody has asked for it yet. Raises TaggerError.
        """
        return self._of(name, kinds)[0]

    def work_of(self, name: str, kinds: Kinds, *, sampling: str | None = None) -> Workplace:
        """The settings under which these kinds are filled; what `of` answers is filed under their recipe."""
        settings = self._work.settings
        chosen = {
            "tagger": name,
            "retag": True,  # who asks for it now wants this very recipe
            "retry_failed": True,  # and to know what is wrong
            "callers_urls": True,
            "metadata": self._of(name, kinds)[1],
            "sampling": sampling or settings.sampling,
            "max_object_mb": min(settings.max_object_mb, settings.fetch_mb),
        }
        return replace(self._work, settings=settings.model_copy(update=chosen))

    def _of(self, name: str, kinds: Kinds) -> tuple[SharedTagger, Kinds]:
        if found := self._open.get((name, kinds)):
            return found
        with self._loading:
            if (name, kinds) not in self._open:
                own = self._work.settings.model_copy(update={"tagger": name, "metadata": kinds})
                tagger = SharedTagger(open_tagger(own))
                if tagger.identity.prompt_version is None and set(kinds) < set(self._all):
                    self._open[name, kinds] = self._of(name, self._all)
                else:
                    self._open[name, kinds] = tagger.__enter__(), kinds
            return self._open[name, kinds]

    def _entered(self) -> list[SharedTagger]:
        return list({id(tagger): tagger for tagger, _ in list(self._open.values())}.values())
