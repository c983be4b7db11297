"""What a lake no longer keeps: superseded taggings, thumbnails, media that are gone. By age, and only when asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from pipeline.lake import hidden
from pipeline.lake.inherit import DETAILS

# A tagging that a view still shows is never superseded; the latest look at an object tells whether it is to be looked
# at again, so it stays too.
_SUPERSEDED = """
SELECT tagging_id
FROM log.hidden
JOIN log.taggings USING (tagging_id, media_id)
WHERE reason = 'superseded' AND hidden_at < $superseded AND tagging_id NOT IN (
    SELECT arg_max(tagging_id, (tagged_at, tagging_id)) FROM log.taggings GROUP BY media_id
)
UNION
-- a failure that a later look at the same object has taken the place of
SELECT tagging_id
FROM log.taggings
WHERE status IN ('failed', 'skipped') AND tagged_at < $superseded AND tagging_id NOT IN (
    SELECT arg_max(tagging_id, (tagged_at, tagging_id)) FROM log.taggings GROUP BY media_id
)
"""

_GONE = """
SELECT tagging_id
FROM log.taggings
WHERE media_id IN (
    SELECT media_id
    FROM log.sightings
    GROUP BY media_id
    HAVING arg_max(state, seen_at) = 'gone' AND max(seen_at) < $gone
)
"""

_EXPIRED = f"CREATE OR REPLACE TEMP TABLE expired AS {_SUPERSEDED} UNION {_GONE}"


@dataclass(frozen=True, slots=True)
class Retention:
    """What is older than these moments goes; None: it stays for ever."""

    superseded: datetime | None = None
    gone: datetime | None = None
    thumbnails: datetime | None = None


def apply(con: duckdb.DuckDBPyConnection, retention: Retention, *, dry_run: bool) -> dict[str, int]:
    """Delete, or with dry_run count, inside the caller's transaction. Returns taggings and thumbnails that go."""
    con.execute(_EXPIRED, {"superseded": retention.superseded, "gone": retention.gone})
    (taggings,) = con.execute("SELECT count(*) FROM expired").fetchone() or (0,)
    old_pictures = "SELECT tagging_id FROM log.taggings WHERE tagged_at < ?"
    pictures = 0
    if retention.thumbnails:
        count = f"SELECT count(*) FROM log.thumbnails WHERE tagging_id IN ({old_pictures})"
        pictures = (con.execute(count, [retention.thumbnails]).fetchone() or (0,))[0]
    if not dry_run:
        if taggings:
            delete(con, "tagging_id IN (FROM expired)")
        if pictures:
            con.execute(f"DELETE FROM log.thumbnails WHERE tagging_id IN ({old_pictures})", [retention.thumbnails])
    return {"taggings": int(taggings), "thumbnails": int(pictures)}


def delete(con: duckdb.DuckDBPyConnection, where: str) -> int:
    """Delete the rows of every table that has taggings' details, and the taggings. Returns how many rows went."""
    rows = 0
    for name in (*DETAILS, *hidden.TABLES):
        there = con.execute(f"SELECT count(*) FROM log.{name} WHERE {where}").fetchone() or (0,)
        if there[0]:
            con.execute(f"DELETE FROM log.{name} WHERE {where}")
            rows += int(there[0])
    return rows
