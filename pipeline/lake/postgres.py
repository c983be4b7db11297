"""A catalog in a Postgres database, a schema for each lake: workers on several hosts commit to it.

SHOTLOG_CATALOG names the database (postgresql://user:password@host/database, or libpq's words); what that leaves out
comes from where libpq looks (PGHOST, PGPASSWORD, ~/.pgpass). The password reaches DuckDB as a secret, which it doesn't
show.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import duckdb
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tenacity import Retrying, retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from pipeline.errors import LakeError, UsageError
from pipeline.lake import base

PATIENCE_S = 120
"""How long a server may be away, as it is while it restarts, before a run gives up."""

_patiently = retry(
    retry=retry_if_exception_type(psycopg.OperationalError),
    stop=stop_after_delay(PATIENCE_S),
    wait=wait_random_exponential(multiplier=0.1, max=3),
    reraise=True,
)


_LOCK_MS = 2000
"""How long a VACUUM waits for a table at a time: who comes behind it waits for it, too."""

_ANEW_MS = 5000

_ENDLESS = ("backfills", "jobs")
"""Crews in which one follows another without a gap: who wants to be alone there closes the gate to further ones."""

_READERS = """
SELECT 1
FROM pg_stat_activity
WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
    AND coalesce(backend_type, 'client backend') = 'client backend' AND age(backend_xmin) >= age(%s::xid)
