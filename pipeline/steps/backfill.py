"""A backfill: a run of any size, planned in pieces that follow one another, beside the runs that tag what is new.

What is to do is decided once, and claimed; every piece is what nobody has looked at since. So it can be killed, paused
and resumed at any time: the lake and the claims say where it stands. No other run takes it over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.batch import Batch
from pipeline.errors import LakeError, UsageError
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.lake.mentions import FORGOTTEN
from pipeline.steps import tag
from pipeline.steps.forecast import forecast
from pipeline.steps.leftovers import clear_work, commit_finished, is_cancelled, state_of
from pipeline.steps.listing import begin_run, check_request, make_run_id, write_listing
from pipeline.steps.plan import plan_piece, plans_of, read_batch
from pipeline.steps.publish import end_run, freeze, run_summary, told_of
from pipeline.steps.run import Watcher, tag_batches
from pipeline.steps.spending import is_spent, too_dear
from pipeline.steps.workplace import Workplace, shown

KIND = "backfill"

_OF_THE_MACHINE = ("lake", "workers", "device", "decode_memory_mb", "openai_base_url", "openai_in_flight")
"""Settings that say where and how fast it is done, not what: they are those of who goes on with it."""


def begin(request: dict[str, Any], run_name: str | None = None, going_on: str | None = None) -> str:
    """List every source; makes the lake where there is none. Returns the run's id.

    run_name: what the scheduler calls it; a second call under the same name goes on with the first one's listing.
    going_on: the one that goes on, where it isn't a new one, under the settings that it began with.
    """
    with _at_hand(request, going_on) as (work, lake):
        if going_on:
            return _go_on(work, lake, going_on)
        run_id = make_run_id(run_name)
        begin_run(work, lake, run_id, kind=KIND)
        if not plans_of(lake, run_id):
            write_listing(work, lake, run_id)
        return run_id


def plan(request: dict[str, Any], run_id: str, piece: int | None, max_batches: int) -> dict[str, Any]:
    """Plan one `piece`, from 0. Returns its `batches` (ids), and for a scheduler its `tasks`, each a batch_id and what
    to call it. The same piece again gives the same.

    piece: None: the first that isn't done. max_batches: what the scheduler can map; the setting piece_batches may say
    less.
    """
    with _at_hand(request, run_id) as (work, lake):
        return _planned(work, lake, run_id, piece, max_batches)


def tag_batch(request: dict[str, Any], run_id: str, batch_id: str) -> dict[str, int]:
    """Tag one planned batch, as steps/tag.py does."""
    return tag.tag_batch(as_begun(request, run_id), run_id, batch_id, "backfills")


def end_piece(request: dict[str, Any], run_id: str) -> int | None:
    """End the last piece that was planned, and with the last of all the run. Returns the number of the next one, None
    where nothing is left to do.

    Raises LakeError where batches are missing.
    """
    with _at_hand(request, run_id) as (work, lake):
        return _end_piece(work, lake, run_id)


def as_begun(request: dict[str, Any], run_id: str) -> dict[str, Any]:
    """The request, and for what it doesn't name the settings that the backfill was begun with."""
    work = Workplace.of(request)
    with work.lake() as lake:
        return _as_begun(work, lake, request, run_id)


def foresee(request: dict[str, Any], run_id: str | None = None) -> dict[str, Any]:
    """What one would do, as steps/forecast.py says it. run_id: of one that goes on: what is left of it."""
    if run_id is None:
        return forecast(request, kind=KIND)
    work = Workplace.of(request)
    with work.lake() as lake:
        _check_open(lake, run_id)
        is_planned = bool(plans_of(lake, run_id))
    return forecast(as_begun(request, run_id), kind=KIND, run_id=run_id, is_planned=is_planned)


def if_dry_run(request: dict[str, Any], run_id: str | None) -> str | None:
    """The same as JSON where the request, or a setting, asks for no more than that."""
    return json.dumps(foresee(request, run_id)) if Workplace.of(request).settings.dry_run else None


