"""A lake that isn't there yet, for who only wants to know what would be done."""

from __future__ import annotations

import duckdb

from pipeline.lake.connection import open_duckdb
from pipeline.lake.tables import TABLES
from pipeline.lake.views import views


def nothing() -> duckdb.DuckDBPyConnection:
    """The tables and views of a lake in memory, all empty."""
    con = open_duckdb()
    con.execute("CREATE SCHEMA log")
    for name, schema in TABLES.items():
        con.register("empty", schema.empty_table())
        con.execute(f"CREATE TABLE log.{name} AS FROM empty")
        con.unregister("empty")
    for name, select in views().items():
        con.execute(f"CREATE VIEW main.{name} AS {select}")
    return con
