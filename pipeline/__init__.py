"""shotlog: tags media archives. `connect` opens a lake from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect(lake: str) -> duckdb.DuckDBPyConnection:
    """A read-only DuckDB connection to a lake, its views in place, from any working directory.

    >>> con = connect("lake")                                    # doctest: +SKIP
    >>> con.sql("SELECT uri, count(*) FROM timestamps GROUP BY uri")  # doctest: +SKIP
    """
    from pipeline.steps.query import connect  # loads DuckDB and the stores only when asked

    return connect({"lake": lake})
