"""Waiting for one's turn at the catalog, and for its server."""

from __future__ import annotations

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


def _passes(error: BaseException) -> bool:
    return isinstance(error, duckdb.Error) and any(word in str(error).lower() for word in _BUSY + _AWAY)


patiently = retry(
    retry=retry_if_exception(_passes),
    stop=stop_after_delay(LOCK_PATIENCE_S),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    reraise=True,
)
"""Tries a whole transaction again while another process holds the catalog, or its server is away."""
