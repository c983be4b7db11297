"""Batches sized by cost: what is to do, cut into what one task looks at and one transaction commits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter

import duckdb

from pipeline.batch import Batch
from pipeline.model import MediaObject

MAX_BATCHES = 1000
"""Airflow maps a task at most core.max_map_length (1,024) times; larger plans get larger batches."""

LOADING = 0.05
"""The share of a batch's time that loading the tagger may take."""

MAX_WORTH = 50_000
"""Frames: however long loading took (it may have waited for a GPU, or for a download), a batch is a task's work."""

_UNLIMITED_FRAMES = 600
"""What a video counts for in a batch where --max-frames is all."""


def worth_loading(batch_frames: int, load_s: float, frame_s: float) -> int:
    """How many frames a batch needs so that loading the tagger is at most LOADING of the batch's time.

    >>> worth_loading(600, load_s=60, frame_s=0.5)
    2280
    """
    worth = math.ceil(load_s * (1 / LOADING - 1) / frame_s) if frame_s > 0 else 0
    return max(batch_frames, min(worth, MAX_WORTH))


def batches(
    con: duckdb.DuckDBPyConnection,
    run_id: str,
    batch_frames: int,
    max_batches: int = MAX_BATCHES,
    *,
    video_frames: int | None,
    first: int = 0,
    others: int = 0,
    order: str = "path",
    piece: bool = False,
    video_s: float = 0.0,
) -> Iterator[Batch]:
    """Stream what `compared` says is to do, in batches of about `batch_frames` frames and whole media objects.

    Files behind one another in the archive share a batch. video_frames: the most frames a video can give, which is
    what it counts for; None: no limit. max_batches: larger plans get larger batches. first: number of the first
    batch's id. others: as batch.Batch has it. order: the setting. piece: larger plans end there instead, and what
    they leave is for the next piece. video_s: what a video whose length nobody knows is expected to last.
    """
    cost = _COST.format(of_video=video_frames or _UNLIMITED_FRAMES)
    most = min(max_batches, MAX_BATCHES)
    total = con.execute(f"SELECT coalesce(sum({cost}), 0) FROM ({LEFT})").fetchone()
    size = batch_frames if piece or not total else max(batch_frames, -(-int(total[0]) // most))
    line = f"{ORDERS[order]} place, copy_of IS NOT NULL, uri, media_id"
    first_ones = f"ORDER BY {line} LIMIT {size * most}" if piece else ""  # each but a copy is a frame at least
    rows = con.execute(_BATCHED.format(cost=cost, size=size, left=LEFT, line=line, first_ones=first_ones))
    groups = groupby(iter(rows.fetchone, None), key=itemgetter(0))
    for number, (_, group) in enumerate(islice(groups, most) if piece else groups, start=first):
        members = list(group)
        yield Batch(
            f"{number:06}",
            run_id,
            tuple(MediaObject(*row[1:6]) for row in members if not row[8]),
            unfinished={row[5]: row[6] for row in members if row[6]},
            looked_at=tuple(row[5] for row in members if row[7] != "new"),
            others=others,
            copies=tuple((MediaObject(*row[1:6]), row[8]["media_id"]) for row in members if row[8]),
            alike={row[5]: row[9] for row in members if row[9]},
            video_s=sum(row[10] or video_s for row in members if row[11] == "video"),
        )


LEFT = "FROM compared LEFT JOIN copies USING (media_id) WHERE todo AND inherits IS NULL"
"""What has to be read: not what inherits from the lake."""

ORDERS = {"path": "", "oldest": "age,", "newest": "age DESC,"}
"""What comes before the path, by the setting `order`."""

_COST = "CASE WHEN copy_of IS NOT NULL THEN 0 WHEN kind = 'video' THEN {of_video} ELSE 1 END"

# A copy is in the batch of its original, behind it.
_BATCHED = """
WITH placed AS (
    SELECT *, coalesce(copy_of.uri, uri) AS place, coalesce(copy_of.last_modified, last_modified) AS age
    {left}
    {first_ones}
),

numbered AS (
    SELECT *, (sum({cost}) OVER (ORDER BY {line}) - {cost})::BIGINT // {size} AS number
    FROM placed
)

SELECT
    min(number) OVER (PARTITION BY place) AS batch,
    uri, etag, size_bytes, last_modified, media_id, take_over, state, copy_of, alike, duration_s, kind
FROM numbered
ORDER BY batch, {line}
"""
