"""The store protocol: listing and reading media, and the few small objects a lake keeps beside its data.

To add a store: write `store/<scheme>.py` with a class like this, add one line to `store.STORES`, and one
fixture line in tests/contract/test_stores.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pipeline.model import MediaObject

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """A media object's bytes as a local file. content_id: SHA-256 of the bytes; None where only some are there.

    bytes_read: what was fetched; what broke off and was asked for again counts once.
    metadata: what its uploader said of it (S3's user metadata), keys in lower case; empty where a store keeps none.
    """

    path: Path
    content_id: str | None
    bytes_read: int
    metadata: dict[str, str] = field(default_factory=dict)


CHUNK_BYTES = 1 << 20

SIDECAR_BYTES = 64 << 10
"""No more of a text beside a media object is read."""

Watch = Callable[[int], None]
"""Hears after every chunk how many bytes have come; what it raises ends the fetch, or the read of a range."""


def unwatched(_bytes: int) -> None:
    """Let everything through."""


def digest(chunks: Iterable[bytes], watch: Watch, file: BinaryIO | None = None) -> tuple[str, int]:
    """SHA-256 and number of bytes of an object that comes in chunks; written to `file` on the way."""
    sha256, count = hashlib.sha256(), 0
    for chunk in chunks:
        sha256.update(chunk)
        count += len(chunk)
        if file:
            file.write(chunk)
        watch(count)
    return sha256.hexdigest(), count


class Ranges(Protocol):
    """One version of one object, read in pieces. One thread at a time.

    size_bytes: as listed. metadata: as LocalCopy's; empty until the first read.
    """

    size_bytes: int
    metadata: dict[str, str]

    def read(self, start: int, stop: int) -> bytes:
        """Exactly the bytes [start, stop), where 0 <= start < stop <= size_bytes (else ValueError).

        Raises MediaError: object_changed where the object isn't the listed version any more, not_found, access_denied,
        unreadable where the answer is anything but these bytes, and what the watch raises.
        """
        ...


class Store(Protocol):
    """One place that holds objects. Safe to use from several threads."""

    def list(self, source: str) -> Iterator[MediaObject]:
        """Stream the objects under a source URI, page by page, in no promised order.

        Raises StoreError for a bucket, folder or endpoint that is missing or refuses.
        """
        ...

    def fetch(self, media: MediaObject, folder: Path, watch: Watch = unwatched) -> LocalCopy:
        """Bring one object's bytes to a local file (inside `folder`, or where it lies already).

        Raises MediaError: not_found, access_denied, unreadable, object_changed, bad_name, and what `watch` raises.
        """
        ...

    def ranges(self, media: MediaObject, watch: Watch = unwatched) -> Ranges | None:
        """A way to read one object in pieces, or None where that can't be or gains nothing: `fetch` it then.

        watch: hears for each range anew how many of its bytes have come.

        Raises MediaError as `fetch` does, where the store has to ask first.
        """
        ...

    def changed(self, media: MediaObject) -> bool:
        """Whether what `fetch` handed out may have changed since (only where it lies in place, not copied)."""
        ...

    def beside(self, media: MediaObject, ending: str) -> bytes | None:
        """The text that lies beside a media object: clip.mp4 and `.txt` give what clip.mp4.txt begins with.

        At most SIDECAR_BYTES; None where there is none. Raises MediaError (access_denied, unreadable) where nobody can
        tell or it can't be read, so that no answer is paid for that lacks what the archive knows.
        """
        ...

    def read(self, uri: str) -> bytes | None:
        """A small object's bytes, or None where there is none."""
        ...

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Write a small object in one step. With `if_absent`, False says that one was there already."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """URIs of the small objects under a folder URI, recursively; none where there is no such folder.

        Raises StoreError where one can't be listed: what isn't named isn't there.
        """
        ...

    def delete(self, uri: str) -> None:
        """Remove a small object; nothing happens where there is none."""
        ...

    def clear(self, prefix: str) -> None:
        """Remove all below a folder URI, also what a writer that was killed left half-written."""
        ...

    def clear_parts(self, prefix: str) -> None:
        """Remove what writers that were killed left half-written below a folder URI. Who writes just then, writes
        again."""
        ...

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Let this DuckDB connection read and write the store's URIs."""
        ...
