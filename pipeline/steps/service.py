"""What answers over HTTP: one loaded tagger and its decoder processes, for as long as the server runs."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pipeline.errors import MediaError, StoreError, UsageError
from pipeline.model import MediaObject
from pipeline.steps.scratch import scratch_folder
from pipeline.steps.workplace import Workplace
from pipeline.store import open_store, resolve_uri, scheme_of
from pipeline.store.base import Store
from pipeline.store.guard import MAX_REDIRECTS, GuardedTransport
from pipeline.store.http import HttpStore
from pipeline.taggers.shared import SharedTagger
from pipeline.uris import stored_uri

T = TypeVar("T")

FETCH_S = 120.0
"""All of one media object has to come in this time: a thread waits for it."""

_DATA_URL = re.compile(r"data:image/[\w.+-]{1,80}(;[\w=-]{1,80}){0,8};base64,", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fetched:
    """One media object that somebody named, where its bytes are had from, and a folder for them."""

    media: MediaObject
    store: Store
    folder: Path


class Service:
    """Use it in a with statement: loading takes as long as the tagger does. Its methods suit many threads."""

    def __init__(self, request: dict[str, Any]) -> None:
        """request: settings by their names. Raises UsageError, TaggerError."""
        self.work = Workplace.of(request)
        self.settings = self.work.settings
        self.tagger = SharedTagger(self.work.tagger())
        self.decoders = self.work.decoders()
        # its threads live as long as it does: the system ends a decoder process with the thread that started it
        self._pool = ThreadPoolExecutor(len(self.decoders), thread_name_prefix="media")

    def __enter__(self) -> Self:
        self.tagger.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.decoders.stop()
        self._pool.shutdown(cancel_futures=True)
        self.decoders.close()
        self.tagger.__exit__(*exc)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Do something with media in a thread of the service's own: as many at a time as there are workers."""
        return self._pool.submit(work)

    @contextmanager
    def fetched(self, url: str) -> Iterator[Fetched]:
        """What a stranger named: http(s), s3:// of a configured source, or data:image/…;base64.

        Raises UsageError for any other, MediaError for what can't be reached or may not be; nothing is fetched yet.
        """
        with scratch_folder() as folder:
            if url[:5].lower() == "data:":
                path = folder / "data"
                path.write_bytes(_data(url))
                store = open_store(str(path))
                yield Fetched(next(iter(store.list(str(path)))), store, folder)
            else:
                with self._store(url) as store:
                    yield Fetched(_named(store, url), store, folder)

    @contextmanager
    def _store(self, url: str) -> Iterator[Store]:
        scheme = scheme_of(url).lower()
        if scheme in ("http", "https"):
            resolve_uri(url)
            guard = GuardedTransport(self.settings.fetch_allow_hosts, within_s=FETCH_S)
            with closing(HttpStore((url,), transport=guard, max_redirects=MAX_REDIRECTS)) as store:
                yield store
            return
        if scheme == "s3" and any(_lies_in(url, source) for source in self.work.sources):
            yield self.work.store(url)
            return
        if scheme == "s3":
            raise UsageError("this s3:// URL lies in none of the server's sources: give http(s), or ask for the source")
        raise UsageError("a media URL is http(s), s3:// within the server's sources, or data:image/…;base64,…")

    def watch(self, got_bytes: int) -> None:
        """Called while an object is fetched. Raises MediaError for one that is larger than a caller may name."""
        if got_bytes > (limit := self.settings.fetch_mb << 20):
            raise MediaError("too_large", f"more than {limit:,} bytes")


def _named(store: Store, url: str) -> MediaObject:
    """The very object; a listing also gives what only begins with its name. Raises MediaError."""
    try:
        for media in store.list(url):
            if media.uri == stored_uri(url):
                return media
            break
    except StoreError as error:
        raise MediaError("unreadable", str(error)) from error
    raise MediaError("not_found")


def _lies_in(url: str, source: str) -> bool:
    return url == source or url.startswith(source.rstrip("/") + "/")


def _data(url: str) -> bytes:
    """The bytes of a data URL. Raises UsageError."""
    if not (head := _DATA_URL.match(url)):
        raise UsageError("a data URL is data:image/TYPE;base64, and the picture's bytes in base64")
    try:
        data = base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the data URL's base64 is broken") from None
    if not data:
        raise MediaError("empty_file")
    return data
