"""Step 2 of a run: take over what killed runs finished, then decide what is to do and cut it into batches."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import duckdb
from pydantic import TypeAdapter, ValidationError

from pipeline.batch import Batch
from pipeline.errors import LakeError
from pipeline.lake import hidden, recipes, writer
from pipeline.lake.catalog import Lake
from pipeline.lake.connection import bounded
from pipeline.lake.inherit import inherit
from pipeline.lake.journal import Journal
from pipeline.lake.reader import load_cost
from pipeline.planning.batches import LEFT, MAX_BATCHES, batches, worth_loading
from pipeline.planning.compare import compare
from pipeline.planning.wish import Wish
from pipeline.recipe import Recipe
from pipeline.scratch import scratch_folder
from pipeline.steps.claims import claim, claims_glob, heeding_others, wish_for_rest
from pipeline.steps.forecast import count, foresee
from pipeline.steps.inventory import kept_how_old
from pipeline.steps.leftovers import begun_at, seen_meanwhile, state_of, take_over_dead_runs
from pipeline.steps.listing import listing_glob
from pipeline.steps.refusals import Refusals
from pipeline.steps.spending import too_dear
from pipeline.steps.wish import most_frames, wish_of
from pipeline.steps.workplace import Workplace
from pipeline.taggers.base import Tagger

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
    if alone:
        take_over_dead_runs(lake, run_id)
    with lake.at_work("planners", alone=True):
        return _plan(work, lake, run_id, max_batches, first)


def plan_piece(
    work: Workplace, lake: Lake, run_id: str, max_batches: int, plans: list[dict[str, Any]]
) -> dict[str, Any]:
    """Plan the next piece of a run whose earlier pieces are `plans`: what its claims say and nobody has looked at.

    `left` says how many media are still to do when it is done.
    """
    first = sum(len(earlier["batches"]) for earlier in plans)
    with lake.at_work("planners", alone=True):
        return _plan(work, lake, run_id, max_batches, first, piece=True, begun=plans[0] if plans else None)


def _plan(
    work: Workplace,
    lake: Lake,
    run_id: str,
    max_batches: int,
    first: int,
    *,
    piece: bool = False,
    begun: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """begun: the run's first piece, which says what all of it is."""
    with scratch_folder() as folder:
        with bounded(lake.con, folder):
            counts, others = _hold_against_lake(work, lake, run_id, begun, piece)
            if counts["media"] and not begun:
                claim(lake, run_id)
        tagger, settings = work.tagger(), work.settings
        video_frames = most_frames(work, tagger)
        forecast = begun["forecast"] if begun else _forecast(work, lake, tagger, counts["media"])
        planned: dict[str, Any] = {
            "run_id": run_id,
            "batches": [],
            "tasks": [],
            "pool": settings.pool,
            "frames_per_video": video_frames if tagger.summarises else None,
            "forecast": forecast,
            "left": count(lake.con, LEFT) + counts["put_aside"],
            "put_aside": counts["put_aside"],
            **({} if begun else counts),
        }
        cut = batches(
            lake.con,
            run_id,
            _batch_size(settings.batch_frames, lake, work.recipe(tagger)),
            max_batches,
            video_frames=video_frames,
            first=first,
            others=others,
            order=settings.order,
            piece=piece,
            video_s=forecast["video_s"],
        )
        for batch in cut:
            lake.store.write(_batch_uri(lake, run_id, batch.batch_id), batch_as_json(batch))
            planned["batches"].append(batch.batch_id)
            planned["tasks"].append({"batch_id": batch.batch_id, "label": batch.label})
            planned["left"] -= batch.media
        earlier = lake.read(lambda con: _count_plans(con, run_id))
        lake.transaction(lambda con: _record(con, planned, f"inherited-{first:06}", earlier))
        return planned


