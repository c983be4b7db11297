"""What runs that have stopped leave behind: what they finished is committed, and their work folders are cleared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import duckdb

from pipeline.batch import Batch
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.lake.journal import Entry, Journal
from pipeline.model import MediaTags


def take_over_dead_runs(lake: Lake, run_id: str) -> None:
    """Commit what earlier runs finished and didn't commit, keep their answered frames, clear their work folders.

    Only who holds the lake alone may call this: then a run with work left is dead, or waits for a rerun. What `serve`
    works on it takes up itself.
    """
    prefix = lake.work_uri("")
    runs = {uri.removeprefix(prefix).partition("/")[0] for uri in lake.store.names(prefix.rstrip("/"))} - {run_id}
    if runs:
        others = "SELECT run_id FROM log.runs WHERE kind <> 'tag'"
        runs -= {row[0] for row in lake.read(lambda con: con.execute(others).fetchall())}
    # one that died before it listed anything has no work folder
    runs |= {row[0] for row in lake.read(lambda con: con.execute(_NEVER_ENDED).fetchall())} - {run_id}
    mine = Journal(lake, run_id)
    for dead in sorted(runs):
        for entry in commit_finished(lake, dead):
            mine.keep(entry)
        if state_of(lake, dead) in (None, "running"):
            writer.record_event(lake, dead, "died", {"taken_over_by": run_id})
        clear_work(lake, dead)


_NEVER_ENDED = """
SELECT run_id
FROM log.runs
WHERE kind = 'tag' AND run_id NOT IN (
    SELECT run_id FROM log.run_events WHERE event IN ('finished', 'stopped', 'incomplete', 'interrupted', 'died')
)
"""


def commit_finished(lake: Lake, run_id: str) -> list[Entry]:
    """Commit what a run that has stopped finished and didn't commit; returns what it left unfinished."""
    finished: dict[str, list[MediaTags]] = defaultdict(list)
    unfinished = []
    for entry in Journal(lake, run_id).entries():
        if entry.finished:
            finished[entry.finished.batch_id].append(entry.finished)
        else:
            unfinished.append(entry)
    for batch_id, taggings in finished.items():
        if not writer.has_batch(lake, run_id, batch_id):
            part_id, part = part_of(lake, run_id, batch_id, taggings)
            if part:
                writer.commit_batch(lake, run_id, part_id, part)
    return unfinished


def part_of(lake: Lake, run_id: str, batch_id: str, taggings: Iterable[MediaTags]) -> tuple[str, list[MediaTags]]:
    """What was seen of a batch that isn't whole, but for what an earlier part holds: as a batch to commit, or nothing.

    Under an id of its own: the batch as planned isn't done, and a retry must not take it for that.
    """
    parts = lake.transaction(lambda con: _parts(con, run_id, batch_id))
    held = lake.transaction(lambda con: _media_of(con, run_id, parts))
    part_id = f"{batch_id}-part-{len(parts) + 1}"
    part = [replace(tagging, batch_id=part_id) for tagging in taggings if tagging.object.media_id not in held]
    return part_id, part


def seen_meanwhile(lake: Lake, batch: Batch) -> set[str]:
    """Media of a batch that were seen since it was planned: those that its parts hold, and of a backfill, which may
    have rested for days, those that other runs have looked at under its recipe."""

    def find(con: duckdb.DuckDBPyConnection) -> set[str]:
        seen = _media_of(con, batch.run_id, _parts(con, batch.run_id, batch.batch_id))
        if writer.batches_of_others(con, batch.run_id) != batch.others:
            seen |= {media_id for (media_id,) in con.execute(_SEEN_BY_OTHERS, [batch.run_id]).fetchall()}
        return seen & {media.media_id for media in (*batch.objects, *(copy for copy, _ in batch.copies))}

    return lake.transaction(find)  # in its turn: a reader's thread asks, while another commits over this connection


_SEEN_BY_OTHERS = """
SELECT media_id
FROM log.taggings
JOIN log.runs AS begun ON begun.run_id = $1 AND begun.kind = 'backfill' AND begun.recipe_id = taggings.recipe_id
WHERE taggings.run_id <> $1 AND tagged_at > (
    SELECT max(happened_at) FROM log.run_events WHERE run_id = $1 AND event = 'planned'
)
"""


def _parts(con: duckdb.DuckDBPyConnection, run_id: str, batch_id: str) -> list[str]:
    query = "SELECT batch FROM log.batches WHERE run_id = ? AND starts_with(batch, ?)"
    return [part_id for (part_id,) in con.execute(query, [run_id, f"{batch_id}-part"]).fetchall()]


def _media_of(con: duckdb.DuckDBPyConnection, run_id: str, batch_ids: list[str]) -> set[str]:
    query = "SELECT media_id FROM log.taggings WHERE run_id = ? AND batch IN (SELECT unnest(?))"
    return {media_id for (media_id,) in con.execute(query, [run_id, batch_ids]).fetchall()} if batch_ids else set()


def clear_done(lake: Lake, run_id: str) -> None:
    """Clear what a finished run no longer needs. What earlier runs left answered of media that this one had nothing to
    do with stays, for the run that looks at those."""
    if any(Journal(lake, run_id).entries()):
        for part in ("listing", "batches", "claims"):
            lake.store.clear(lake.work_uri(run_id, part))
    else:
        clear_work(lake, run_id)


def clear_work(lake: Lake, run_id: str) -> None:
    lake.store.clear(lake.work_uri(run_id))


def state_of(lake: Lake, run_id: str) -> str | None:
    query = "SELECT state FROM runs WHERE run_id = ?"
    row = lake.read(lambda con: con.execute(query, [run_id]).fetchone())
    return row[0] if row else None


def begun_at(lake: Lake, run_id: str) -> datetime:
    query = "SELECT started_at FROM log.runs WHERE run_id = ?"
    begun: datetime = lake.transaction(lambda con: con.execute(query, [run_id]).fetchall())[0][0]
    return begun


def is_cancelled(lake: Lake, run_id: str) -> bool:
    """Airflow ends the tasks of a run that is stopped, but not the one that records its end."""
    query = "SELECT 1 FROM log.run_events WHERE run_id = ? AND event = 'cancelled'"
    return bool(lake.transaction(lambda con: con.execute(query, [run_id]).fetchone()))
