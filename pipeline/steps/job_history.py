"""How a job ended, and what it found, read back from the lake; likewise any other run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.lake.catalog import Lake
from pipeline.lake.journal import Journal
from pipeline.model import timecode
from pipeline.steps.job import CANCELLED, MOST_ROWS, Failure, Row, State, Status, failure, rows
from pipeline.steps.spool import Asked

_RUN = """
SELECT kind, sources, recipe_id, request, epoch(started_at) FROM log.runs WHERE run_id = ? AND kind IN ('job', 'tag')
"""

_END = """
SELECT event, detail, happened_at
FROM log.run_events
WHERE run_id = ? AND event IN ('finished', 'incomplete', 'cancelled', 'interrupted', 'died')
ORDER BY happened_at DESC
LIMIT 1
"""

# What the run looked at, and of what it was asked for but found done already the latest good look under its recipe.
_TAGGINGS = """
WITH asked AS (
    SELECT uri, media_id FROM log.sightings
    WHERE seen_at <= $ended
        AND (
            media_id IN (SELECT unnest($media))
            OR EXISTS (FROM (SELECT unnest($prefixes::VARCHAR[]) AS prefix) WHERE starts_with(uri, prefix))
        )
    GROUP BY ALL
    HAVING arg_max(state, seen_at) <> 'gone'
)

SELECT tagging_id, uri, status, error_code, error
FROM log.taggings
WHERE run_id = $run
    OR (
        recipe_id = $recipe
        AND tagged_at <= $ended
        AND status IN ('ok', 'partial')
        AND media_id IN (SELECT media_id FROM asked)
    )
QUALIFY row_number() OVER (PARTITION BY media_id ORDER BY run_id = $run DESC, tagged_at DESC) = 1
ORDER BY status IN ('ok', 'partial') DESC, uri
LIMIT $most
"""

# As `_outcome` tells it, for many at once.
_LIST = """
WITH ended AS (
    SELECT run_id, arg_max(event, happened_at) AS event, arg_max(detail, happened_at)::JSON AS detail
    FROM log.run_events
    WHERE event IN ('finished', 'incomplete', 'cancelled')
    GROUP BY run_id
),

planned AS (
    SELECT run_id, max((detail ->> 'listed')::INT - (detail ->> 'media')::INT) > 0 AS knew
    FROM log.run_events
    WHERE event = 'planned'
    GROUP BY run_id
),

done AS (SELECT run_id, sum(ok + partial) AS good, sum(failed + skipped) AS bad FROM log.batches GROUP BY run_id)

SELECT
    run_id,
    CASE
        WHEN event IS NULL THEN 'PROCESSING'
        WHEN event IN ('cancelled', 'incomplete') THEN 'FAILED'
        WHEN good > 0 OR knew THEN 'COMPLETED'
        WHEN bad > 0 OR (detail ->> 'refused') IS NOT NULL THEN 'FAILED'
        ELSE 'COMPLETED'
    END AS state,
    started_at,
    CASE WHEN NOT (request ->> '$.job.batch')::BOOLEAN THEN sources[1] END
FROM log.runs
LEFT JOIN ended USING (run_id)
LEFT JOIN planned USING (run_id)
LEFT JOIN done USING (run_id)
WHERE kind = 'job'
    AND ($owner IS NULL OR (request ->> '$.job.owner') = $owner)
    AND ($after IS NULL OR (started_at, run_id) < (SELECT (started_at, run_id) FROM log.runs WHERE run_id = $after))