"""
"""A row where a transaction goes on that may see what was deleted before this one began. What sort of session another
role's is, isn't shown to everybody; the server's own, autovacuum's among them, have no user."""


class _StillReadError(Exception):
    """Somebody reads what was there before."""


class PostgresCatalog:
    """See base.Catalog."""

    kind = "postgres"
    extension = "postgres_scanner"
    advice = "check SHOTLOG_CATALOG, and that its user may make schemas and tables"

    def __init__(self, setting: str, lake_id: str) -> None:
        try:
            info: dict[str, Any] = conninfo_to_dict(setting)
        except psycopg.Error:  # its text shows what was given, password and all
            raise UsageError(
                "SHOTLOG_CATALOG isn't a Postgres database's: give postgresql://user:password@host/database"
            ) from None
        if "://" in setting and _is_amiss(info):
            raise UsageError(
                "SHOTLOG_CATALOG isn't read as it is meant, since its user or password holds a character that ends it: "
                "write @ as %40, / as %2F and : as %3A there"
            )
        self._password = info.pop("password", None)
        self._place = make_conninfo(**{"connect_timeout": 10, **info})
        self.schema = f"shotlog_{lake_id}"
        info.pop("sslpassword", None)  # of a client's key
        self.name = f"{make_conninfo(**info) or 'postgres'}, schema {self.schema}"
        self._session: psycopg.Connection | None = None

    def attach(self, con: duckdb.DuckDBPyConnection, alias: str, *, plain: bool, options: str = "") -> None:
        password = f", PASSWORD {_quoted(self._password)}" if self._password else ""
        con.execute(f"CREATE OR REPLACE SECRET shotlog_postgres (TYPE postgres{password})")
        kind, secret, schema = ("", "SECRET", "SCHEMA") if plain else ("ducklake:", "META_SECRET", "METADATA_SCHEMA")
        mine = f"{secret} shotlog_postgres, {schema} {_quoted(self.schema)}"
        place = _quoted(f"{kind}postgres:{self._place}")
        con.execute(f"ATTACH {place} AS {alias} ({', '.join(filter(None, (mine, options)))})")

    def is_there(self) -> bool:
        with self._lent() as session:
            query = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'ducklake_metadata'"
            return session.execute(query, [self.schema]).fetchone() is not None

    @contextmanager
    def making(self) -> Iterator[None]:
        """Its schema is named after an id that nobody else has."""
        yield

    def is_begun(self, lake_uri: str) -> bool:  # noqa: ARG002
        return False

    def clear(self) -> None:
        with self._lent() as session:
            session.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.schema)))

    def turn(self) -> AbstractContextManager[None]:
        return self._lock("pg_advisory_lock", "commit")

    @contextmanager
    def at_work(self, crew: str, *, alone: bool, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """On a connection of its own, which stays open as long. Where the server is restarted meanwhile, another run
        may begin beside this one: what they commit is told apart in their turns."""
        session = self._connected(again=True)
        try:
            gate = [f"{crew} gate"] if crew in _ENDLESS else []
            for what in (*gate, crew):
                session = self._joined(session, what, alone=alone, waiting=waiting)
            for what in gate:
                with suppress(psycopg.OperationalError):  # the server has gone, and the lock with it
                    session.execute(f"SELECT pg_advisory_unlock{'' if alone else '_shared'}(%s)", [self._key(what)])
            yield
        finally:
            session.close()  # lets go

    def _joined(
        self, session: psycopg.Connection, what: str, *, alone: bool, waiting: Callable[[], None] | None
    ) -> psycopg.Connection:
        """The connection that holds the lock in the end: this one or a new one."""
        shared = "" if alone else "_shared"
        tried = self._waited_for(session, f"pg_try_advisory_lock{shared}", what)
        if tried.fetchone() == (True,):
            return tried.connection
        if waiting:
            waiting()
        return self._waited_for(tried.connection, f"pg_advisory_lock{shared}", what, begin_anew=True).connection

    def is_at_work(self, crew: str) -> bool:
        with self._lent() as session:
            (is_free,) = session.execute("SELECT pg_try_advisory_lock(%s)", [self._key(crew)]).fetchone() or (False,)
            if is_free:
                session.execute("SELECT pg_advisory_unlock(%s)", [self._key(crew)])
            return not is_free

    def back_up(self, name: str) -> str:
        """A copy of every table in a schema of the same database. Who keeps pg_dump's or others has better ones."""
        copy = sql.Identifier(f"{self.schema}_{name.replace('-', '_')}")
        with self._lent() as session, session.transaction():
            session.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(copy))
            session.execute(sql.SQL("CREATE SCHEMA {}").format(copy))
            for table in self._tables(session):
                one = sql.Identifier(table)
                words = sql.SQL("CREATE TABLE {}.{} AS TABLE {}.{}")
                session.execute(words.format(copy, one, sql.Identifier(self.schema), one))
        return f"schema {copy.as_string()}"

    def wipe(self) -> None:
        patiently = Retrying(
            retry=retry_if_exception_type((_StillReadError, psycopg.errors.LockNotAvailable)),
            stop=stop_after_delay(base.READERS_PATIENCE_S),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            reraise=True,
        )
        session = self._connected()
        try:
            (begun,) = session.execute("SELECT pg_current_xact_id()::xid::text").fetchone() or ("0",)
            session.execute(f"SET lock_timeout = {_LOCK_MS}")
            for table in self._tables(session):
                patiently(self._vacuum, session, table, begun)
            query = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)"
            for (backup,) in session.execute(query, [f"{self.schema}_format_"]).fetchall():
                session.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(backup)))
        except (_StillReadError, psycopg.errors.LockNotAvailable):
            raise LakeError(base.STILL_READ) from None
        except psycopg.OperationalError as error:
            raise _away(error) from error
        finally:
            session.close()

    def _vacuum(self, session: psycopg.Connection, table: str, begun: str) -> None:
        """Write a table anew. VACUUM keeps the dead rows that a transaction may see which is older than it."""
        if session.execute(_READERS, [begun]).fetchone():
            raise _StillReadError
        session.execute(sql.SQL("VACUUM (FULL) {}.{}").format(sql.Identifier(self.schema), sql.Identifier(table)))

    def _tables(self, session: psycopg.Connection) -> list[str]:
        found = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [self.schema])
        return [row[0] for row in found.fetchall()]

    def missing(self, lake_uri: str, lake_id: str) -> str:
        return (
            f"the catalog of the lake at '{lake_uri}' (id {lake_id}) is not in this Postgres database: expected "
            f"{self.name}. Set SHOTLOG_CATALOG to the database that holds it, or restore it from a backup"
        )

    @contextmanager
    def _lock(self, function: str, what: str) -> Iterator[None]:
        with self._lent() as session:
            self._session = session = self._waited_for(session, function, what).connection
            try:
                yield
            finally:
                with suppress(psycopg.OperationalError):  # the server has gone, and the lock with it
                    session.execute(f"SELECT {function.replace('lock', 'unlock')}(%s)", [self._key(what)])

    def _waited_for(
        self, session: psycopg.Connection, function: str, what: str, *, begin_anew: bool = False
    ) -> psycopg.Cursor[Any]:
        """Of a lock, which may take long: on a new connection where the server was restarted meanwhile.

        begin_anew: now and then, at the end of the line. Who waits counts as a reader of what there was when the wait
        began, and `wipe` may be what it waits for.
        """
        while True:
            try:
                if begin_anew:
                    session.execute(f"SET lock_timeout = {_ANEW_MS}")
                return session.execute(f"SELECT {function}(%s)", [self._key(what)])
            except psycopg.OperationalError as error:
                if begin_anew and isinstance(error, psycopg.errors.LockNotAvailable):
                    continue
                if not session.closed:
                    raise LakeError(
                        f"Postgres gives no lock ({_first_line(error)}): see its log, and whether the user in "
                        "SHOTLOG_CATALOG has a statement_timeout or lock_timeout, and do it again"
                    ) from error
                session = self._connected(again=True)

    def _key(self, what: str) -> int:
        digest = hashlib.sha256(f"{self.schema}/{what}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @contextmanager
    def _lent(self) -> Iterator[psycopg.Connection]:
        """The connection that is kept for locks, made anew where the server closed it."""
        if self._session is None:
            self._session = self._connected()
        elif not _answers(self._session):
            self._session = self._connected(again=True)
        try:
            yield self._session
        except psycopg.OperationalError as error:  # it has gone amid a question
            raise _away(error) from error

    def _connected(self, *, again: bool = False) -> psycopg.Connection:
        """again: the server was there a moment ago, and is waited for."""
        connect = _patiently(psycopg.connect) if again else psycopg.connect
        try:
            return connect(self._place, password=self._password, autocommit=True, application_name="shotlog")
        except psycopg.OperationalError as error:
            raise _away(error) from error


def _is_amiss(info: dict[str, Any]) -> bool:
    """Whether a URL's host, port or database has parts of its password, which messages would show."""
    places = info.get("host", "") + info.get("dbname", "")
    return "@" in places or not re.fullmatch(r"[\d,]*", info.get("port", ""))


def _away(error: psycopg.Error) -> LakeError:
    return LakeError(
        f"Postgres can't be reached ({_first_line(error)}): check SHOTLOG_CATALOG and that the server is up"
    )


def _answers(session: psycopg.Connection) -> bool:
    try:
        session.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
