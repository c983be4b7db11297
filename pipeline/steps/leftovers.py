"""What runs that have stopped leave behind: what they finished is committed, and their work folders are cleared."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

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
            # under an id of its own: the batch as planned isn't done, and a retry must not take it for that
            part_id = f"{batch_id}-part"
            part = [replace(tagging, batch_id=part_id) for tagging in taggings]
            writer.commit_batch(lake, run_id, part_id, part)
    return unfinished


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


def is_cancelled(lake: Lake, run_id: str) -> bool:
    """Airflow ends the tasks of a run that is stopped, but not the one that records its end."""
    query = "SELECT 1 FROM log.run_events WHERE run_id = ? AND event = 'cancelled'"
    return bool(lake.transaction(lambda con: con.execute(query, [run_id]).fetchone()))
