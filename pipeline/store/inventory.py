"""S3 Inventory: the listing of a bucket that S3 itself writes once a day or week, for buckets too large to list.

Its manifest.json names the files of rows and their MD5; they are CSV (gzip), ORC or Parquet. See "Amazon S3 Inventory"
in AWS's user guide.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import MediaError, StoreError
from pipeline.store.base import Store

FORMS = ("CSV", "ORC", "Parquet")

_ARN = "arn:aws:s3:::"
_NEWER = "take a newer inventory"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of rows: its URI, and the MD5 of its bytes in hex."""

    uri: str
    md5: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """bucket: which it lists. made_at: S3 began to write it then, and what changed since isn't in it.

    columns: of CSV files, in their order; the others say it themselves.
    """

    uri: str
    bucket: str
    made_at: datetime
    form: str
    columns: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def root(self) -> str:
        """What the URIs of all its objects begin with."""
        return f"s3://{self.bucket}/"


def read_manifest(store: Store, uri: str) -> Manifest:
    """Raises StoreError for a manifest that isn't there, or isn't one."""
    data = store.read(uri)
    if data is None:
        raise StoreError(f"there is no inventory manifest at '{uri}': give the URI of a manifest.json that S3 wrote")
    try:
        told = json.loads(data)
        form = str(told["fileFormat"])
        manifest = Manifest(
            uri,
            told["sourceBucket"].removeprefix(_ARN),
            datetime.fromtimestamp(int(told["creationTimestamp"]) / 1000, UTC),
            form,
            tuple(name.strip() for name in told["fileSchema"].split(",")) if form == "CSV" else (),
            tuple(Part(_place(uri, part["key"]), part["MD5checksum"].lower()) for part in told["files"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"'{uri}' is not an inventory's manifest ({type(error).__name__}: {error}): give the URI of a "
            "manifest.json that S3 wrote"
        ) from error
    if not manifest.parts:  # of an empty bucket, or cut short: by it every object would be gone
        raise StoreError(f"the inventory '{uri}' names no files of rows: {_NEWER}")
    if form not in FORMS:
        raise StoreError(f"the inventory '{uri}' has the format {form!r}: let S3 write it as {', '.join(FORMS)}")
    return manifest


def _place(manifest: str, key: str) -> str:
    """Where a file of rows lies: by its key in the manifest's bucket. Of a manifest that was copied into a folder, with
    the folders around it or without: in `data` beside its own folder, or beside it."""
    if manifest.startswith("s3://"):
        return f"s3://{manifest.removeprefix('s3://').partition('/')[0]}/{key}"
    home, name = Path(manifest).parent, Path(key).name
    copied = home.parent / "data" / name
    return str(copied if copied.exists() else home / name)


def bring(store: Store, manifest: Manifest, part: Part, folder: Path) -> Path:
    """A file of rows as a local file, whose bytes are the ones that the manifest means.

    Raises StoreError for one that is missing, can't be read, or has other bytes.
    """
    try:
        media = next((media for media in store.list(part.uri) if media.uri == part.uri), None)
    except StoreError as error:
        raise StoreError(_cant_be_had(manifest, part, str(error).partition(": ")[0])) from error
    if media is None:
        raise StoreError(_cant_be_had(manifest, part, "it is missing"))
    try:
        path = store.fetch(media, folder).path
    except MediaError as error:
        raise StoreError(_cant_be_had(manifest, part, error.code)) from error
    with path.open("rb") as file:
        md5: Any = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    if md5.hexdigest() != part.md5:
        raise StoreError(
            f"'{part.uri}' has other bytes than the inventory '{manifest.uri}' says (its MD5 is {md5.hexdigest()}, not "
            f"{part.md5}): {_NEWER}"
        )
    return path


def _cant_be_had(manifest: Manifest, part: Part, why: str) -> str:
    return f"the inventory '{manifest.uri}' names '{part.uri}', which can't be had ({why}): {_NEWER}"
