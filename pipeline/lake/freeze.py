"""Freeze a lake's catalog: publish a read-only copy of it beside the data."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import duckdb

from pipeline.lake.catalog import Lake, plainly
from pipeline.lake.frozen import GRACE, LATEST, folder_of, frozen_catalogs
from pipeline.scratch import scratch_folder


def publish(lake: Lake) -> str:
    """Freeze the catalog as it is; returns where the copy is. Older ones go, once past their grace.

    All in one turn: the newest by its name is the newest by what is in it.
    """
    with lake.catalog.turn():
        snapshot, data = _freeze(lake)
        name = f"{snapshot:012}-{_made_at(lake):%Y%m%dT%H%M%SZ}.duckdb"
        uri = f"{folder_of(lake.uri)}/{name}"
        lake.store.write(uri, data)
        told = {"catalog": name, "snapshot": snapshot, "attach": f"ATTACH 'ducklake:{uri}' AS lake (READ_ONLY)"}
        lake.store.write(f"{folder_of(lake.uri)}/{LATEST}", json.dumps(told).encode())
        prune(lake, keep=uri)
    return uri


def _made_at(lake: Lake) -> datetime:
    """Now, or where the clock was set back, as late as the latest: who asks for the newest finds this one."""
    return max([datetime.now(UTC), *(one.made_at for one in frozen_catalogs(lake.uri, lake.store))])


def prune(lake: Lake, *, keep: str, grace: timedelta = GRACE) -> list[str]:
    """Remove what is older than the grace, but for `keep`; returns what went."""
    old = [
        one.uri
        for one in frozen_catalogs(lake.uri, lake.store)
        if one.uri != keep and one.made_at < datetime.now(UTC) - grace
    ]
    for uri in old:
        lake.store.delete(uri)
    return old


def _freeze(lake: Lake) -> tuple[int, bytes]:
    """The newest snapshot and the copy's bytes, in the caller's turn.

    Rows that an older lake has inlined go into Parquet first: each kind of catalog keeps them in types of its own.
    """
    with scratch_folder() as folder, plainly(lake):
        con, path = lake.con, folder / "catalog.duckdb"
        con.execute("CALL ducklake_flush_inlined_data('lake')")
        con.execute(f"ATTACH 'ducklake:{path}' AS fresh (DATA_PATH '{_quoted(lake.uri.rstrip('/'))}/data/')")
        con.execute("DETACH fresh")
        con.execute(f"ATTACH '{path}' AS frozen")
        try:
            _copy(con)
            (snapshot,) = con.execute("SELECT max(snapshot_id) FROM frozen.ducklake_snapshot").fetchone() or (0,)
        finally:
            con.execute("DETACH frozen")
        return int(snapshot), path.read_bytes()


def _copy(con: duckdb.DuckDBPyConnection) -> None:
    made = _tables(con, "frozen")
    con.execute("BEGIN")
    for name in _tables(con, "plain"):
        if name in made:
            con.execute(f"DELETE FROM frozen.{name}")
            con.execute(f"INSERT INTO frozen.{name} BY NAME FROM plain.{name}")
        else:
            con.execute(f"CREATE TABLE frozen.{name} AS FROM plain.{name}")
    con.execute("COMMIT")


def _tables(con: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND table_name LIKE 'ducklake_%'"
    return [row[0] for row in con.execute(query, [database]).fetchall()]


def _quoted(text: str) -> str:
    return text.replace("'", "''")
