"""Step 4 of a run: say how it ended, and clear what it no longer needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

from pipeline.errors import LakeError, MediaError, ShotlogError, interruptible
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.lake.freeze import publish
from pipeline.steps.leftovers import clear_done, is_cancelled
from pipeline.steps.refusals import Refusals
from pipeline.steps.spending import why_stopped
from pipeline.steps.workplace import Workplace

PLANNED = (
    *("listed", "new", "changed", "duplicate", "gone", "unchanged"),
    *("stale", "retried", "waiting", "unknown", "excluded"),
)
DONE = ("ok", "partial", "failed", "skipped", "inherited", "frames")


def publish_run(request: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Record the end of a run and return its summary; see `end_run`. Raises LakeError where batches are missing."""
    work = Workplace.of(request)
    lake = work.lake(read_only=False)
    summary = end_run(lake, run_id)
    freeze(work, lake, run_id)
    if summary["state"] not in ("finished", "stopped"):
        raise LakeError(
            f"run {run_id} is {summary['state']}: what its other batches found is in the lake; clear the failed tasks, "
            "or leave what is missing to the next run"
        )
    return summary


def end_run(
    lake: Lake,
    run_id: str,
    *,
    interrupted: bool = False,
    error: Exception | None = None,
) -> dict[str, Any]:
    """Append the run's end: finished when every planned batch is in the lake, else stopped where its budget was spent,
    incomplete or interrupted.

    error: what broke the run; its sentence is kept where it is one of ours, which hold no secrets. A run that was
    cancelled stays so.

    A finished run's work folder is cleared; otherwise it stays for a rerun or for the next run to take over.
    Returns run_id, state, error, the plan's counts, what was done, and seconds.
    """
    if is_cancelled(lake, run_id):
        return run_summary(lake, run_id)
    whole = error is None and _is_whole(lake, run_id)
    state = "interrupted" if interrupted else "finished" if whole else "incomplete"
    detail: dict[str, Any] = {}
    if error:
        detail["error"] = str(error) if isinstance(error, ShotlogError | MediaError) else type(error).__name__
    elif state == "incomplete" and (reason := why_stopped(lake, run_id)):
        state, detail["error"] = "stopped", reason
    if refused := Refusals(lake, run_id).kept():
        detail["refused"] = [(refusal.uri, refusal.code, refusal.sentence) for refusal in refused]
    writer.record_event(lake, run_id, state, detail)
    if state == "finished":
        clear_done(lake, run_id)
    return run_summary(lake, run_id)


@contextmanager
def told_of(work: Workplace, lake: Lake, run_id: str, keep: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Record with the run what breaks it off, which then goes on to the caller. keep: what Ctrl-C is to leave done."""
    try:
        with interruptible():
            yield
    except KeyboardInterrupt:
        keep()
        end_run(lake, run_id, interrupted=True)
        with suppress(Exception):  # it is Ctrl-C that the caller is to hear of
            freeze(work, lake, run_id)
        raise
    except Exception as error:
        with suppress(Exception):  # what stopped the run may also hinder this, and matters more
            end_run(lake, run_id, error=error)
            freeze(work, lake, run_id)
        raise


def freeze(work: Workplace, lake: Lake, *run_ids: str) -> None:
    """Publish a frozen catalog where that is wished and these runs have changed what the views show; named none, who
    calls has."""
    wished = work.settings.freeze
    if wished == "on" or (wished == "auto" and "://" in lake.uri):
        changed = lake.read(lambda con: con.execute(_CHANGED, [run_ids]).fetchone())
        if not run_ids or (changed and changed[0]):
            publish(lake)


_CHANGED = """
SELECT
    (SELECT count(*) FROM log.batches WHERE run_id IN (SELECT unnest($1::VARCHAR[])))
    + (SELECT count(*) FROM log.sightings WHERE run_id IN (SELECT unnest($1::VARCHAR[])))
"""


def _is_whole(lake: Lake, run_id: str) -> bool:
    """Whether the run was planned to its end and every batch of its last plan is in the lake."""
    query = """
        SELECT (detail -> '$.batches')::VARCHAR[], coalesce((detail ->> 'left')::BIGINT, 0)
        FROM log.run_events
        WHERE run_id = ? AND event = 'planned'
        ORDER BY happened_at DESC
        LIMIT 1
    """
    batches = "SELECT batch FROM log.batches WHERE run_id = ?"
    plan = lake.read(lambda con: con.execute(query, [run_id]).fetchone())
    done = lake.read(lambda con: con.execute(batches, [run_id]).fetchall())
    return plan is not None and plan[1] == 0 and set(plan[0]) <= {batch for (batch,) in done}


def run_summary(lake: Lake, run_id: str) -> dict[str, Any]:
    """One run as the view `runs` has it, in the words of `shotlog tag --format json`."""

    def find(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        run = con.execute("SELECT * FROM runs WHERE run_id = ?", [run_id])
        names = [column[0] for column in run.description or ()]
        return dict(zip(names, run.fetchone() or (), strict=False))

    row = lake.read(find)
    counts = {name: row.get(name) or 0 for name in (*PLANNED, *DONE)}
    ended = {"state": row.get("state"), "error": row.get("error")}
    return {"run_id": run_id, **ended, **counts, "seconds": round(row.get("seconds") or 0.0, 3)}
