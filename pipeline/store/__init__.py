"""Where media and lakes lie. `open_store(uri)` picks the store by the URI's scheme."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import UsageError, unknown_name
from pipeline.store.base import Store
from pipeline.uris import canonical_uri

STORES = {
    "": "pipeline.store.local:LocalStore",
    "s3": "pipeline.store.s3:S3Store",
    "http": "pipeline.store.http:HttpStore",
    "https": "pipeline.store.http:HttpStore",
}


def resolve_uri(uri: str) -> str:
    """The URI in the one form everything else uses: s3://bucket/key, https://…, or an absolute path.

    A folder's path ends with a slash, so that `/tapes` doesn't reach into `/tapes-2`.

    Raises UsageError: an unknown scheme, a bucket without a name, a URL without a host, an empty URI.
    """
    if not uri.strip():
        raise UsageError("a URI is empty: give s3://bucket/prefix, a folder, a file or an https URL")
    scheme, colon, rest = uri.partition("://")
    if not colon:
        return _folder_or_file(Path(uri).expanduser())
    if scheme == "file":
        return _folder_or_file(Path(unquote(urlsplit(uri).path)))
    if scheme not in STORES:
        raise unknown_name("URI scheme", scheme, [name for name in STORES if name] + ["file"])
    if scheme == "s3" and not rest.partition("/")[0]:
        raise UsageError(f"'{uri}' names no bucket: write s3://bucket/prefix")
    if scheme.startswith("http") and not _has_host(uri):
        raise UsageError(f"a {scheme} URL has no valid host or port: write {scheme}://host/path")  # it may hold secrets
    return uri


def open_store(uri: str, sources: Sequence[str] = ()) -> Store:
    """A store for a resolved URI. sources: full URLs, which an http store needs to fetch what is stored without."""
    module, _, name = STORES[scheme_of(uri)].partition(":")
    store: Store = getattr(import_module(module), name)(tuple(sources))
    return store


def scheme_of(uri: str) -> str:
    """The scheme of a resolved URI, '' for a path."""
    return uri.partition("://")[0] if "://" in uri else ""


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(canonical_uri(url)).hostname)
    except ValueError:
        return False


def _folder_or_file(path: Path) -> str:
    path = Path(os.path.abspath(path))  # noqa: PTH100 (also resolves `..`, unlike Path.absolute, and follows no link)
    return f"{path}/" if path.is_dir() and path != Path("/") else str(path)
