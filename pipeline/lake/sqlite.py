"""A catalog in a SQLite file: beside the data of a lake in a folder, on one machine for a lake on S3."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import IO

import duckdb

from pipeline.errors import LakeError
from pipeline.lake import base

LOCKS = (
    *("", ".commit", ".runs", ".listings", ".planners"),
    *(".backfills", ".backfill-command", ".gate", ".jobs", ".jobs-gate"),
)
LEFTOVERS = {f"catalog.sqlite{end}" for end in ("", "-journal", "-wal", "-shm", *(f"{name}.lock" for name in LOCKS))}
"""What one that died while it made a lake in a folder may have left there."""

_GATES = {"backfills": ".gate.lock", "jobs": ".jobs-gate.lock"}
"""Where one follows another without a gap: who wants to be alone closes the gate to further ones."""


class SqliteCatalog:
    """See base.Catalog."""

    kind = "sqlite"
    extension = "sqlite_scanner"
    advice = "check that you may write its folder, as SQLite must, that its disk has room, and that the file is whole"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    @classmethod
    def of(cls, lake_uri: str, lake_id: str, setting: str | None) -> SqliteCatalog:
        """Where a lake's catalog is expected."""
        if "://" not in lake_uri:
            return cls(Path(lake_uri) / "catalog.sqlite")
        default = Path.home() / ".local" / "share" / "shotlog" / f"{lake_id}.sqlite"
        return cls(Path(setting).expanduser().absolute() if setting else default)

    def attach(self, con: duckdb.DuckDBPyConnection, alias: str, *, plain: bool, options: str = "") -> None:
        place = f"{'' if plain else 'ducklake:'}sqlite:{self.path}".replace("'", "''")
        con.execute(f"ATTACH '{place}' AS {alias} ({options})" if options else f"ATTACH '{place}' AS {alias}")

    def is_there(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def making(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LakeError(self._refused(error)) from error
        with self._lock(".lock", fcntl.LOCK_EX):
            yield

    def is_begun(self, lake_uri: str) -> bool:
        if not self.path.exists():
            return False
        try:
            with closing(sqlite3.connect(self.path)) as plain:
                tables = {name for (name,) in plain.execute("SELECT name FROM sqlite_master")}
                if not tables:
                    return False
                found = plain.execute("SELECT value FROM ducklake_metadata WHERE key = 'data_path'").fetchone()
        except sqlite3.DatabaseError:
            found = None
        if "://" in lake_uri and found != (f"{lake_uri.rstrip('/')}/data/",):
            raise LakeError(f"'{self.path}' is another lake's catalog: give a new SHOTLOG_CATALOG")
        return found is not None

    def clear(self) -> None:
        for leftover in self.path.parent.glob(f"{self.path.name}*"):
            if not leftover.name.endswith(".lock"):
                leftover.unlink()
        with closing(sqlite3.connect(self.path)) as plain:
            plain.execute("PRAGMA journal_mode=WAL")  # readers and the one who commits don't wait for each other

    def turn(self) -> AbstractContextManager[None]:
        """SQLite lets one of them commit at a time, and wakes nobody who waits."""
        return self._lock(".commit.lock", fcntl.LOCK_EX)

    @contextmanager
    def at_work(self, crew: str, *, alone: bool, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        with self._lock_file(_of_crew(crew)) as file:
            if crew in _GATES:
                with self._lock_file(_GATES[crew]) as gate:
                    _take(gate, kind, waiting)
                    _take(file, kind, waiting)
            else:
                _take(file, kind, waiting)
            yield

    def is_at_work(self, crew: str) -> bool:
        try:
            with self._lock_path(_of_crew(crew)).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:  # nobody ever was
            return False
        except OSError:  # BlockingIOError, or it is another user's
            return True
        return False

    def back_up(self, name: str) -> str:
        copy = self.path.with_name(f"{self.path.name}.{name}")
        with closing(sqlite3.connect(self.path)) as plain, closing(sqlite3.connect(copy)) as other:
            plain.backup(other)
        return str(copy)

    def wipe(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=base.READERS_PATIENCE_S)) as plain:
            try:
                plain.execute("VACUUM")
                ((is_busy, _, _),) = plain.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.OperationalError as error:
                raise LakeError(f"the catalog '{self.path}' can't be cleared ({error}): {self.advice}") from error
            if is_busy:
                raise LakeError(base.STILL_READ)
        for backup in self.path.parent.glob(f"{self.path.name}.format-*"):
            backup.unlink()

    def missing(self, lake_uri: str, lake_id: str) -> str:
        if "://" not in lake_uri:
            return f"the lake at '{lake_uri}' has lost its catalog: restore '{self.path.name}' from a backup"
        return (
            f"the catalog of the lake at '{lake_uri}' (id {lake_id}) is not on this machine: expected '{self.path}'. "
            "Use the machine that made the lake, or bring its catalog here and set SHOTLOG_CATALOG to it"
        )

    @contextmanager
    def _lock(self, ending: str, kind: int) -> Iterator[None]:
        """The system lets go when a process dies."""
        with self._lock_file(ending) as file:
            fcntl.flock(file, kind)
            yield

    def _lock_file(self, ending: str) -> IO[str]:
        try:
            return self._lock_path(ending).open("a")
        except OSError as error:
            raise LakeError(self._refused(error)) from error

    def _lock_path(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    def _refused(self, error: OSError) -> str:
        return (
            f"a lake can't be written at '{self.path.parent}' ({error.strerror}): give a --lake in a folder that you "
            "may write"
        )


def _of_crew(crew: str) -> str:
    return f".{crew.replace(' ', '-')}.lock"


def _take(file: IO[str], kind: int, waiting: Callable[[], None] | None) -> None:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting:
            waiting()
        fcntl.flock(file, kind)
