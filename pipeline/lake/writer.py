"""Commit taggings: one batch, one transaction over all tables, and nothing the second time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.batch import Batch
from pipeline.lake import hidden
from pipeline.lake.catalog import Lake
from pipeline.lake.inherit import HEIRS, inherit
from pipeline.lake.order import after, after_earlier_looks
from pipeline.lake.tables import TABLES
from pipeline.model import MediaTags, TaggedFrame, timecode
from pipeline.recipe import METADATA_KINDS, Recipe

Rows = dict[str, list[dict[str, Any]]]


def has_batch(lake: Lake, run_id: str, batch_id: str) -> bool:
    return lake.transaction(lambda con: _has_batch(con, run_id, batch_id))


def commit_batch(
    lake: Lake,
    run_id: str,
    batch_id: str,
    taggings: Sequence[MediaTags],
    *,
    load_s: float | None = None,
    seconds: float | None = None,
    planned: Batch | None = None,
) -> bool:
    """Write all rows of a batch; False when the batch is in the lake already and nothing was written.

    load_s: seconds the tagger took to load in this batch's process; None where it was loaded already. seconds: what
    this process has worked since it committed the one before, None where that isn't known. planned: the batch, where
    its plan says which of its media were looked at before; None: any of them may have been.
    """
    looks = [tagging for tagging in taggings if not tagging.inherited_from]
    heirs = [tagging for tagging in taggings if tagging.inherited_from]
    rows = _rows(looks)

    def work(con: duckdb.DuckDBPyConnection) -> bool:
        if _has_batch(con, run_id, batch_id):
            return False
        if planned is None or batches_of_others(con, run_id) != planned.others:
            looked_at = {tagging.object.media_id for tagging in taggings}
        else:
            looked_at = set(planned.looked_at)
        if looked_at:
            after_earlier_looks(con, rows["taggings"], looked_at)
        insert(con, rows)
        done = [*looks, *_inherited(con, run_id, batch_id, heirs)]
        took = {"load_s": load_s, "seconds": seconds}
        insert(con, {"batches": [_batch_row(run_id, batch_id, done) | took]})
        if looked_at:
            hidden.refresh(con, looked_at)
        return True

    return lake.transaction(work)


def _inherited(
    con: duckdb.DuckDBPyConnection, run_id: str, batch_id: str, heirs: Sequence[MediaTags]
) -> list[MediaTags]:
    """Write what heirs inherit, inside the caller's transaction. Returns those that did: what a copy was to have may
    have been forgotten since it was planned, and then it stays new for the next run."""
    if not heirs:
        return []
    con.register("heirs_given", pa.Table.from_pylist([_heir(heir) for heir in heirs], schema=HEIRS))
    inherit(con, "heirs_given", run_id=run_id, batch_id=batch_id)
    found = con.execute("SELECT tagging_id FROM heirs_given SEMI JOIN log.taggings USING (tagging_id)").fetchall()
    con.unregister("heirs_given")
    written = {tagging_id for (tagging_id,) in found}
    return [heir for heir in heirs if heir.tagging_id in written]


def _batch_row(run_id: str, batch_id: str, taggings: Sequence[MediaTags]) -> dict[str, Any]:
    states = Counter(tagging.status for tagging in taggings)
    looks = [tagging for tagging in taggings if not tagging.inherited_from]
    tokens = [_tokens_of(look) for look in looks]
    return {
        "run_id": run_id,
        "batch": batch_id,
        "media": len(taggings),
        **{status: states[status] for status in ("ok", "partial", "failed", "skipped")},
        "frames": sum(len(tagging.frames) for tagging in taggings),
        "committed_at": datetime.now(UTC),
        "model_s": sum(tagging.model_s for tagging in taggings),
        "inherited": len(taggings) - len(looks),
        "media_s": sum((look.info and look.info.duration_s) or 0.0 for look in looks),
        "prompt_tokens": sum(prompt for prompt, _ in tokens),
        "completion_tokens": sum(completion for _, completion in tokens),
    }


def insert(con: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    """Insert rows into the tables of `log`, inside the caller's transaction. Keys left out become null."""
    for name, records in rows.items():
        if records:
            con.register("incoming", pa.Table.from_pylist(records, schema=TABLES[name]))
            con.execute(f"INSERT INTO log.{name} BY NAME FROM incoming")
            con.unregister("incoming")


def record_event(lake: Lake, run_id: str, event: str, detail: dict[str, Any] | None = None) -> None:
    """Append what happened to a run: started, planned, finished, incomplete, interrupted, died."""
    lake.transaction(lambda con: add_event(con, run_id, event, detail))


def add_event(
    con: duckdb.DuckDBPyConnection, run_id: str, event: str, detail: dict[str, Any] | None = None
) -> datetime:
    """As `record_event`, inside the caller's transaction. Returns when it happened."""
    at = after(con, _LAST_OF_RUN, [run_id])
    row = {"run_id": run_id, "event": event, "detail": json.dumps(detail or {}), "happened_at": at}
    insert(con, {"run_events": [row]})
    return at


_LAST_OF_RUN = """
SELECT max(moment)
FROM (
    SELECT run_id, started_at AS moment FROM log.runs
    UNION ALL
    SELECT run_id, happened_at FROM log.run_events
)
WHERE run_id = ?
"""


