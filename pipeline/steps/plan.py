"""Step 2 of a run: take over what killed runs finished, then decide what is to do and cut it into batches."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import duckdb
from pydantic import TypeAdapter

from pipeline.errors import LakeError
from pipeline.lake import hidden, recipes, writer
from pipeline.lake.catalog import Lake
from pipeline.lake.inherit import inherit
from pipeline.lake.journal import Entry, Journal
from pipeline.lake.reader import load_cost
from pipeline.model import Batch, MediaTags
from pipeline.planning.batches import MAX_BATCHES, batches, worth_loading
from pipeline.planning.compare import compare
from pipeline.steps.forecast import foresee, probes_for
from pipeline.steps.listing import listing_glob
from pipeline.steps.refusals import Refusals
from pipeline.steps.wish import most_frames, wish_of
from pipeline.steps.workplace import Workplace

_BATCH = TypeAdapter(Batch)


def plan_batches(request: dict[str, Any], run_id: str, max_batches: int = MAX_BATCHES) -> dict[str, Any]:
    """Plan a listed run. Returns the run's `batches` (ids; the plan itself lies beside the lake) and its counts.

    max_batches: what the scheduler can map. Planning a run twice gives the same batches until the run has ended; then
    it is planned anew, as it was listed.
    """
    work = Workplace.of(request)
    lake = work.lake(read_only=False)
    with lake.at_work(alone=True):
        plans = plans_of(lake, run_id)
        if plans and not _has_ended(lake, run_id):
            return plans[-1]
        used = sum(len(earlier["batches"]) for earlier in plans)
        return plan(work, lake, run_id, max_batches, first=used)


def plan(
    work: Workplace,
    lake: Lake,
    run_id: str,
    max_batches: int = MAX_BATCHES,
    *,
    first: int = 0,
    alone: bool = True,
) -> dict[str, Any]:
    """Plan a listed run as `plan_batches` does, anew.

    first: number of the first batch's id. alone: whether the caller holds the lake, and takes over what others left.
    """
    parts = sum(1 for _ in lake.store.names(lake.work_uri(run_id, "listing")))
    if not parts:
        raise LakeError(f"run {run_id} is no longer listed: a later run took over; list it again, or start a new one")
    if alone:
        take_over_dead_runs(lake, run_id)
    tagger = work.tagger()
    recipe, video_frames = work.recipe(tagger), most_frames(work, tagger)
    refused = {refusal.number for refusal in Refusals(lake, run_id).kept()} if work.settings.callers_urls else set()
    wish = wish_of(work, tagger, refused)

    def hold_against(con: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], int]:
        if wish.retag and wish.sample:  # both recipes side by side: the views stay as they are
            recipes.keep_current(con, recipe)
        return compare(con, listing_glob(lake, run_id), wish), writer.batches_of_others(con, run_id)

    with lake.on_all_cores() if parts > 1 else nullcontext():
        counts, others = lake.transaction(hold_against)
    batch_ids = []
    size = work.settings.batch_frames
    if recipe.model and (cost := load_cost(lake, recipe.tagger, recipe.model)):
        size = worth_loading(size, *cost)
    for batch in batches(lake.con, run_id, size, max_batches, video_frames=video_frames, first=first, others=others):
        lake.store.write(_batch_uri(lake, run_id, batch.batch_id), _BATCH.dump_json(batch))
        batch_ids.append(batch.batch_id)
    planned: dict[str, Any] = {
        "run_id": run_id,
        "batches": batch_ids,
        "pool": work.settings.pool,
        "frames_per_video": video_frames if tagger.summarises else None,
    }
    planned |= counts
    planned["forecast"] = foresee(lake.con, work, tagger, probes_for(work, counts["media"])).as_json()
    lake.transaction(lambda con: _record(con, planned, f"inherited-{first:06}"))
    return planned


def read_batch(lake: Lake, run_id: str, batch_id: str) -> Batch:
    """Raises LakeError where the run's plan has gone: a later run took over what was left of it."""
    data = lake.store.read(_batch_uri(lake, run_id, batch_id))
    if data is None:
        raise LakeError(
            f"batch {batch_id} of run {run_id} is no longer planned: a later run took over; start a new one"
        )
    return _BATCH.validate_json(data)


