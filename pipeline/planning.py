"""What is to be done: a listing held against the lake, and batches sized by cost.

The listing is one Parquet folder (schema LISTING), the lake's history is its tables, and the comparison is one
query over both, so memory stays bounded whatever the count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from operator import itemgetter

import duckdb
import pyarrow as pa

from pipeline.errors import kept_codes, passing_codes
from pipeline.model import Batch, MediaObject
from pipeline.recipe import Recipe
from pipeline.uris import media_id

LISTING = pa.schema(
    [
        ("media_id", pa.string()),
        ("uri", pa.string()),
        ("etag", pa.string()),
        ("size_bytes", pa.int64()),
        ("last_modified", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),  # image, video; unknown: not media by its name; excluded: by a pattern
    ]
)

_IMAGES = "jpg jpeg jpe jfif png gif webp tif tiff bmp heic heif avif"
_VIDEOS = "mp4 m4v mov qt mkv webm avi mpg mpeg mpe m2v vob ts m2ts mts mxf wmv asf rm rmvb flv f4v 3gp 3g2 ogv dv y4m"
IMAGE_SUFFIXES = frozenset(f".{ending}" for ending in _IMAGES.split(" "))
VIDEO_SUFFIXES = frozenset(f".{ending}" for ending in _VIDEOS.split(" "))

MAX_BATCHES = 1000
"""Airflow maps a task at most core.max_map_length (1,024) times; larger plans get larger batches."""

LOADING = 0.05
"""The share of a batch's time that loading the tagger may take."""

MAX_WORTH = 50_000
"""Frames: however long loading took (it may have waited for a GPU, or for a download), a batch is a task's work."""

_UNLIMITED_FRAMES = 600
"""What a video counts for in a batch where --max-frames is all."""


def kind_of(media: MediaObject, include: Sequence[str], exclude: Sequence[str], *, named: bool = False) -> str:
    """image, video, unknown or excluded, by the object's name. Patterns match the whole URI, `*` also slashes.

    named: the object is a source itself, so it is looked at whatever its ending.
    """
    if (include and not _matches(media.uri, include)) or _matches(media.uri, exclude):
        return "excluded"
    if media.suffix in IMAGE_SUFFIXES:
        return "image"
    return "video" if media.suffix in VIDEO_SUFFIXES or named else "unknown"


def _matches(uri: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(uri, pattern) or fnmatchcase(uri, f"*/{pattern}") for pattern in patterns)


@dataclass(frozen=True)
class Wish:
    """What this run is asked to do beyond new and changed objects. decoders: 'name version' of each installed. exact:
    whether a source that doesn't end in / is one object."""

    recipe: Recipe
    sources: tuple[str, ...]
    decoders: tuple[str, ...]
    retag: bool = False
    retry_failed: bool = False
    limit: int | None = None
    exact: bool = False


def compare(con: duckdb.DuckDBPyConnection, listing: str, wish: Wish) -> dict[str, int]:
    """Hold a listing (a Parquet glob) against the lake and keep the result in temporary tables.

    Fills `compared` (one row a listed media object, with its state, whether it is to do, and the partial tagging
    whose frames are taken over) and `gone` (media that were there at an earlier listing and aren't now).
    Returns counts: listed = new + changed + unchanged; stale, retried and waiting are unchanged ones.
    """
    folder, slash, names = listing.rpartition("/")
    listing = re.sub(r"([\[?*])", r"[\1]", folder) + slash + names  # a lake's own path is no pattern
    parameters = {
        "listing": listing,
        "recipe": wish.recipe.recipe_id,
        "passing": passing_codes(),
        "kept": kept_codes(),
        "decoders": list(wish.decoders),
        "retag": wish.retag,
        "retry": wish.retry_failed,
    }
    con.execute(_COMPARE, parameters)
    con.execute(_GONE, {"listing": listing, "scopes": [_scope(source, wish.exact) for source in wish.sources]})
    if wish.limit is not None:
        con.execute(
            "UPDATE compared SET todo = false WHERE media_id NOT IN "
            "(SELECT media_id FROM compared WHERE todo ORDER BY unfinished, uri LIMIT ?)",
            [wish.limit],
        )
    counts = con.execute(_COUNT, {"listing": listing}).fetchone() or ()
    return dict(zip(_COUNTS, counts, strict=True))