def _hold_against_lake(
    work: Workplace, lake: Lake, run_id: str, begun: dict[str, Any] | None, piece: bool
) -> tuple[dict[str, int], int]:
    """Compare the run's listing, or of a later piece its claims, with the lake.

    Returns the counts, and how many batches of other runs the lake has. Raises LakeError where the listing has gone.
    """
    listing = claims_glob(lake, run_id) if begun else listing_glob(lake, run_id)
    parts = sum(uri.endswith(".parquet") for uri in lake.store.names(listing.rpartition("/")[0]))
    if not parts:
        raise LakeError(f"run {run_id} is no longer listed: a later run took over; list it again, or start a new one")
    tagger = work.tagger()
    refused = {refusal.number for refusal in Refusals(lake, run_id).kept()} if work.settings.callers_urls else set()
    wish = wish_of(work, tagger, refused, kept_how_old(lake, run_id))
    if begun:
        wish = wish_for_rest(lake, run_id, wish, put_aside=too_dear(lake, run_id))
    elif piece:
        wish = replace(wish, listed_at=begun_at(lake, run_id))

    def hold_against(con: duckdb.DuckDBPyConnection, wish: Wish) -> tuple[dict[str, int], int]:
        # both recipes side by side: the views stay as they are
        if wish.sample and (wish.retag or "stale" in wish.only):
            recipes.keep_current(con, work.recipe(tagger))
        counts = compare(con, listing, wish)
        return {**counts, "overlapping": wish.overlapping}, writer.batches_of_others(con, run_id)

    def beside(claims: tuple[str, ...]) -> tuple[dict[str, int], int]:
        return lake.transaction(partial(hold_against, wish=replace(wish, claims=claims)))

    with lake.on_all_cores() if parts > 1 else nullcontext():
        # a caller of the HTTP API waits for the rows, and can't be told to come back when a backfill has got there
        return beside(()) if work.settings.callers_urls else heeding_others(lake, run_id, beside)


def _forecast(work: Workplace, lake: Lake, tagger: Tagger, media: int) -> dict[str, Any]:
    found = lake.read(lambda con: foresee(con, work, tagger, media))
    films = count(lake.con, f"{LEFT} AND kind = 'video' AND copy_of IS NULL")
    return {**found.as_json(), "video_s": found.media_s.expected / films if films else 0.0}


def _batch_size(frames: int, lake: Lake, recipe: Recipe) -> int:
    cost = load_cost(lake, recipe.tagger, recipe.model) if recipe.model else None
    return worth_loading(frames, *cost) if cost else frames


def read_batch(lake: Lake, run_id: str, batch_id: str) -> Batch:
    """What is left to do of a planned batch.

    Raises LakeError where the run's plan has gone: a later run took over what was left of it.
    """
    data = lake.store.read(_batch_uri(lake, run_id, batch_id))
    if data is None:
        raise LakeError(
            f"batch {batch_id} of run {run_id} is no longer planned: a later run took over; start a new one"
        )
    batch = _BATCH.validate_json(data)
    seen = seen_meanwhile(lake, batch)
    for media_id in seen:  # a task was killed between their commit and this
        Journal(lake, run_id).drop(media_id)
    return batch.without(seen)


def planned_batch(data: bytes) -> Batch | None:
    """The batch that a file of a run's work folder holds; None where it holds something else."""
    try:
        return _BATCH.validate_json(data)
    except ValidationError:
        return None


def batch_as_json(batch: Batch) -> bytes:
    """As it lies in a run's work folder."""
    return _BATCH.dump_json(batch)


def plans_of(lake: Lake, run_id: str) -> list[dict[str, Any]]:
    """All plans of a run, oldest first: one more for every time it was run again after its end."""
    query = "SELECT detail FROM log.run_events WHERE run_id = ? AND event = 'planned' ORDER BY happened_at"
    rows = lake.transaction(lambda con: con.execute(query, [run_id]).fetchall())
    return [json.loads(row[0]) for row in rows]


