"""Read taggings back: the answered frames of a partial one, so that only the missing are asked for, and their cost."""

from __future__ import annotations

from typing import Any

import duckdb

from pipeline.lake.catalog import Lake
from pipeline.lake.upgrade import columns
from pipeline.model import FrameTags, Label, Participant, TaggedFrame, Thumbnail
from pipeline.recipe import METADATA_KINDS

LABEL_KINDS = tuple(kind for kind in METADATA_KINDS if kind != "participants")
"""The kinds that are plain labels with a score."""


def answered_frames(lake: Lake, tagging_id: str) -> tuple[TaggedFrame, ...]:
    """The frames of one tagging as they went in, except that a kind without labels comes back empty.

    Their tokens aren't brought back: the earlier tagging paid for them, and its row says so.
    """
    labels: dict[str, dict[float, list[Any]]] = {
        kind: _by_time(
            (moment, Label(label, score))
            for moment, label, score in _rows(lake, kind, "timestamp_s, label, score", tagging_id)
        )
        for kind in LABEL_KINDS
    }
    labels["participants"] = _by_time(
        (moment, Participant(label, kind, count, score))
        for moment, label, kind, count, score in _rows(
            lake, "participants", "timestamp_s, label, kind, count, score", tagging_id
        )
    )
    pictures = {
        moment: Thumbnail(bytes(image), width, height)
        for moment, image, width, height in _rows(lake, "thumbnails", "timestamp_s, image, width, height", tagging_id)
    }
    of_frame = "timestamp_s, frame_index, shot_index, caption, caption_source, reused_from_s"
    return tuple(
        TaggedFrame(
            timestamp_s=moment,
            frame_index=index,
            shot_index=shot,
            thumbnail=pictures.get(moment),
            reused_from_s=reused,
            tags=FrameTags(
                caption=caption,
                caption_source=source,
                **_of(labels, moment),
            ),
        )
        for moment, index, shot, caption, source, reused in _rows(lake, "timestamps", of_frame, tagging_id)
    )


def load_cost(lake: Lake, tagger: str, model: str | None) -> tuple[float, float] | None:
    """What the latest batch that had to load this tagger and model took: (seconds to load, seconds a frame).

    None where no batch has told: nothing was tagged with it, it was loaded already, or the lake is older than this.
    """
    latest = """
        SELECT load_s, model_s / frames
        FROM log.batches
        WHERE load_s IS NOT NULL AND frames > 0 AND run_id IN (
            SELECT run_id
            FROM log.runs
            JOIN log.recipes USING (recipe_id)
            WHERE tagger = ? AND (recipe ->> 'model') IS NOT DISTINCT FROM ?
        )
        ORDER BY committed_at DESC
        LIMIT 1
    """

    def work(con: duckdb.DuckDBPyConnection) -> tuple[float, float] | None:
        if "load_s" not in columns(con)["batches"]:  # an older lake that is only read
            return None
        return con.execute(latest, [tagger, model]).fetchone()

    return lake.transaction(work)


def _rows(lake: Lake, table: str, columns: str, tagging_id: str) -> list[tuple[Any, ...]]:
    select = f"SELECT {columns} FROM log.{table} WHERE tagging_id = ? ORDER BY timestamp_s"
    return lake.transaction(lambda con: con.execute(select, [tagging_id]).fetchall())


def _by_time(pairs: Any) -> dict[float, list[Any]]:
    found: dict[float, list[Any]] = {}
    for moment, item in pairs:
        found.setdefault(moment, []).append(item)
    return found


def _of(labels: dict[str, dict[float, list[Any]]], moment: float) -> dict[str, Any]:
    return {kind: tuple(found.get(moment, ())) for kind, found in labels.items()}
