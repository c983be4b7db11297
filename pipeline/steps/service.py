"""What works for the HTTP API: loaded taggers, decoder processes and the lake, as long as the server runs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pipeline.errors import MediaError, StoreError, UsageError
from pipeline.lake.catalog import Lake, open_lake
from pipeline.model import MediaObject
from pipeline.scratch import scratch_folder
from pipeline.steps.taggers_on_call import TaggersOnCall
from pipeline.steps.workplace import Workplace
from pipeline.store import open_store, resolve_uri, scheme_of
from pipeline.store.base import Store
from pipeline.uris import stored_uri

T = TypeVar("T")

AT_ONCE = 64
"""Callers' media that are fetched, decoded or looked at at a time; those that are decoded are as many as workers."""

_DATA_URL = re.compile(r"data:image/[\w.+-]{1,80}(;[\w=-]{1,80}){0,8};base64,", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fetched:
    """One media object that somebody named, where its bytes are had from, and a folder for them.

    stored_uri: what the lake calls it.
    """

    media: MediaObject
    store: Store
    folder: Path
    stored_uri: str


class Service:
    """Use it in a with statement: loading takes as long as the tagger does. Its methods suit many threads."""

    def __init__(self, request: dict[str, Any]) -> None:
        """request: settings by their names. Raises UsageError, TaggerError."""
        self.work = Workplace.of(request)
        self.settings = self.work.settings
        self.taggers = TaggersOnCall(self.work)
        self._lakes = threading.local()
        self.decoders = self.work.decoders()
        # its threads live as long as it does: the system ends a decoder process with the thread that started it
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="media")

    def __enter__(self) -> Self:
        self.taggers.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.decoders.stop()
        self._pool.shutdown(cancel_futures=True)
        self.decoders.close()
        self.taggers.__exit__(*exc)

    def lake(self) -> Lake:
        """This thread's own connection to the server's lake, which is made where there is none."""
        if not hasattr(self._lakes, "own"):
            self._lakes.own = self.work.lake(create=True, read_only=False)
        lake: Lake = self._lakes.own
        return lake

    @contextmanager
    def lake_at(self, folder: str | None, *, create: bool = False) -> Iterator[Lake]:
        """The lake in a folder, for as long as the block lasts; None: the server's."""
        if folder is None:
            yield self.lake()
        else:
            with closing(open_lake(folder, open_store(folder), catalog=None, create=create, read_only=False)) as lake:
                yield lake

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Do something with media in a thread of the service's own; more than AT_ONCE wait for their turn."""
        return self._pool.submit(work)

    @contextmanager
    def fetched(self, url: str) -> Iterator[Fetched]:
        """What a stranger named: http(s), s3:// of a configured source, or data:image/…;base64.

        Raises UsageError for any other, MediaError for what can't be reached or may not be, StoreError where a store of
        the server's is out of reach; nothing is fetched yet.
        """
        with scratch_folder() as folder:
            if url[:5].lower() == "data:":
                path = folder / "data"
                path.write_bytes(_data(url))
                store = open_store(str(path))
                media = next(iter(store.list(str(path))))
                yield Fetched(media, store, folder, f"data:sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
            else:
                with self.stores([url], reads_on=True) as stores:
                    store = stores[scheme_of(url).lower()]
                    media = _named(store, url)
                    yield Fetched(media, store, folder, media.uri)

    @contextmanager
    def stores(self, urls: Sequence[str], *, reads_on: bool = False) -> Iterator[dict[str, Store]]:
        """By scheme, where strangers' URLs lead: http(s) as far as the guard goes, s3:// within the server's sources.

        reads_on: as HttpStore has it. Raises UsageError for any other.
        """
        stores: dict[str, Store] = {}
        for url in urls:
            self.check(url)
        webs = [url for url in urls if scheme_of(url).lower() in ("http", "https")]
        if own := [url for url in urls if url not in webs]:
            stores["s3"] = self.work.store(own[0])
        with ExitStack() as leaving:
            if webs:
                web = self.work.guarded(webs, reads_on=reads_on)
                leaving.callback(web.close)
                stores |= {"http": web, "https": web}
            yield stores

    def check(self, url: str) -> None:
        """Raises UsageError for a URL that nobody may name."""
        scheme = scheme_of(url).lower()
        if scheme in ("http", "https"):
            resolve_uri(url)
        elif scheme != "s3":
            raise UsageError("a media URL is http(s), or s3:// within the server's sources; an image may be a data URL")
        elif not any(_lies_in(url, source) for source in self.work.sources):
            raise UsageError("this s3:// URL lies in none of the server's sources: give http(s), or ask for the source")

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
        if scheme_of(url).lower() == "s3":
            raise
        raise MediaError(error.code, str(error).partition(": ")[0]) from error
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
