"""What a run has planned and not yet looked at: no other run plans it, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import duckdb

from pipeline.errors import LakeError
from pipeline.lake.catalog import Lake
from pipeline.planning.listing import LISTING
from pipeline.planning.wish import Wish
from pipeline.steps.leftovers import begun_at

T = TypeVar("T")

STALLED = timedelta(hours=24)
"""A run that has committed nothing for so long holds no claims: what it has planned would wait for ever."""


def claims_glob(lake: Lake, run_id: str) -> str:
    """The claims of a run as a listing: Parquet of schema LISTING."""
    return lake.work_uri(run_id, "claims", "*.parquet")


def claim(lake: Lake, run_id: str) -> None:
    """Claim what the tables of `compare` say is to do and must be looked at."""
    uri = lake.work_uri(run_id, "claims", "000000.parquet")
    if "://" in uri:
        lake.store.prepare(lake.con)
    else:
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
    place = uri.replace("'", "''")
    columns = ", ".join(LISTING.names)
    rows = f"SELECT {columns} FROM compared LEFT JOIN copies USING (media_id) WHERE todo AND inherits IS NULL"
    lake.read(lambda con: con.execute(f"COPY ({rows}) TO '{place}' (FORMAT parquet)"))


def wish_for_rest(lake: Lake, run_id: str, wish: Wish, put_aside: Iterable[str] = ()) -> Wish:
    """What is left of a run's claims, instead of all that a listing has. put_aside: media_ids that it leaves."""
    of_it = replace(wish, whole=False, limit=None, listed_at=begun_at(lake, run_id))
    return replace(of_it, looked_at_by=run_id, put_aside=tuple(put_aside))


def heeding_others(lake: Lake, run_id: str, work: Callable[[tuple[str, ...]], T], *, but_dead: bool = False) -> T:
    """What `work` makes of the claims of others; again where a run has ended meanwhile, and its claims have gone.

    but_dead: not those of runs of kind 'tag' that have died, from which the next of that kind takes over.
    """
    while True:
        claims = claims_of_others(lake, run_id, but_dead=but_dead)
        try:
            return work(claims)
        except (LakeError, duckdb.Error):
            if claims_of_others(lake, run_id, but_dead=but_dead) == claims:
                raise


def claims_of_others(lake: Lake, run_id: str, *, but_dead: bool = False) -> tuple[str, ...]:
    """The claim files of runs that go on; not of those at rest, which may never go on."""
    prefix = lake.work_uri("")
    files = [uri for uri in lake.store.names(prefix.rstrip("/")) if "/claims/" in uri.removeprefix(prefix)]
    if not files:
        return ()
    going_on = lake.read(lambda con: con.execute(_GOING_ON, [datetime.now(UTC) - STALLED]).fetchall())
    if but_dead and not lake.catalog.is_at_work("runs"):
        going_on = [(name, kind) for name, kind in going_on if kind != "tag"]
    runs = {name for name, _ in going_on} - {run_id}
    return tuple(uri for uri in files if uri.removeprefix(prefix).partition("/")[0] in runs)


# The batches of a backfill that are missing may be done by tasks that were cleared.
_GOING_ON = """
WITH moved AS (
    SELECT run_id, happened_at AS moved_at FROM log.run_events
    UNION ALL
    SELECT run_id, committed_at FROM log.batches
)

SELECT run_id, kind
FROM moved
JOIN (FROM runs WHERE state = 'running' OR (kind = 'backfill' AND state = 'incomplete')) USING (run_id)
GROUP BY ALL
HAVING max(moved_at) > ?
"""
