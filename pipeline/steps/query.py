"""Ask the lake in SQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import UsageError, unknown_name
from pipeline.lake.refusal import is_lacking, outdated, refusal
from pipeline.steps.workplace import Workplace


def connect(request: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    """A read-only DuckDB connection to the lake, its views in place."""
    con = Workplace.of(request).lake().con
    con.execute("SET python_enable_replacements = true")  # as who works in Python is used to: FROM a_data_frame
    return con


def sql(request: dict[str, Any], query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a statement, a file of one, or a named query of the cookbook.

    Raises UsageError with DuckDB's own message where the statement can't be run, LakeError where the data are out
    of reach.
    """
    text = find_query(query)
    lake = Workplace.of(request).lake()
    try:
        return _interruptibly(lake.con, text)
    except (duckdb.HTTPException, duckdb.IOException) as error:
        raise refusal(lake.uri, error) from error
    except duckdb.Error as error:
        perhaps = f"\nPerhaps {outdated(lake.uri)}" if is_lacking(error) and not lake.is_current else ""
        raise UsageError(f"the query can't be run: {error}{perhaps}") from error


def _interruptibly(con: duckdb.DuckDBPyConnection, text: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a statement in a thread of its own: where DuckDB waits for its threads it hears no Ctrl-C."""

    def work() -> tuple[list[str], list[tuple[Any, ...]]]:
        answer = con.execute(text)
        if not answer:
            raise UsageError("the query holds no statement: give one, a file.sql, or the name of a query")
        return [column[0] for column in answer.description or ()], answer.fetchall()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        try:
            return running.result()
        finally:
            while not running.done():  # Ctrl-C came; DuckDB forgets an interrupt that comes before the query begins
                con.interrupt()
                wait([running], timeout=0.1)


def find_query(query: str) -> str:
    """The text of a query given as SQL, as a file, or by its name in the cookbook (sql/queries)."""
    if any(letter.isspace() for letter in query.strip()):
        return query
    path = Path(query)
    if path.suffix == ".sql":
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(f"the query '{query}' can't be read ({reason}): give a file of one statement") from error
    named = queries()
    if query not in named:
        raise unknown_name("query", query, named, hint="(or give a statement, or a file.sql)")
    return named[query]


def queries() -> dict[str, str]:
    """The analyst's cookbook: name → statement."""
    folder = resources.files("pipeline.sql").joinpath("queries")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in files}