def backfill(request: dict[str, Any], watch: Watcher, run_id: str | None = None) -> dict[str, Any]:
    """All of it in this process: what `shotlog backfill` does, and what Airflow spreads over tasks. Returns the run's
    summary.

    run_id: of the one to go on with, under the settings that it began with. A KeyboardInterrupt keeps what is answered,
    and goes on to the caller.
    """
    with (
        _at_hand(request, run_id) as (work, lake),
        lake.at_work("backfill command", alone=True, waiting=watch.waiting),
    ):
        if run_id:
            _go_on(work, lake, run_id)
        else:
            run_id = make_run_id(None)
            begin_run(work, lake, run_id, kind=KIND)
            write_listing(work, lake, run_id, watch.listed)
        with told_of(work, lake, run_id):
            _look_at_pieces(work, lake, run_id, watch)
        return run_summary(lake, run_id)


def cancel(request: dict[str, Any], run_id: str, waiting: Callable[[], None] | None = None) -> dict[str, Any]:
    """End a backfill for good: waits for the batches that are being looked at, and keeps what they find.

    waiting: called once where it has to wait. One that was interrupted there may be called again.
    """
    work = Workplace.of(request)
    with work.lake(read_only=False) as lake:
        if not (is_cancelled(lake, run_id) and any(lake.store.names(lake.work_uri(run_id)))):
            _check_open(lake, run_id)
            writer.record_event(lake, run_id, "cancelled")
        with lake.at_work("backfills", alone=True, waiting=waiting):
            _clear_cancelled(lake, run_id)
        freeze(work, lake, run_id)
        return run_summary(lake, run_id)


def _clear_cancelled(lake: Lake, run_id: str) -> None:
    """Keep what is finished. Done by who cancels, and by who was planning it then and wrote the plan afterwards."""
    commit_finished(lake, run_id)
    clear_work(lake, run_id)


@contextmanager
def _at_hand(request: dict[str, Any], run_id: str | None) -> Iterator[tuple[Workplace, Lake]]:
    """The workplace and the lake of a backfill, as it was begun; run_id: None for one that begins."""
    work = Workplace.of(request)
    if run_id is None:
        check_request(work)
    with work.lake(create=run_id is None, read_only=False) as lake:
        if run_id:
            work = Workplace.of(_as_begun(work, lake, request, run_id))
        yield work, lake


def _as_begun(work: Workplace, lake: Lake, request: dict[str, Any], run_id: str) -> dict[str, Any]:
    asked = json.loads(_of_run(lake, run_id, "request") or "{}")
    begun = {name: value for name, value in asked.items() if name not in _OF_THE_MACHINE}
    if begun.get("max_frames", "") is None:
        begun["max_frames"] = "all"  # None would mean that it wasn't given
    mine = dict(zip(shown(work.sources), work.sources, strict=True))  # what is kept of them lacks their signatures
    begun["sources"] = [mine.get(uri, uri) for uri in begun.get("sources", ()) if uri != FORGOTTEN]
    return {**begun, **request}


def _look_at_pieces(work: Workplace, lake: Lake, run_id: str, watch: Watcher) -> None:
    tagger, piece, is_first, is_over = work.tagger(), None, True, False
    while not is_over:
        planned = _planned(work, lake, run_id, piece, work.settings.piece_batches)
        if is_first and (plans := plans_of(lake, run_id)):
            watch.planned({**plans[0], "media": plans[0]["media"] - _media_done(lake, run_id)})
            is_first = False
        if planned["batches"]:
            batches = _batches(lake, run_id, planned)
            with lake.at_work("backfills", alone=False, waiting=watch.waiting), work.decoders() as decoders:
                tag_batches(work, lake, run_id, planned, batches, tagger, decoders, watch)
        piece = _end_piece(work, lake, run_id)
        is_over = piece is None


def _planned(work: Workplace, lake: Lake, run_id: str, piece: int | None, max_batches: int) -> dict[str, Any]:
    plans = plans_of(lake, run_id)
    if piece is None:
        piece = len(plans) - bool(plans and _is_the_one(lake, run_id, plans[-1]))
    if piece < len(plans):
        planned = plans[piece]
    elif is_cancelled(lake, run_id):
        planned = {"batches": [], "tasks": [], "left": 0}
    else:
        planned = plan_piece(work, lake, run_id, min(max_batches, work.settings.piece_batches), plans)
    return {**planned, "piece": piece}


def _is_the_one(lake: Lake, run_id: str, last: dict[str, Any]) -> bool:
    """Whether the last piece that was planned is the one to do, or there is none behind it."""
    return not _has_rested(lake, run_id) if _missing(lake, run_id, last) else not last["left"]


