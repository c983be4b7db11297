"""Waiting for one's turn at the catalog, for its server, and for the store of the data."""

from __future__ import annotations

import re

import duckdb
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

LOCK_PATIENCE_S = 120

_BUSY = ("database is locked", "database table is locked", "conflict")
"""Another process is committing: SQLite says locked, DuckLake says conflict."""

_AWAY = (
    "unable to connect to postgres",
    "server closed the connection",
    "terminating connection",
    "no connection to the server",
    "current transaction is aborted",
    *(f'failed to execute query "{word}' for word in ("begin", "commit", "rollback")),
)
"""Postgres is being restarted, or was in the middle of a commit: whether that was done the work itself looks up."""


_BROKE_OFF = re.compile(r"error for http |(\(|returned )http (429|5\d\d)")
"""S3 hung up, is being restarted or asks to be asked less; DuckDB itself tries for two seconds."""


def _passes(error: BaseException) -> bool:
    if not isinstance(error, duckdb.Error):
        return False
    said = str(error).lower()
    if "disk is full" in said:  # of a SQLite catalog; its words for a commit are Postgres' for a server that has gone
        return False
    return any(word in said for word in _BUSY + _AWAY) or bool(_BROKE_OFF.search(said))


patiently = retry(
    retry=retry_if_exception(_passes),
    stop=stop_after_delay(LOCK_PATIENCE_S),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    reraise=True,
)
"""Tries a whole transaction again while another process holds the catalog, or its server is away."""
