"""Waiting for one's turn at the catalog."""

from __future__ import annotations

import duckdb
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random_exponential

LOCK_PATIENCE_S = 120


def _busy(error: BaseException) -> bool:
    """Another process is committing: SQLite says locked, DuckLake says conflict."""
    return isinstance(error, duckdb.Error) and any(
        word in str(error).lower() for word in ("database is locked", "conflict", "database table is locked")
    )


patiently = retry(
    retry=retry_if_exception(_busy),
    stop=stop_after_delay(LOCK_PATIENCE_S),
    wait=wait_random_exponential(multiplier=0.05, max=2),
    reraise=True,
)
"""Tries a whole transaction again while another process holds the catalog."""
