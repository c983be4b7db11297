"""Read taggings back: the answered frames of a partial one, so that only the missing are asked for."""

from __future__ import annotations

from typing import Any, Literal

from pipeline.lake.catalog import Lake
from pipeline.model import FrameTags, Label, Participant, TaggedFrame, Thumbnail

LABEL_KINDS: tuple[Literal["categories", "actions", "tags", "scene"], ...] = ("categories", "actions", "tags", "scene")


def answered_frames(lake: Lake, tagging_id: str) -> tuple[TaggedFrame, ...]:
    """The frames of one tagging as they went in, except that a kind without labels comes back empty."""
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
    columns = "timestamp_s, frame_index, shot_index, caption, caption_source, reused_from_s"
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
        for moment, index, shot, caption, source, reused in _rows(lake, "timestamps", columns, tagging_id)
    )


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
