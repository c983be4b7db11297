"""Open a lake and be sure it is the one it says it is.

`<lake>/lake.json` names the catalog, the catalog carries the same id, and every open compares them: a lake on
S3 whose catalog lies on another machine is never taken for an empty one.

Both carry a format, and a newer one in either is refused. That of the tables is in the newest row of `log.identity`,
so that an upgrade is one transaction; lake.json says in which format the lake was made, and is never rewritten.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import duckdb

from pipeline.errors import LakeError
from pipeline.lake.base import Catalog
from pipeline.lake.connection import connect
from pipeline.lake.frozen import FrozenCatalog, frozen_catalogs
from pipeline.lake.patience import patiently
from pipeline.lake.place import database_of
from pipeline.lake.refusal import refusal
from pipeline.lake.sqlite import LEFTOVERS, SqliteCatalog
from pipeline.lake.tables import FORMAT
from pipeline.lake.upgrade import bring_up_to_date, is_up_to_date, newest_identity
from pipeline.store.base import Store

T = TypeVar("T")

_log = logging.getLogger(__name__)

Crew = Literal["runs", "listings", "planners", "backfills", "backfill command", "jobs"]
"""Who take their turns with one another: those who tag what is new, who list, who make plans, batches of backfills, the
processes of `shotlog backfill`, and what `serve` looks at for its callers."""


@dataclass(frozen=True)
class Lake:
    """An opened lake. Use it from one thread; other threads and processes open their own."""

    uri: str
    store: Store
    lake_id: str
    catalog: Catalog
    con: duckdb.DuckDBPyConnection
    """Its own connection: views by their bare names, tables as log.NAME."""
    is_current: bool = True
    """Whether it has this shotlog's tables and views. One that is only read may be older."""

    def work_uri(self, run_id: str, *parts: str) -> str:
        """Where a run keeps what isn't committed yet."""
        return "/".join([self.uri.rstrip("/"), "work", run_id, *parts])

    def transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work` as one transaction over all tables; the whole of it again while the catalog is busy or away.

        Writers take turns: see base.Catalog.
        """
        with self.catalog.turn():
            return self._patiently(lambda: self._transaction(work))

    def read(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Run `work`, which only reads, and waits for nobody's turn; again while the catalog or the data are away."""

        def read_out() -> T:
            result = work(self.con)
            self.con.execute("SELECT 1").fetchall()  # ends the transaction that what is left unread of it keeps open
            return result

        return self._patiently(read_out)

    def _patiently(self, work: Callable[[], T]) -> T:
        try:
            return patiently(work)()
        except duckdb.Error as error:
            raise refusal(self.uri, error, is_current=self.is_current) from error

    def _transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        self.renew()
        self.con.execute("BEGIN")
        try:
            result = work(self.con)
            self.con.execute("COMMIT")
            return result
        except BaseException:
            with suppress(duckdb.Error):  # a failed commit has rolled back already
                self.con.execute("ROLLBACK")
            raise

    def renew(self) -> None:
        """Credentials of a role change while a run goes on, or waits. For what is read outside of a transaction."""
        if "://" in self.uri:
            self.store.prepare(self.con)

    @contextmanager
    def on_all_cores(self) -> Iterator[None]:
        """For a statement over millions of rows, where one thread (see connection.py) would be slower."""
        self.con.execute("RESET threads")
        try:
            yield
        finally:
            self.con.execute("SET threads = 1")

    def at_work(
        self, crew: Crew = "runs", *, alone: bool, waiting: Callable[[], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the lake while tagging: one `shotlog tag` alone, or the tasks of one Airflow run together.

        Calls `waiting` once where another holds it, then waits. The system lets go when a process dies.
        """
        once = waiting and cache(waiting)  # where it waits at a gate, too
        return self.catalog.at_work(crew, alone=alone, waiting=once)

    def close(self) -> None:
        self.con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *where: object) -> None:
        """Close it. Where DuckDB broke the block off: raises LakeError, which says why and what to do."""
        self.close()
        if isinstance(error, duckdb.Error):
            raise refusal(self.uri, error, is_current=self.is_current) from error


@contextmanager
def plainly(lake: Lake) -> Iterator[None]:
    """The tables that the catalog itself is kept in, as `plain.NAME`. For what DuckLake has no word for."""
    lake.catalog.attach(lake.con, "plain", plain=True)
    try:
        yield
    finally:
        lake.con.execute("DETACH plain")


def is_lake(uri: str, store: Store) -> bool:
    """Whether there is one, of whatever format. Raises LakeError where the place holds something else."""
    is_other = "://" not in uri and _holds_something_else(Path(uri))  # asked first: a lake may be made just now
    there = _read_identity(uri, store) is not None
    if is_other and not there:
        _check_folder(Path(uri))
    return there


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
    place = _at_hand(identity, uri, store, catalog, read_only=read_only)
    con = connect(uri, store, place, read_only=read_only)
    newest = patiently(newest_identity)(con)
    _compare(newest, identity["lake_id"], place)
    is_current = not read_only or is_up_to_date(newest)
    lake = Lake(uri, store, identity["lake_id"], place, con, is_current)
    if not read_only and not is_up_to_date(newest):
        _upgrade(lake)
    return lake


def _at_hand(identity: dict[str, Any], uri: str, store: Store, setting: str | None, *, read_only: bool) -> Catalog:
    """The lake's catalog, or who only reads the newest frozen one where that isn't at hand. Raises LakeError."""
    kind, lake_id = identity["catalog"], identity["lake_id"]
    try:
        place = catalog_of(kind, uri, lake_id, setting)
        if place.is_there():
            return place
        raise LakeError(place.missing(uri, lake_id))
    except LakeError:
        if read_only and (frozen := frozen_catalogs(uri, store)):
            newest = FrozenCatalog(frozen[-1])
            _log.warning("the catalog of '%s' isn't at hand: this is the lake as of %s", uri, newest.made_at)
            return newest
        raise


def catalog_of(kind: str, uri: str, lake_id: str, setting: str | None) -> Catalog:
    """The catalog of a lake whose lake.json names this kind. setting: SHOTLOG_CATALOG.

    Raises LakeError for a kind that isn't known, and where it is Postgres and no database is named; UsageError for a
    setting that is neither a database nor a file.
    """
    database = database_of(setting)
    if kind == "sqlite":
        return SqliteCatalog.of(uri, lake_id, None if database else setting)
    if kind != "postgres":
        raise LakeError(
            f"the lake at '{uri}' has a catalog of kind '{kind}', this shotlog knows sqlite and postgres: upgrade "
            "shotlog"
        )
    if database is None:
        raise LakeError(
            f"the catalog of the lake at '{uri}' is in Postgres: set SHOTLOG_CATALOG to "
            "postgresql://user:password@host/database"
        )
    try:
        from pipeline.lake.postgres import PostgresCatalog
    except ImportError as error:
        raise LakeError("a catalog in Postgres wants the extra postgres: pip install 'shotlog[postgres]'") from error
    return PostgresCatalog(database, lake_id)


def _upgrade(lake: Lake) -> None:
    """In one transaction; after a backup where the tables change, not only the views."""

    def work(con: duckdb.DuckDBPyConnection) -> None:
        older = newest_identity(con).get("format", FORMAT)
        if older != FORMAT:  # another process may have done it by now
            lake.catalog.back_up(f"format-{older}")
        bring_up_to_date(con, lake.lake_id)

    lake.transaction(work)


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
    place = catalog_of("postgres" if database_of(catalog) else "sqlite", uri, lake_id, catalog)
    with place.making():
        if _read_identity(uri, store) is not None:
            return None
        if "://" not in uri:
            _check_folder(Path(uri))
        if place.is_begun(uri) and (finished_id := _finished_id(uri, store, place)):
            _make_real(uri, store, finished_id, place.kind)
            return None
        place.clear()
        lake = Lake(uri, store, lake_id, place, _fill(uri, store, place, lake_id))
        if _make_real(uri, store, lake_id, place.kind):
            return lake
        lake.close()
        place.clear()
        return None


def _holds_something_else(folder: Path) -> bool:
    return folder.is_dir() and any(entry.name not in {"data", *LEFTOVERS} for entry in folder.iterdir())


def _check_folder(folder: Path) -> None:
    if _holds_something_else(folder):
        raise LakeError(f"'{folder}' is a folder with something else in it: give a new or empty folder as --lake")


def _make_real(uri: str, store: Store, lake_id: str, kind: str) -> bool:
    identity = {"lake_id": lake_id, "format": FORMAT, "catalog": kind}
    return store.write(f"{uri.rstrip('/')}/lake.json", json.dumps(identity).encode(), if_absent=True)


def _finished_id(uri: str, store: Store, catalog: Catalog) -> str | None:
    """The id in a catalog that has lost its lake.json, or never got one; None where its maker died earlier."""
    con = connect(uri, store, catalog, read_only=True)
    try:
        return newest_identity(con).get("lake_id")
    finally:
        con.close()


def _fill(uri: str, store: Store, catalog: Catalog, lake_id: str) -> duckdb.DuckDBPyConnection:
    con = connect(uri, store, catalog, read_only=False)
    con.execute("BEGIN; CREATE SCHEMA log")
    bring_up_to_date(con, lake_id)
    con.execute("COMMIT")
    return con


def _compare(newest: dict[str, Any], lake_id: str, catalog: Catalog) -> None:
    if newest.get("lake_id") != lake_id:
        raise LakeError(
            f"'{catalog.name}' is the catalog of another lake ({newest.get('lake_id', 'unknown')}, this one is "
            f"{lake_id}): set SHOTLOG_CATALOG to this lake's catalog"
        )
    if newest["format"] > FORMAT:
        raise LakeError(
            f"the catalog '{catalog.name}' has format {newest['format']}, this shotlog knows {FORMAT}: upgrade shotlog"
        )
