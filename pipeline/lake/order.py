"""Times that decide what the views show, in the order in which things came, whatever the clock says.

A clock may be set back, and another host's may be ahead. "The latest" must not depend on it: what is written about a
media object, a run or a choice is never older than what is there about it already.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

TICK = timedelta(microseconds=1)
"""The smallest step between two times of a table."""


def after(con: duckdb.DuckDBPyConnection, latest: str, parameters: Sequence[Any] = ()) -> datetime:
    """Now; or a tick after `latest`, a query of one time or null, where that is later. In the caller's transaction."""
    (there,) = con.execute(latest, parameters).fetchone() or (None,)
    now = datetime.now(UTC)
    return max(now, there + TICK) if there else now


def after_earlier_looks(con: duckdb.DuckDBPyConnection, taggings: list[dict[str, Any]], media_ids: set[str]) -> None:
    """Move `tagged_at` of rows of these media behind every look at them that is in the lake, inside its transaction."""
    query = "SELECT media_id, max(tagged_at) FROM log.taggings WHERE media_id IN (SELECT unnest($1)) GROUP BY media_id"
    there = dict(con.execute(query, [list(media_ids)]).fetchall())
    for row in taggings:
        if (earlier := there.get(row["media_id"])) and row["tagged_at"] <= earlier:
            row["tagged_at"] = earlier + TICK