# A listed object is looked at when no look of this very version is good enough: see DESIGN, §5.1 and §5.5.
_COMPARE = """
CREATE OR REPLACE TEMP TABLE compared AS
WITH listed AS (
    SELECT DISTINCT ON (media_id) * FROM read_parquet($listing) WHERE kind IN ('image', 'video')
),

looks AS (
    SELECT
        media_id,
        arg_max({'tagging_id': tagging_id, 'etag': etag, 'status': status, 'error_code': error_code,
                 'recipe_id': recipe_id, 'decoder': decoder}, (tagged_at, tagging_id)) AS last,
        -- versions that have a good look under this recipe, whatever came later
        list(DISTINCT etag) FILTER (status = 'ok' AND recipe_id = $recipe) AS settled,
        -- versions that this recipe has given up on
        list(DISTINCT etag) FILTER (
            status <> 'ok' AND recipe_id = $recipe AND error_code NOT IN (SELECT unnest($passing::VARCHAR[]))
        ) AS given_up
    FROM log.taggings
    GROUP BY media_id
),

judged AS (
    SELECT
        listed.*,
        last,
        CASE WHEN last IS NULL THEN 'new' WHEN last.etag <> listed.etag THEN 'changed' ELSE 'unchanged' END AS state,
        coalesce(list_contains(settled, listed.etag), false) AS is_settled,
        coalesce(list_contains(given_up, listed.etag), false) AS is_given_up,
        last.error_code IN (SELECT unnest($passing::VARCHAR[])) AS is_passing,
        -- a decoder that looked then and isn't here now in that version makes another look worth while
        last.decoder IS NOT NULL
            AND NOT list_has_all($decoders::VARCHAR[], string_split(last.decoder, ', ')) AS is_redecodable
    FROM listed
    LEFT JOIN looks USING (media_id)
),

sorted_out AS (
    SELECT
        *,
        state = 'unchanged' AND NOT is_settled AND last.status = 'ok' AS stale,
        state = 'unchanged' AND NOT is_settled AND last.status <> 'ok' AS unfinished
    FROM judged
)

SELECT
    media_id, uri, etag, size_bytes, last_modified, kind, state, stale, unfinished,
    state <> 'unchanged'
        OR (stale AND $retag)
        OR (unfinished AND (is_passing OR is_redecodable OR NOT is_given_up OR $retry)) AS todo,
    CASE WHEN unfinished AND last.status = 'partial' AND last.recipe_id = $recipe
            AND last.error_code IN (SELECT unnest($kept::VARCHAR[]))
        THEN last.tagging_id END AS take_over
FROM sorted_out
"""

_GONE = """
CREATE OR REPLACE TEMP TABLE gone AS
WITH latest AS (
    SELECT media_id, arg_max({'uri': uri, 'etag': etag, 'state': state}, seen_at) AS last
    FROM log.sightings
    GROUP BY media_id
)

SELECT media_id, last.uri AS uri, last.etag AS etag
FROM latest
WHERE last.state <> 'gone'
    AND EXISTS (
        FROM (SELECT unnest($scopes::STRUCT(prefix VARCHAR, media_id VARCHAR)[]) AS scope)
        WHERE starts_with(last.uri, scope.prefix) OR latest.media_id = scope.media_id
    )
    AND media_id NOT IN (SELECT media_id FROM read_parquet($listing))
"""

_COUNTS = (
    "listed",
    "new",
    "changed",
    "unchanged",
    "stale",
    "retried",
    "waiting",
    "media",
    "gone",
    "unknown",
    "excluded",
)
_COUNT = """
SELECT
    count(*),
    count(*) FILTER (state = 'new'),
    count(*) FILTER (state = 'changed'),
    count(*) FILTER (state = 'unchanged'),
    count(*) FILTER (stale),
    count(*) FILTER (unfinished AND todo),
    count(*) FILTER (unfinished AND NOT todo),
    count(*) FILTER (todo),
    (SELECT count(*) FROM gone),
    (SELECT count(DISTINCT media_id) FROM read_parquet($listing) WHERE kind = 'unknown'),
    (SELECT count(DISTINCT media_id) FROM read_parquet($listing) WHERE kind = 'excluded')
FROM compared
"""


def _scope(source: str, exact: bool) -> dict[str, str | None]:
    """How far a source reaches: an S3 prefix and a folder cover what begins with them, the rest only itself."""
    if re.fullmatch(r"s3://[^/]+", source):
        source += "/"  # not the buckets that begin with its name
    is_one = not source.endswith("/") and (exact or not source.startswith("s3://"))
    return {"prefix": None, "media_id": media_id(source)} if is_one else {"prefix": source, "media_id": None}


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
) -> Iterator[Batch]:
    """Stream what `compared` says is to do, in batches of about `batch_frames` frames and whole media objects.

    Files behind one another in the archive share a batch. video_frames: the most frames a video can give, which is
    what it counts for; None: no limit. max_batches: larger plans get larger batches. first: number of the first
    batch's id. others: as model.Batch has it.
    """
    cost = f"CASE kind WHEN 'video' THEN {video_frames or _UNLIMITED_FRAMES} ELSE 1 END"
    total = con.execute(f"SELECT coalesce(sum({cost}), 0) FROM compared WHERE todo").fetchone()
    size = max(batch_frames, -(-int(total[0]) // min(max_batches, MAX_BATCHES)) if total else 0)
    rows = con.execute(
        f"SELECT (sum({cost}) OVER (ORDER BY uri, media_id) - {cost})::BIGINT // {size} AS batch, "
        "uri, etag, size_bytes, last_modified, media_id, take_over, state FROM compared WHERE todo ORDER BY batch, uri"
    )
    for number, (_, group) in enumerate(groupby(iter(rows.fetchone, None), key=itemgetter(0)), start=first):
        members = list(group)
        yield Batch(
            f"{number:06}",
            run_id,
            tuple(MediaObject(*row[1:6]) for row in members),
            unfinished={row[5]: row[6] for row in members if row[6]},
            looked_at=tuple(row[5] for row in members if row[7] != "new"),
            others=others,
        )
