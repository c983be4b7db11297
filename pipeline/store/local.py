"""Media and lakes in folders of this machine."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import MediaError, StoreError
from pipeline.model import MediaObject
from pipeline.store.base import LocalCopy

if TYPE_CHECKING:
    import duckdb


class LocalStore:
    """Files by absolute path. A file's etag is its modification time (ns) and size in hex."""

    def __init__(self, sources: tuple[str, ...] = ()) -> None:
        """A path says all there is to know: nothing is kept of the sources."""

    def list(self, source: str) -> Iterator[MediaObject]:
        root = Path(source)
        if root.is_file():
            yield _media(root, root.stat())
            return
        if not root.is_dir():
            raise StoreError(f"there is no folder or file '{source}': check the path")
        yield from _walk(root)

    def fetch(self, media: MediaObject, folder: Path) -> LocalCopy:  # noqa: ARG002 (read where it lies)
        if "\\x" in media.uri and not os.path.lexists(media.uri):
            raise MediaError("bad_name", media.uri)
        path = Path(media.uri)
        try:
            with path.open("rb") as file:
                content_id = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except FileNotFoundError as error:
            raise MediaError("not_found") from error
        except PermissionError as error:
            raise MediaError("access_denied", error.strerror or "") from error
        except OSError as error:
            raise MediaError("unreadable", error.strerror or "") from error
        if self.changed(media):
            raise MediaError("object_changed")
        return LocalCopy(path, content_id, size)

    def changed(self, media: MediaObject) -> bool:
        try:
            return _etag(Path(media.uri).stat()) != media.etag
        except OSError:
            return True

    def read(self, uri: str) -> bytes | None:
        try:
            return Path(uri).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"'{uri}' can't be read: {error.strerror}") from error

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> bool:
        target = Path(uri)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as part:
                part.write(data)
                part.flush()
                os.fsync(part.fileno())
            try:
                if if_absent:
                    os.link(part.name, target)  # fails where the name is taken, unlike a rename
                    return True
                Path(part.name).replace(target)
                return True
            except FileExistsError:
                return False
            finally:
                Path(part.name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"'{uri}' can't be written: {error.strerror}") from error

    def names(self, prefix: str) -> Iterator[str]:
        for folder, _, names in os.walk(prefix):
            yield from (str(Path(folder) / name) for name in names if not name.startswith(".part-"))

    def delete(self, uri: str) -> None:
        path = Path(uri)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # a folder that still holds something stays
            path.parent.rmdir()

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Nothing to do: DuckDB reads and writes files by itself."""


def _walk(folder: Path) -> Iterator[MediaObject]:
    """Files below a folder. Links to folders aren't followed: they can lead in circles."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(Path(entry.path))
                else:
                    with suppress(FileNotFoundError):  # deleted meanwhile, or a link to nothing
                        if entry.is_file():
                            yield _media(Path(entry.path), entry.stat())
    except OSError as error:
        raise StoreError(f"the folder '{folder}' can't be listed: {error.strerror}") from error


def _media(path: Path, stat: os.stat_result) -> MediaObject:
    uri = os.fsencode(path).decode("utf-8", "backslashreplace")  # a name that isn't UTF-8 becomes `bad_name`
    return MediaObject(uri, _etag(stat), stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
