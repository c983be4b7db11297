"""Bring a lake's tables and views to what this shotlog knows, whatever an older one made.

Nothing is taken away: a table that is missing is created, a column that is missing comes to the end of its table and is
null in the rows that were there, but for `uri`, which is filled in. All of it runs in the caller's transaction.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import duckdb

from pipeline.lake import hidden
from pipeline.lake.tables import FORMAT, TABLES
from pipeline.lake.views import views, views_version


def newest_identity(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """What the catalog says of itself, by column; {} for one that isn't a lake's.

    It is in the table's comment, which is in the catalog: the rows are among the data, where another lake has others.
    """
    told = con.execute(_COMMENT).fetchall()  # all: a result that isn't read to its end keeps its transaction open
    if not told:
        return {}
    ((comment,),) = told
    if comment:
        return dict(json.loads(comment))
    found = con.execute("FROM log.identity ORDER BY written_at DESC LIMIT 1")  # before format 5
    names = [column[0] for column in found.description or ()]
    return dict(zip(names, next(iter(found.fetchall()), ()), strict=False))


_COMMENT = """
SELECT comment
FROM duckdb_tables()
WHERE database_name = current_database() AND schema_name = 'log' AND table_name = 'identity'
"""


def is_up_to_date(identity: dict[str, Any]) -> bool:
    """Whether the tables have this shotlog's format and the views say what sql/views says."""
    return (identity.get("format"), identity.get("views")) == (FORMAT, views_version())


def bring_up_to_date(con: duckdb.DuckDBPyConnection, lake_id: str) -> None:
    """Make what is missing and write the views anew. Of two that come at once the second finds it done."""
    if is_up_to_date(newest_identity(con)):
        return
    there = columns(con)
    for name, schema in TABLES.items():
        con.register("empty", schema.empty_table())
        _add_missing(con, name, there.get(name))
        con.unregister("empty")
    if there and not {"hidden", "overtaken"} <= set(there):  # before format 6
        hidden.refresh(con)
    for name, select in views().items():
        con.execute(f"CREATE OR REPLACE VIEW main.{name} AS {select}")
    row = [lake_id, FORMAT, views_version(), datetime.now(UTC)]
    con.execute("INSERT INTO log.identity (lake_id, format, views, written_at) VALUES (?, ?, ?, ?)", row)
    told = json.dumps({"lake_id": lake_id, "format": FORMAT, "views": views_version()})
    con.execute(f"COMMENT ON TABLE log.identity IS '{told}'")


def columns(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Table of `log` → its columns, as this lake has them."""
    found = """
        SELECT table_name, list(column_name)
        FROM duckdb_columns()
        WHERE database_name = current_database() AND schema_name = 'log'
        GROUP BY table_name
    """
    return dict(con.execute(found).fetchall())


def _add_missing(con: duckdb.DuckDBPyConnection, table: str, there: list[str] | None) -> None:
    """Create or complete one table after the empty one that is registered as `empty`."""
    if there is None:
        con.execute(f"CREATE TABLE log.{table} AS FROM empty")
        return
    for name, kind in con.execute("SELECT column_name, column_type FROM (DESCRIBE empty)").fetchall():
        if name not in there:
            con.execute(f'ALTER TABLE log.{table} ADD COLUMN "{name}" {kind}')
            if name == "uri":
                con.execute(_URIS.format(table=table))


_URIS = "UPDATE log.{table} SET uri = taggings.uri FROM log.taggings WHERE taggings.tagging_id = {table}.tagging_id"