def know_recipe(con: duckdb.DuckDBPyConnection, recipe: Recipe) -> None:
    """Write a recipe, unless it is there."""
    if not con.execute("FROM log.recipes WHERE recipe_id = ?", [recipe.recipe_id]).fetchone():
        first_used_at = after(con, "SELECT max(first_used_at) FROM log.recipes")
        insert(con, {"recipes": [recipe_row(recipe, first_used_at)]})


def recipe_row(recipe: Recipe, first_used_at: datetime) -> dict[str, Any]:
    return {
        "recipe_id": recipe.recipe_id,
        "tagger": recipe.tagger,
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
        "first_used_at": first_used_at,
    }


def batches_of_others(con: duckdb.DuckDBPyConnection, run_id: str) -> int:
    """How many batches other runs have committed."""
    row = con.execute("SELECT count(*) FROM log.batches WHERE run_id <> ?", [run_id]).fetchone()
    return int(row[0]) if row else 0


def _has_batch(con: duckdb.DuckDBPyConnection, run_id: str, batch_id: str) -> bool:
    found = con.execute("SELECT 1 FROM log.batches WHERE run_id = ? AND batch = ?", [run_id, batch_id]).fetchone()
    return found is not None


def _rows(taggings: Sequence[MediaTags]) -> Rows:
    rows: Rows = {name: [] for name in TABLES}
    for tagging in taggings:
        rows["taggings"].append(_tagging_row(tagging))
        media = tagging.object
        key = {"tagging_id": tagging.tagging_id, "media_id": media.media_id, "uri": media.uri}
        for index, shot in enumerate(tagging.shots or ()):
            times = {"start_s": shot.start_s, "end_s": shot.end_s, "representative_s": shot.representative_s}
            rows["shots"].append({**key, "shot_index": index, "score": shot.score, **times})
        for frame in tagging.frames:
            _add_frame(rows, key, frame)
        rows["subtitles"] += [{**key, **_told(subtitle)} for subtitle in tagging.subtitles]
    return rows


def _heir(tagging: MediaTags) -> dict[str, Any]:
    media = tagging.object
    told = {name: getattr(media, name) for name in ("media_id", "uri", "etag", "last_modified")}
    return {"tagging_id": tagging.tagging_id, "inherited_from": tagging.inherited_from, **told}


def _tagging_row(tagging: MediaTags) -> dict[str, Any]:
    media = tagging.object
    info = _told(tagging.info) if tagging.info else {}
    prompt_tokens, completion_tokens = _tokens_of(tagging)
    return {
        **{name: info.get(name) for name in _INFO_COLUMNS},
        "tagging_id": tagging.tagging_id,
        "media_id": media.media_id,
        "run_id": tagging.run_id,
        "batch": tagging.batch_id,
        "recipe_id": tagging.recipe_id,
        "uri": media.uri,
        "content_id": tagging.content_id,
        "etag": media.etag,
        "size_bytes": media.size_bytes,
        "last_modified": media.last_modified,
        "decoder": tagging.decoder,
        "status": tagging.status,
        "error_code": tagging.error_code,
        "error": tagging.error,
        "summary": tagging.summary,
        "frames": len(tagging.frames),
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "bytes_read": tagging.bytes_read,
        "decode_s": tagging.decode_s,
        "model_s": tagging.model_s,
        "tagged_at": tagging.tagged_at,
        "frame_budget": tagging.frame_budget,
    }


_INFO_COLUMNS = (
    *("kind", "container", "codec", "width", "height", "duration_s", "frame_rate"),
    *("container_start_s", "stream_start_s", "start_timecode"),
    *("rotation", "hdr", "audio_languages", "subtitle_languages"),
)


def _tokens_of(tagging: MediaTags) -> tuple[int, int]:
    """Prompt and completion tokens that all of it took."""
    tokens = [_tokens(frame) for frame in tagging.frames]
    prompt = sum((prompt for prompt, _ in tokens), tagging.further_prompt_tokens)
    return prompt, sum((completion for _, completion in tokens), tagging.further_completion_tokens)


def _tokens(frame: TaggedFrame) -> tuple[int, int]:
    """Prompt and completion tokens that were paid for this frame: none where it took an earlier frame's answer."""
    return (0, 0) if frame.reused_from_s is not None else (frame.tags.prompt_tokens, frame.tags.completion_tokens)


def _add_frame(rows: Rows, key: dict[str, str], frame: TaggedFrame) -> None:
    moment = {**key, "timestamp_s": frame.timestamp_s}
    reused = {"reused_from_s": frame.reused_from_s}
    prompt_tokens, completion_tokens = _tokens(frame)
    tags = frame.tags
    rows["timestamps"].append(
        {
            **moment,
            "timecode": timecode(frame.timestamp_s),
            "frame_index": frame.frame_index,
            "shot_index": frame.shot_index,
            "caption": tags.caption,
            "caption_source": tags.caption_source,
            **reused,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
        }
    )
    for kind in METADATA_KINDS:
        rows[kind] += [{**moment, **_told(label), **reused} for label in getattr(tags, kind) or ()]
    if frame.thumbnail:
        rows["thumbnails"].append({**moment, **_told(frame.thumbnail)})


def _told(item: Any) -> dict[str, Any]:
    """The fields of one of model.py's, by name. Not `asdict`: its deep copies took half of a commit."""
    return {name: getattr(item, name) for name in item.__slots__}