def take_over_dead_runs(lake: Lake, run_id: str) -> None:
    """Commit what earlier runs finished and didn't commit, keep their answered frames, clear their work folders.

    Only who holds the lake alone may call this: then a run with work left is dead, or waits for a rerun. What `serve`
    works on it takes up itself.
    """
    prefix = lake.work_uri("")
    runs = {uri.removeprefix(prefix).partition("/")[0] for uri in lake.store.names(prefix.rstrip("/"))} - {run_id}
    if runs:
        runs -= {row[0] for row in lake.con.execute("SELECT run_id FROM log.runs WHERE kind <> 'tag'").fetchall()}
    # one that died before it listed anything has no work folder
    runs |= {row[0] for row in lake.con.execute(_NEVER_ENDED).fetchall()} - {run_id}
    mine = Journal(lake, run_id)
    for dead in sorted(runs):
        for entry in commit_finished(lake, dead):
            mine.keep(entry)
        if _state(lake, dead) in (None, "running"):
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
        for part in ("listing", "batches"):
            lake.store.clear(lake.work_uri(run_id, part))
    else:
        clear_work(lake, run_id)


def clear_work(lake: Lake, run_id: str) -> None:
    lake.store.clear(lake.work_uri(run_id))


def _state(lake: Lake, run_id: str) -> str | None:
    row = lake.con.execute("SELECT state FROM runs WHERE run_id = ?", [run_id]).fetchone()
    return row[0] if row else None


def plans_of(lake: Lake, run_id: str) -> list[dict[str, Any]]:
    """All plans of a run, oldest first: one more for every time it was run again after its end."""
    query = "SELECT detail FROM log.run_events WHERE run_id = ? AND event = 'planned' ORDER BY happened_at"
    rows = lake.transaction(lambda con: con.execute(query, [run_id]).fetchall())
    return [json.loads(row[0]) for row in rows]


def _has_ended(lake: Lake, run_id: str) -> bool:
    """Whether nothing of the last plan is left to do here: it is done, or another run took over."""
    return _state(lake, run_id) in ("finished", "died") or not any(lake.store.names(lake.work_uri(run_id, "batches")))


def _record(con: duckdb.DuckDBPyConnection, planned: dict[str, Any], batch_id: str) -> None:
    """The plan, what the listing saw for the first time, changed or no longer, and what copies inherit.

    batch_id: of those, which nobody has to look at.
    """
    run_id, now = planned["run_id"], datetime.now(UTC)
    event = {"run_id": run_id, "event": "planned", "detail": json.dumps(planned), "happened_at": now}
    writer.insert(con, {"run_events": [event]})
    con.execute(_SIGHTINGS, [run_id, now, run_id, now])
    inherited = con.execute(_HEIRS).fetchone()
    if inherited and inherited[0]:
        inherit(con, "heirs", run_id=run_id, batch_id=batch_id)
        rows = {"media": inherited[0], "ok": inherited[0], "inherited": inherited[0], "frames": 0}
        rows |= dict.fromkeys(("partial", "failed", "skipped"), 0)
        writer.insert(con, {"batches": [{"run_id": run_id, "batch": batch_id, "committed_at": now, **rows}]})
        changed = con.execute("SELECT media_id FROM heirs JOIN compared USING (media_id) WHERE state <> 'new'")
        hidden.refresh(con, [row[0] for row in changed.fetchall()])
    moved = con.execute(_GONE_OR_BACK, [run_id]).fetchall()
    if moved:
        hidden.refresh(con, [row[0] for row in moved])


# An object not yet tagged stays `new` for every run: only what differs from its last sighting is a sighting.
_SIGHTINGS = """
INSERT INTO log.sightings
WITH latest AS (
    SELECT media_id, max_by(etag, seen_at) AS etag, max_by(state, seen_at) AS state
    FROM log.sightings
    GROUP BY media_id
)

SELECT
    compared.media_id, ? AS run_id, compared.uri, compared.etag,
    CASE WHEN latest.media_id IS NULL OR latest.state = 'gone' THEN 'new' ELSE 'changed' END AS state, ? AS seen_at
FROM compared
LEFT JOIN latest USING (media_id)
WHERE latest.media_id IS NULL OR latest.state = 'gone' OR latest.etag <> compared.etag
UNION ALL
SELECT media_id, ?, uri, etag, 'gone', ? FROM gone
"""


_HEIRS = """
CREATE OR REPLACE TEMP TABLE heirs AS
SELECT
    replace(uuid()::VARCHAR, '-', '') AS tagging_id, inherits AS inherited_from, media_id, uri, etag, last_modified
FROM compared
JOIN copies USING (media_id)
WHERE todo AND inherits IS NOT NULL
"""

_GONE_OR_BACK = """
SELECT media_id
FROM log.sightings
WHERE media_id IN (SELECT media_id FROM log.sightings WHERE run_id = ? GROUP BY media_id)
GROUP BY media_id
HAVING count_if(state = 'gone') > 0
"""


def _batch_uri(lake: Lake, run_id: str, batch_id: str) -> str:
    return lake.work_uri(run_id, "batches", f"{batch_id}.json")
