"""Sources of a run that lead nowhere, where that doesn't end it: URLs that a caller of the HTTP API gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from pipeline.errors import MediaError, StoreError, without_next_step
from pipeline.lake.catalog import Lake
from pipeline.model import MediaObject
from pipeline.uris import stored_uri


@dataclass(frozen=True, slots=True)
class Refusal:
    """number: which of the run's sources. uri: of it, as the lake shows it. code: of errors.CODES."""

    number: int
    uri: str
    code: str
    sentence: str


class Refusals:
    """Those of one run, kept beside the lake until it has ended."""

    def __init__(self, lake: Lake, run_id: str) -> None:
        self._lake, self._uri = lake, lake.work_uri(run_id, "refused.json")
        self._found: list[Refusal] = []

    def heeded(self, source: str, number: int, listed: Callable[[str], Iterable[MediaObject]]) -> Iterator[MediaObject]:
        """What a source lists, as far as it goes."""
        try:
            yield from listed(source)
        except StoreError as error:
            self._found.append(Refusal(number, stored_uri(source), error.code, str(error).partition(": ")[0]))
        except MediaError as error:
            sentence = without_next_step(error.code, str(error))
            self._found.append(Refusal(number, stored_uri(source), error.code, sentence))

    def keep(self) -> None:
        self._lake.store.write(self._uri, json.dumps([asdict(refusal) for refusal in self._found]).encode())

    def kept(self) -> list[Refusal]:
        """None of them where nobody kept any."""
        data = self._lake.store.read(self._uri)
        return [Refusal(**refusal) for refusal in json.loads(data)] if data else []