ORDER BY started_at DESC, run_id DESC
LIMIT $most
"""

_PLANNED = "SELECT max((detail ->> 'media')::BIGINT) FROM log.run_events WHERE run_id = ? AND event = 'planned'"
_COUNT = "SELECT count(*) FROM log.taggings WHERE run_id = ?"
_THERE = "SELECT tagging_id FROM log.taggings WHERE run_id = ?"
_DONE = "SELECT tagging_id, uri FROM log.taggings WHERE run_id = ? ORDER BY uri"

Trouble = tuple[str, str]
"""(code, sentence)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One job in a list."""

    job_id: str
    state: State
    created_at: datetime
    media_url: str | None


def history(lake: Lake, job_id: str) -> Status | None:
    """A job, or another run, as the lake knows it; None where it knows none of that id."""
    run = _one(lake, _RUN, [job_id])
    if run is None:
        return None
    kind, sources, recipe_id, request, created_at = run
    asked = _asked(json.loads(request), sources, created_at)
    end = _one(lake, _END, [job_id])
    if end is None:
        fraction, found = so_far(lake, job_id, asked)
        return Status(job_id, "PROCESSING", min(99, int(100 * fraction)), found, asked)
    event, detail, ended_at = end[0], json.loads(end[1]), end[2]
    known = {"run": job_id, "recipe": recipe_id, "ended": ended_at, "most": MOST_ROWS + 1, "media": [], "prefixes": []}
    if kind == "job" and event == "finished":
        known["media"] = json.loads(request)["job"]["media"]
        known["prefixes"] = [source for source in sources if source.endswith("/")]
    taggings = _all(lake, _TAGGINGS, known)
    found = _rows(lake, asked, taggings) if len(taggings) <= MOST_ROWS else None
    failures = [failure(uri, code, sentence) for _, uri, _, code, sentence in taggings if code]
    failures += [failure(uri, code, sentence) for uri, code, sentence in detail.get("refused") or ()]
    if kind == "job" and event == "finished":
        state, error = _outcome(taggings, failures)
    else:
        state, error = _ending(event, detail)
    return Status(job_id, state, detail.get("percent", 100), found, asked, error, tuple(failures[:MOST_ROWS]))


def _asked(request: dict[str, Any], sources: list[str], created_at: float) -> Asked:
    nobodys = {"owner": "", "kinds": request["metadata"], "custom_payload": None, "batch": True}
    job = request.get("job") or {**nobodys, "webhook": request.get("webhook")}
    return Asked(
        job["owner"],
        tuple(sources),
        tuple(job["kinds"]),
        created_at,
        custom_payload=job["custom_payload"],
        webhook=job["webhook"],
        batch=job["batch"],
    )


def _ending(event: str, detail: dict[str, Any]) -> tuple[State, Trouble | None]:
    """COMPLETED where every batch is in the lake: media that failed are rows, in an archive there always are some."""
    if event == "finished":
        return "COMPLETED", None
    if event == "cancelled":
        return "FAILED", CANCELLED
    return "FAILED", (event, detail.get("error") or f"it is {event}: what it had found by then is kept")


def _outcome(taggings: list[tuple[Any, ...]], failures: list[Failure]) -> tuple[State, Trouble | None]:
    """FAILED where nothing came of a job, and why."""
    if not failures or any(status in ("ok", "partial") for _, _, status, _, _ in taggings):
        return "COMPLETED", None
    return "FAILED", (failures[0].code, failures[0].sentence)


def _rows(lake: Lake, asked: Asked, taggings: list[tuple[Any, ...]]) -> list[Row] | None:
    ids = {"ids": [tagging[0] for tagging in taggings]}
    uris = {tagging[0]: tagging[1] for tagging in taggings}
    of_these = "WHERE tagging_id IN (SELECT unnest($ids))"
    moments = _all(lake, f"SELECT tagging_id, timestamp_s FROM log.timestamps {of_these}", ids)
    if len(moments) > MOST_ROWS:
        return None
    found: dict[tuple[str, float], Row] = {}
    for tagging_id, moment in sorted(moments, key=lambda each: (uris[each[0]], each[1])):
        place = {"media_url": uris[tagging_id]} if asked.batch else {}
        found[tagging_id, moment] = {**place, "timestamp": timecode(moment), **{kind: [] for kind in asked.kinds}}
    for kind in asked.kinds:
        query = f"SELECT tagging_id, timestamp_s, label FROM log.{kind} {of_these}"
        for tagging_id, moment, label in _all(lake, query, ids):
            labels = found[tagging_id, moment][kind]
            if label not in labels:
                labels.append(label)
    return list(found.values())


def so_far(lake: Lake, job_id: str, asked: Asked) -> tuple[float, list[Row] | None]:
    """How much of a planned job is done, 0 to 1, and what was found, by the lake and the journal; None where that is
    more than MOST_ROWS."""
    (planned,) = _one(lake, _PLANNED, [job_id]) or (None,)
    if not planned:
        return 0.0, []
    ended, found = committed(lake, job_id, asked)
    there = {tagging_id for (tagging_id,) in _all(lake, _THERE, [job_id])} if found is not None else set()
    for entry in Journal(lake, job_id).entries():
        if entry.finished and entry.finished.tagging_id in there:
            continue
        ended += entry.finished is not None
        if found is not None and (entry.finished or not asked.batch):  # of one that isn't finished the URI isn't known
            found += rows(asked, entry.finished.object.uri if entry.finished else "", entry.frames)
    return min(1.0, ended / planned), found


def committed(lake: Lake, job_id: str, asked: Asked) -> tuple[int, list[Row] | None]:
    """How many of a job's media are in the lake, and what was found of them; None where that is more than MOST_ROWS."""
    (ended,) = _one(lake, _COUNT, [job_id]) or (0,)
    return ended, _rows(lake, asked, _all(lake, _DONE, [job_id])) if ended <= MOST_ROWS else None


def listed(lake: Lake, owner: str | None, after: str | None, most: int) -> list[Line]:
    """Jobs, the newest first, from the one behind `after` on. owner: None for who may see all."""
    parameters = {"owner": owner, "after": after, "most": most}
    return [Line(*row) for row in _all(lake, _LIST, parameters)]


def _one(lake: Lake, query: str, parameters: Any) -> tuple[Any, ...] | None:
    return lake.transaction(lambda con: con.execute(query, parameters).fetchone())


def _all(lake: Lake, query: str, parameters: Any) -> list[tuple[Any, ...]]:
    return lake.transaction(lambda con: con.execute(query, parameters).fetchall())
