"""What was answered and isn't committed yet, so that a killed run pays for nothing twice.

`<lake>/work/<run_id>/journal/<media_id>.json` holds one media object in flight: its answered frames so far,
and its whole tagging once it is finished. Gone after the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter

from pipeline.lake.catalog import Lake
from pipeline.model import MediaTags, TaggedFrame


@dataclass(frozen=True)
class Entry:
    """One media object in flight. finished: the whole tagging, or None while frames are still missing."""

    media_id: str
    etag: str
    recipe_id: str
    frames: tuple[TaggedFrame, ...] = ()
    finished: MediaTags | None = None


_ENTRY = TypeAdapter(Entry)


class Journal:
    """The journal of one run. Safe to use from several threads."""

    def __init__(self, lake: Lake, run_id: str) -> None:
        self._store = lake.store
        self._folder = lake.work_uri(run_id, "journal")

    def keep(self, entry: Entry) -> None:
        self._store.write(self._uri(entry.media_id), _ENTRY.dump_json(entry))

    def find(self, media_id: str) -> Entry | None:
        data = self._store.read(self._uri(media_id))
        return None if data is None else _read(data)

    def drop(self, media_id: str) -> None:
        self._store.delete(self._uri(media_id))

    def kept(self) -> set[str]:
        """The media_ids of which it has an entry."""
        return {uri.rpartition("/")[2].removesuffix(".json") for uri in self._store.names(self._folder)}

    def entries(self) -> Iterator[Entry]:
        for uri in list(self._store.names(self._folder)):
            entry = _read(self._store.read(uri) or b"")
            if entry is not None:
                yield entry

    def _uri(self, media_id: str) -> str:
        return f"{self._folder}/{media_id}.json"


def _read(data: bytes) -> Entry | None:
    """An entry another version wrote, or none at all, is as good as no entry: its frames are looked at again."""
    try:
        return _ENTRY.validate_json(data)
    except ValueError:
        return None
