"""Open a lake and be sure it is the one it says it is.

`<lake>/lake.json` names the catalog, the catalog carries the same id, and every open compares them: a lake on
S3 whose catalog lies on another machine is never taken for an empty one.

Both carry a format, and a newer one in either is refused. That of the tables is in the newest row of `log.identity`,
so that an upgrade is one transaction; lake.json says in which format the lake was made, and is never rewritten.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import duckdb

from pipeline.errors import LakeError
from pipeline.lake.connection import connect
from pipeline.lake.patience import patiently
from pipeline.lake.tables import FORMAT
from pipeline.lake.upgrade import bring_up_to_date, is_up_to_date, newest_identity
from pipeline.store.base import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Lake:
    """An opened lake. Use it from one thread; other threads and processes open their own."""

    uri: str
    store: Store
    lake_id: str
    catalog: Path
    con: duckdb.DuckDBPyConnection
    """Its own connection: views by their bare names, tables as log.NAME."""

    def work_uri(self, run_id: str, *parts: str) -> str:
        """Where a run keeps what isn't committed yet."""
        return "/".join([self.uri.rstrip("/"), "work", run_id, *parts])

    def transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` as one transaction over all tables; the whole of it again while the catalog is busy.

        Writers on one machine take turns: SQLite lets one of them commit at a time and wakes nobody.
        """
        with _open_lock(self._commit_lock) as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            try:
                return patiently(self._transaction)(work)
            except duckdb.Error as error:
                raise LakeError(f"the lake at '{self.uri}' can't be read or written: {error}") from error

    @property
    def _commit_lock(self) -> Path:
        return self.catalog.with_name(self.catalog.name + ".commit.lock")

    def _transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        if "://" in self.uri:
            self.store.prepare(self.con)  # credentials of a role change while a run goes on
        self.con.execute("BEGIN")
        try:
            result = work(self.con)
            self.con.execute("COMMIT")
            return result
        except BaseException:
            with suppress(duckdb.Error):  # a failed commit has rolled back already
                self.con.execute("ROLLBACK")
            raise

    @contextmanager
    def on_all_cores(self) -> Iterator[None]:
        """For a statement over millions of rows, where one thread (see connection.py) would be slower."""
        self.con.execute("RESET threads")
        try:
            yield
        finally:
            self.con.execute("SET threads = 1")

    @contextmanager
    def at_work(self, *, alone: bool, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the lake while tagging: one `shotlog tag` alone, or the tasks of one Airflow run together.

        Calls `waiting` once where another run holds it, then waits. The system lets go when a process dies.
        """
        lock = self.catalog.with_name(self.catalog.name + ".lock")
        with _open_lock(lock) as file:
            kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(file, kind)
            yield

    def close(self) -> None:
        self.con.close()


def open_lake(uri: str, store: Store, *, catalog: str | None, create: bool = False, read_only: bool = True) -> Lake:
    """The lake at a resolved URI. create: where there is none one is made, and opened to be written to.

    Raises LakeError: there is none (and create is False), the place holds something else, it is newer than
    this shotlog, or its catalog isn't on this machine.
    """
    identity = _read_identity(uri, store)
    if identity is None and create:
        if made := _create(uri, store, catalog):
            return made
        identity = _read_identity(uri, store)
    if identity is None:
        raise LakeError(f"there is no lake at '{uri}': `shotlog tag SOURCE --lake {uri}` makes one")
    if identity["format"] > FORMAT:
        raise LakeError(
            f"the lake at '{uri}' has format {identity['format']}, this shotlog knows {FORMAT}: upgrade shotlog"
        )
    if identity["catalog"] != "sqlite":
        raise LakeError(
            f"the lake at '{uri}' has a catalog of kind '{identity['catalog']}', this shotlog knows sqlite: upgrade "
            "shotlog"
        )
    path = _catalog_path(uri, identity["lake_id"], catalog)
    if not path.is_file():
        raise LakeError(_missing_catalog(uri, identity["lake_id"], path))
    con = connect(uri, store, path, read_only=read_only)
    newest = patiently(newest_identity)(con)
    _compare(newest, identity["lake_id"], path)
    lake = Lake(uri, store, identity["lake_id"], path, con)
    if not read_only and not is_up_to_date(newest):
        lake.transaction(lambda con: bring_up_to_date(con, lake.lake_id))
    return lake


def _read_identity(uri: str, store: Store) -> dict[str, Any] | None:
    data = store.read(f"{uri.rstrip('/')}/lake.json")
    if data is None:
        return None
    try:
        identity = json.loads(data)
    except ValueError:
        identity = None
    kinds = {"lake_id": str, "format": int, "catalog": str}
    whole = isinstance(identity, dict) and all(isinstance(identity.get(key), kind) for key, kind in kinds.items())
    return identity if whole else _not_a_lake(uri)


def _not_a_lake(uri: str) -> dict[str, Any]:
    raise LakeError(f"'{uri}/lake.json' is not a lake's: give another --lake, or restore the file")


def _create(uri: str, store: Store, catalog: str | None) -> Lake | None:
    """Make catalog, tables and views first, and the lake real by one conditional put of lake.json.

    None where there is one now that somebody else made: of two that create at once the second finds the first one's.
    One that dies on the way leaves no lake, and its leftovers don't hinder the next.
    """
    lake_id = uuid.uuid4().hex
    path = _catalog_path(uri, lake_id, catalog)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        others = [] if "://" in uri else [entry for entry in Path(uri).iterdir() if entry.name not in _LEFTOVERS]
    except OSError as error:
        raise LakeError(_refused(path, error)) from error
    if others and _read_identity(uri, store) is None:
        raise LakeError(f"'{uri}' is a folder with something else in it: give a new or empty folder as --lake")
    with _open_lock(path.with_name(path.name + ".lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _read_identity(uri, store) is not None:
            return None
        if path.exists() and "://" in uri and not _is_leftover(uri, path):
            raise LakeError(f"'{path}' is another lake's catalog: give a new SHOTLOG_CATALOG")
        if finished_id := _finished_catalog(uri, store, path):
            _make_real(uri, store, finished_id)
            return None
        lake = Lake(uri, store, lake_id, path, _make_catalog(uri, store, path, lake_id))
        if _make_real(uri, store, lake_id):
            return lake
        lake.close()
        path.unlink()
        return None


def _make_real(uri: str, store: Store, lake_id: str) -> bool:
    identity = {"lake_id": lake_id, "format": FORMAT, "catalog": "sqlite"}
    return store.write(f"{uri.rstrip('/')}/lake.json", json.dumps(identity).encode(), if_absent=True)


def _is_leftover(uri: str, path: Path) -> bool:
    """Whether a file is the catalog of this very place, or still holds nothing at all."""
    try:
        with closing(sqlite3.connect(path)) as plain:
            tables = {name for (name,) in plain.execute("SELECT name FROM sqlite_master")}
            if "ducklake_metadata" not in tables:
                return not tables
            found = plain.execute("SELECT value FROM ducklake_metadata WHERE key = 'data_path'").fetchone()
    except sqlite3.DatabaseError:
        return False
    return found == (f"{uri.rstrip('/')}/data/",)


def _finished_catalog(uri: str, store: Store, path: Path) -> str | None:
    """The id in a folder's catalog that has lost its lake.json, or never got one; None where there is none."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(path)) as plain:
        if not plain.execute("SELECT 1 FROM sqlite_master WHERE name = 'ducklake_metadata'").fetchone():
            return None  # made by one that died at once
    con = connect(uri, store, path, read_only=True)
    try:
        row = con.execute("SELECT lake_id FROM log.identity LIMIT 1").fetchone()
        return str(row[0]) if row else None
    except duckdb.CatalogException:
        return None
    finally:
        con.close()


def _make_catalog(uri: str, store: Store, path: Path, lake_id: str) -> duckdb.DuckDBPyConnection:
    for leftover in path.parent.glob(f"{path.name}*"):  # of one that died here
        if not leftover.name.endswith(".lock"):
            leftover.unlink()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA journal_mode=WAL")  # readers and the one who commits don't wait for each other
    con = connect(uri, store, path, read_only=False)
    con.execute("BEGIN; CREATE SCHEMA log")
    bring_up_to_date(con, lake_id)
    con.execute("COMMIT")
    return con


def _open_lock(path: Path) -> IO[str]:
    try:
        return path.open("a")
    except OSError as error:
        raise LakeError(_refused(path, error)) from error


def _refused(path: Path, error: OSError) -> str:
    return (
        f"a lake can't be written at '{path.parent}' ({error.strerror}): give a --lake in a folder that you may write"
    )


_LEFTOVERS = {"data"} | {f"catalog.sqlite{end}" for end in ("", ".lock", ".commit.lock", "-journal", "-wal", "-shm")}


def _catalog_path(uri: str, lake_id: str, catalog: str | None) -> Path:
    if "://" not in uri:
        return Path(uri) / "catalog.sqlite"
    default = Path.home() / ".local" / "share" / "shotlog" / f"{lake_id}.sqlite"
    return Path(catalog).expanduser().absolute() if catalog else default


def _missing_catalog(uri: str, lake_id: str, path: Path) -> str:
    if "://" not in uri:
        return f"the lake at '{uri}' has lost its catalog: restore '{path.name}' from a backup"
    return (
        f"the catalog of the lake at '{uri}' (id {lake_id}) is not on this machine: expected '{path}'. Use the "
        "machine that made the lake, or bring its catalog here and set SHOTLOG_CATALOG to it"
    )


def _compare(newest: dict[str, Any], lake_id: str, catalog: Path) -> None:
    if newest.get("lake_id") != lake_id:
        raise LakeError(
            f"'{catalog}' is the catalog of another lake ({newest.get('lake_id', 'unknown')}, this one is {lake_id}): "
            "set SHOTLOG_CATALOG to this lake's catalog"
        )
    if newest["format"] > FORMAT:
        raise LakeError(
            f"the catalog '{catalog}' has format {newest['format']}, this shotlog knows {FORMAT}: upgrade shotlog"
        )