def _has_ended(lake: Lake, run_id: str) -> bool:
    """Whether nothing of the last plan is left to do here: it is done, or another run took over."""
    return state_of(lake, run_id) in ("finished", "died") or not any(lake.store.names(lake.work_uri(run_id, "batches")))


def _count_plans(con: duckdb.DuckDBPyConnection, run_id: str) -> int:
    found = con.execute("SELECT count(*) FROM log.run_events WHERE run_id = ? AND event = 'planned'", [run_id])
    return int((found.fetchone() or (0,))[0])


def _record(con: duckdb.DuckDBPyConnection, planned: dict[str, Any], batch_id: str, earlier: int) -> None:
    """The plan, what the listing saw for the first time, changed or no longer, and what copies inherit.

    batch_id: of those, which nobody has to look at. earlier: how many plans the run had before this one.
    """
    run_id = planned["run_id"]
    if _count_plans(con, run_id) > earlier:  # it was committed, and the server went away before it said so
        return
    now = writer.add_event(con, run_id, "planned", planned)
    con.execute(_SIGHTINGS, {"run_id": run_id, "now": now})
    inherited = con.execute(_HEIRS).fetchone()
    if inherited and inherited[0]:
        inherit(con, "heirs", run_id=run_id, batch_id=batch_id)
        rows = {"media": inherited[0], "ok": inherited[0], "inherited": inherited[0], "frames": 0}
        rows |= dict.fromkeys(("partial", "failed", "skipped"), 0)
        writer.insert(con, {"batches": [{"run_id": run_id, "batch": batch_id, "committed_at": now, **rows}]})
        changed = con.execute("SELECT media_id FROM heirs JOIN compared USING (media_id) WHERE state <> 'new'")
        hidden.refresh(con, [row[0] for row in changed.fetchall()])
    moved = con.execute(_MOVED, [run_id]).fetchall()
    if moved:
        hidden.refresh(con, [row[0] for row in moved])


# An object not yet tagged stays `new` for every run: only what differs from its last sighting is a sighting.
_SIGHTINGS = """
INSERT INTO log.sightings
WITH latest AS (
    SELECT
        media_id, max_by(etag, seen_at) AS etag, max_by(state, seen_at) AS state,
        -- as pipeline/lake/order.py says
        greatest($now, max(seen_at) + INTERVAL 1 MICROSECOND) AS now
    FROM log.sightings
    SEMI JOIN (SELECT media_id FROM compared UNION ALL SELECT media_id FROM gone) USING (media_id)
    GROUP BY media_id
)

SELECT
    compared.media_id, $run_id AS run_id, compared.uri, compared.etag,
    CASE WHEN latest.media_id IS NULL OR latest.state = 'gone' THEN 'new' ELSE 'changed' END AS state,
    coalesce(as_of, latest.now, $now) AS seen_at
FROM compared
LEFT JOIN latest USING (media_id)
WHERE latest.media_id IS NULL OR latest.state = 'gone' OR latest.etag <> compared.etag
UNION ALL
SELECT media_id, $run_id, gone.uri, gone.etag, 'gone', coalesce(as_of, latest.now)
FROM gone
JOIN latest USING (media_id)
"""


_HEIRS = """
CREATE OR REPLACE TEMP TABLE heirs AS
SELECT
    replace(uuid()::VARCHAR, '-', '') AS tagging_id, inherits AS inherited_from, media_id, uri, etag, last_modified
FROM compared
JOIN copies USING (media_id)
WHERE todo AND inherits IS NOT NULL
"""

# Gone, back, or there in another version: the views may show another look.
_MOVED = """
SELECT media_id
FROM log.sightings
WHERE media_id IN (SELECT media_id FROM log.sightings WHERE run_id = ? GROUP BY media_id)
GROUP BY media_id
HAVING count_if(state = 'gone') > 0 OR count(DISTINCT etag) > 1
"""


def _batch_uri(lake: Lake, run_id: str, batch_id: str) -> str:
    return lake.work_uri(run_id, "batches", f"{batch_id}.json")