def _has_rested(lake: Lake, run_id: str) -> bool:
    """Whether it was at rest since its last plan: it held nothing back then, and others may have done some of it."""
    row = lake.transaction(lambda con: con.execute(_RESTED, [run_id]).fetchone())
    return bool(row and row[0])


_RESTED = """
SELECT max(happened_at) FILTER (event IN ('stopped', 'interrupted')) > max(happened_at) FILTER (event = 'planned')
FROM log.run_events
WHERE run_id = ?
"""


def _go_on(work: Workplace, lake: Lake, run_id: str) -> str:
    """Take up one that was stopped or paused; nothing where it is at work."""
    _check_open(lake, run_id)
    is_listed = bool(plans_of(lake, run_id))
    check_request(work, listed=is_listed)
    _check_recipe(work, lake, run_id)
    if state_of(lake, run_id) != "running" or is_spent(lake, run_id):  # it was killed before it could say so
        writer.record_event(lake, run_id, "resumed")
    if not is_listed:  # it broke before, and its listing may be half of one
        write_listing(work, lake, run_id)
    return run_id


def _end_piece(work: Workplace, lake: Lake, run_id: str) -> int | None:
    plans = plans_of(lake, run_id)
    cancelled = is_cancelled(lake, run_id)
    stopped = cancelled or is_spent(lake, run_id)
    missing = [] if stopped else _undone(lake, run_id, plans[-1])
    if not stopped and not missing and plans[-1]["left"] > plans[-1].get("put_aside", 0):
        freeze(work, lake, run_id)
        return len(plans)
    if cancelled:
        with lake.at_work("backfills", alone=True):
            _clear_cancelled(lake, run_id)
    summary = end_run(lake, run_id)
    freeze(work, lake, run_id)
    if missing:
        raise LakeError(
            f"backfill {run_id} is {summary['state']}: {len(missing)} batches are missing; clear the failed tasks, or "
            f"go on with: shotlog backfill --resume {run_id}"
        )
    return None


def _missing(lake: Lake, run_id: str, planned: dict[str, Any]) -> list[str]:
    """Batches of a piece that aren't in the lake."""
    done = lake.transaction(
        lambda con: con.execute("SELECT batch FROM log.batches WHERE run_id = ?", [run_id]).fetchall()
    )
    return [batch_id for batch_id in planned["batches"] if (batch_id,) not in done]


def _undone(lake: Lake, run_id: str, planned: dict[str, Any]) -> list[str]:
    """Those of which more is left than what takes more than the whole budget, which is put aside."""
    missing, aside = _missing(lake, run_id, planned), too_dear(lake, run_id)

    def is_left(batch_id: str) -> bool:
        return any(media.media_id not in aside for media in read_batch(lake, run_id, batch_id).objects)

    return [batch_id for batch_id in missing if is_left(batch_id)] if aside else missing


def _media_done(lake: Lake, run_id: str) -> int:
    return int(_of_run(lake, run_id, "media_done"))


def _of_run(lake: Lake, run_id: str, column: str) -> Any:
    query = f"SELECT {column} FROM runs JOIN log.runs AS begun USING (run_id) WHERE run_id = ?"
    row = lake.read(lambda con: con.execute(query, [run_id]).fetchone())
    return row[0] if row else None


def _batches(lake: Lake, run_id: str, planned: dict[str, Any]) -> Iterator[Batch]:
    """Those, until the run is cancelled."""
    for batch_id in _missing(lake, run_id, planned):
        if not is_cancelled(lake, run_id):
            yield read_batch(lake, run_id, batch_id)


def _check_open(lake: Lake, run_id: str) -> None:
    query = "SELECT run_id FROM runs WHERE kind = ? AND state NOT IN ('finished', 'cancelled') ORDER BY started_at"
    open_ones = lake.read(lambda con: con.execute(query, [KIND]).fetchall())
    if (run_id,) not in open_ones:
        known = ", ".join(name for (name,) in open_ones) or "none"
        raise UsageError(f"there is no backfill '{run_id}' to go on with: open ones are {known} (`shotlog runs`)")


def _check_recipe(work: Workplace, lake: Lake, run_id: str) -> None:
    if _of_run(lake, run_id, "runs.recipe_id") != work.recipe(work.tagger()).recipe_id:
        raise UsageError(
            f"backfill {run_id} was begun under another recipe: go on with the model and settings that it had, or "
            f"`shotlog backfill --cancel {run_id}` and begin a new one"
        )
