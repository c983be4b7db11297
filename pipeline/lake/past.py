"""What this lake's own runs say about the next one: tokens, speed, frames and shots."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.lake.upgrade import columns

_RECENT = 1000
"""Looks, newest first, that are asked."""


@dataclass(frozen=True, slots=True)
class Past:
    """None, where nothing has told yet. Of one frame: tokens, and bytes of its thumbnail. shot_s: a shot's mean length.

    video_frames, video_s: of each of the latest videos under the very recipe.
    """

    frames_per_s: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    thumbnail_bytes: float | None = None
    shot_s: float | None = None
    video_frames: tuple[int, ...] = ()
    video_s: tuple[float, ...] = ()


def past(con: duckdb.DuckDBPyConnection, tagger: str, model: str | None, recipe_id: str) -> Past:
    """Of all recipes of this tagger and model; films and their frames of this one recipe."""
    tables = columns(con)
    if "inherited" not in tables.get("batches", ()):  # an older lake that is only read
        return Past()
    con.execute(_LOOKS, {"tagger": tagger, "model": model})
    tokens = con.execute(_TOKENS).fetchone() or (None, None)
    speed = con.execute(_SPEED).fetchone() or (None,)
    picture = con.execute(f"SELECT avg(octet_length(image)) FROM (FROM log.thumbnails LIMIT {_RECENT})").fetchone()
    shot = con.execute(f"SELECT avg(end_s - start_s) FROM (FROM log.shots LIMIT {_RECENT})").fetchone()
    films = con.execute(_FILMS, [recipe_id]).fetchall()
    return Past(
        frames_per_s=speed[0],
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        thumbnail_bytes=picture[0] if picture else None,
        shot_s=shot[0] if shot else None,
        video_frames=tuple(frames for frames, _ in films),
        video_s=tuple(seconds for _, seconds in films),
    )


_LOOKS = f"""
CREATE OR REPLACE TEMP TABLE past_looks AS
SELECT
    run_id, recipe_id, kind, frames, duration_s, prompt_tokens, completion_tokens,
    -- a partial look before it answered some of its frames, which took nothing now
    coalesce(tagged_at > partial_at, false) AS takes_over
FROM log.taggings
LEFT JOIN (
    SELECT media_id, recipe_id, min(tagged_at) AS partial_at FROM log.taggings WHERE status = 'partial' GROUP BY ALL
) USING (media_id, recipe_id)
WHERE frames > 0 AND inherited_from IS NULL AND recipe_id IN (
    SELECT recipe_id FROM log.recipes WHERE tagger = $tagger AND (recipe ->> 'model') IS NOT DISTINCT FROM $model
)
ORDER BY tagged_at DESC
LIMIT {_RECENT}
"""
_TOKENS = """
SELECT sum(prompt_tokens) / sum(frames), sum(completion_tokens) / sum(frames) FROM past_looks WHERE NOT takes_over
"""
# what a run of a few frames says of speed is how long it takes to start
_SPEED = """
SELECT sum(frames) / sum(seconds)
FROM log.batches
WHERE frames >= 20 AND seconds > 0 AND run_id IN (SELECT run_id FROM past_looks)
"""
_FILMS = "SELECT frames, duration_s FROM past_looks WHERE kind = 'video' AND recipe_id = ? AND duration_s IS NOT NULL"
