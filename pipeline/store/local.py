"""Media and lakes in folders of this machine."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from pipeline.errors import MediaError, StoreError
from pipeline.model import MediaObject
from pipeline.store.base import CHUNK_BYTES, SIDECAR_BYTES, LocalCopy, Watch, digest, unwatched

if TYPE_CHECKING:
    import duckdb

_PART = ".part-"
"""How a file that is being written is called until it is whole."""

_PATIENCE = 100
"""How often a folder is made again that others delete at the same moment."""


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

    def fetch(self, media: MediaObject, folder: Path, watch: Watch = unwatched) -> LocalCopy:  # noqa: ARG002 (read where it lies)
        if "\\x" in media.uri and not os.path.lexists(media.uri):
            raise MediaError("bad_name", media.uri)
        path = Path(media.uri)
        try:
            with path.open("rb") as file:
                content_id, size = digest(iter(lambda: file.read(CHUNK_BYTES), b""), watch)
        except FileNotFoundError as error:
            raise MediaError("not_found") from error
        except OSError as error:
            raise _media_error(error) from error
        if self.changed(media):
            raise MediaError("object_changed")
        return LocalCopy(path, content_id, size)

    def ranges(self, media: MediaObject, watch: Watch = unwatched) -> None:
        """None: a file is read where it lies, and any part of it."""

    def changed(self, media: MediaObject) -> bool:
        try:
            return _etag(Path(media.uri).stat()) != media.etag
        except OSError:
            return True

    def beside(self, media: MediaObject, ending: str) -> bytes | None:
        path = Path(media.uri + ending)
        try:
            if not S_ISREG(path.stat().st_mode):  # a folder, or a pipe that would never end
                return None
            with path.open("rb") as file:
                return file.read(SIDECAR_BYTES)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                return None
            raise _media_error(error) from error

    def read(self, uri: str) -> bytes | None:
        try:
            return Path(uri).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(_refusal(uri, "read", error)) from error

    def write(self, uri: str, data: bytes, *, if_absent: bool = False) -> bool:
        target = Path(uri)
        try:
            for _ in range(_PATIENCE):
                part = _write_beside(target, data)
                with suppress(FileNotFoundError):  # `clear_parts` took it for a dead writer's
                    return _put_in_place(part, target, if_absent)
            raise FileNotFoundError(errno.ENOENT, "what is written is deleted again and again")
        except OSError as error:
            raise StoreError(_refusal(uri, "written", error)) from error

    def names(self, prefix: str) -> Iterator[str]:
        for folder, _, names in os.walk(prefix, onerror=_cant_be_listed):
            yield from (str(Path(folder) / name) for name in names if not name.startswith(_PART))

    def delete(self, uri: str) -> None:
        path = Path(uri)
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise StoreError(_refusal(uri, "deleted", error)) from error
        with suppress(OSError):  # a folder that still holds something stays, and those above it
            for folder in path.parents:
                folder.rmdir()

    def clear(self, prefix: str) -> None:
        for folder, _, names in os.walk(prefix, topdown=False):
            for name in names:
                self.delete(str(Path(folder) / name))
            with suppress(OSError):
                Path(folder).rmdir()

    def clear_parts(self, prefix: str) -> None:
        for folder, _, names in os.walk(prefix, onerror=_cant_be_listed):
            for name in names:
                if name.startswith(_PART):
                    self.delete(str(Path(folder) / name))

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Nothing to do: DuckDB reads and writes files by itself."""


def _write_beside(target: Path, data: bytes) -> Path:
    """The bytes, safe on disk, under another name in the target's folder, which is made where it isn't there."""
    for _ in range(_PATIENCE):
        part = target.with_name(f"{_PART}{uuid.uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return part
        except (FileNotFoundError, FileExistsError):  # another thread deletes the last file here, and folders with it
            if target.parent.is_file():
                raise
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    raise FileNotFoundError(errno.ENOENT, "its folder is deleted again and again")


def _put_in_place(part: Path, target: Path, if_absent: bool) -> bool:
    """False where one is there that is to stay."""
    try:
        if if_absent:
            return _link(part, target)
        part.replace(target)
        return True
    finally:
        part.unlink(missing_ok=True)


def _link(part: Path, target: Path) -> bool:
    """Give the file its name unless that is taken, which a rename wouldn't mind."""
    try:
        os.link(part, target)
        return True
    except FileExistsError:
        return False


def _media_error(error: OSError) -> MediaError:
    code = "access_denied" if isinstance(error, PermissionError) else "unreadable"
    return MediaError(code, error.strerror or "")


def _refusal(uri: str, what: str, error: OSError) -> str:
    return f"'{uri}' can't be {what} ({error.strerror}): check the path, its permissions and the room on the disk"


def _walk(root: Path) -> Iterator[MediaObject]:
    """Files below a folder, however deep. Links to folders aren't followed: they can lead in circles."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif (stat := _stat(entry)) is not None:
                        yield _media(Path(entry.path), stat)
        except FileNotFoundError:  # deleted meanwhile
            continue
        except OSError as error:
            _cant_be_listed(error)


def _cant_be_listed(error: OSError) -> None:
    """Raises StoreError, but for a folder that isn't there."""
    if not isinstance(error, FileNotFoundError):
        raise StoreError(
            f"the folder '{error.filename}' can't be listed ({error.strerror}): check its permissions"
        ) from error


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None for what is no file: a pipe, a link to nothing or to itself, one that was deleted meanwhile."""
    try:
        return entry.stat() if entry.is_file() else None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise


def _media(path: Path, stat: os.stat_result) -> MediaObject:
    uri = os.fsencode(path).decode("utf-8", "backslashreplace")  # a name that isn't UTF-8 becomes `bad_name`
    return MediaObject(uri, _etag(stat), stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))


def _etag(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
