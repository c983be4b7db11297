"""A listing held against the lake: what is new, changed, stale, a copy or gone, and what of it is to do.

The listing is one Parquet folder (schema LISTING) and the lake's history is its tables. What is listed and settled,
nearly all in an archive that is tagged every hour, is told apart by one anti-join; only the rest is judged one by one.
So memory stays bounded whatever the count.
"""

from __future__ import annotations

import re

import duckdb

from pipeline.errors import kept_codes, passing_codes
from pipeline.planning.wish import Wish


def compare(con: duckdb.DuckDBPyConnection, listing: str, wish: Wish) -> dict[str, int]:
    """Hold a listing (a Parquet glob) against the lake and keep the result in temporary tables.

    Fills `compared` (one row a listed media object that isn't settled: its state, whether it is to do, the partial
    tagging whose frames are taken over, and of a copy, whose answers it inherits) and `gone` (media that were there at
    an earlier listing and aren't now). Returns counts: listed = new + changed + unchanged; stale, retried and waiting
    are unchanged ones, the latter two of those that failed_before; duplicate are those of `media`, the ones to do, that
    are known to be copies.
    """
    folder, slash, names = listing.rpartition("/")
    literal = re.sub(r"([\[?*])", r"[\1]", folder) + slash + names  # a lake's own path is no pattern
    once = "DISTINCT ON (media_id) *" if wish.overlapping else "*"
    place = literal.replace("'", "''")
    columns = f"{once} REPLACE ({wish.kind} AS kind)"
    con.execute(f"CREATE OR REPLACE TEMP VIEW listed AS SELECT {columns} FROM read_parquet('{place}')")
    root, made_at = (wish.inventoried.root, wish.inventoried.made_at) if wish.inventoried else (None, None)
    old = {"root": root, "made_at": made_at, "listed_at": wish.listed_at}
    con.execute(_UNSETTLED, {"recipe": wish.recipe.recipe_id, **old})
    if times := [at for at in (made_at, wish.listed_at) if at]:
        con.execute(_OUTDATED, [min(times)])
    parameters = {
        "recipe": wish.recipe.recipe_id,
        "passing": passing_codes(),
        "kept": kept_codes(),
        "decoders": list(wish.decoders),
        "retag": wish.retag,
        "share": 1.0 if wish.sample is None else wish.sample,
        "retry": wish.retry_failed,
        "only": list(wish.only),
    }
    con.execute(_COMPARE, parameters)
    if wish.looked_at_by:
        con.execute(_LOOKED_AT, [wish.looked_at_by])
    put_aside = con.execute(_PUT_ASIDE, [list(wish.put_aside)]).fetchone() if wish.put_aside else (0,)
    claimed = con.execute(_CLAIMED, [list(wish.claims)]).fetchone() if wish.claims else (0,)
    if wish.limit is not None:
        con.execute(
            "UPDATE compared SET todo = false WHERE media_id NOT IN "
            "(SELECT media_id FROM compared WHERE todo ORDER BY unfinished, uri LIMIT ?)",
            [wish.limit],
        )
    con.execute(_COPIES, {"recipe": wish.recipe.recipe_id, "inherit": wish.inherit})
    con.execute(_GONE, {"scopes": wish.scopes if wish.whole else [], **old})
    counts = con.execute(_COUNT).fetchone() or ()
    left_to_others = {"claimed": claimed[0] if claimed else 0, "put_aside": put_aside[0] if put_aside else 0}
    return {**dict(zip(_COUNTS, counts, strict=True)), **left_to_others}


# What the views show of an object is of its latest version; where the listing has that very version, and it was wholly
# looked at under this recipe, there is nothing to be judged. Two hashes of 64 bits, as good as media_id itself, take a
# quarter of its memory beside an etag: with millions of them it is memory that takes the time.
_UNSETTLED = """
CREATE OR REPLACE TEMP TABLE unsettled AS
WITH settled AS (
    SELECT hash(media_id, etag) AS version, hash(etag || media_id) AS other
    FROM log.taggings
    ANTI JOIN log.hidden USING (tagging_id)
    WHERE status = 'ok' AND recipe_id = $recipe
        -- what a caller of the HTTP API showed it was never listed, and is to be sighted now
        AND run_id NOT IN (SELECT run_id FROM log.runs WHERE kind = 'serve')
)

SELECT
    listed.*,
    CASE WHEN starts_with(listed.uri, $root) THEN $made_at::TIMESTAMPTZ ELSE $listed_at::TIMESTAMPTZ END AS as_of
FROM listed
ANTI JOIN settled ON version = hash(listed.media_id, listed.etag) AND other = hash(listed.etag || listed.media_id)
WHERE kind IN ('image', 'video')
"""

# What an inventory, or the listing of a backfill, says of an object that the lake has seen otherwise since: it is left
# as the lake has it.
_OUTDATED = """
WITH since AS (
    SELECT media_id, etag, state, seen_at FROM log.sightings WHERE seen_at > $1
    UNION ALL
    -- that version was read then
    SELECT media_id, etag, 'read', tagged_at
    FROM log.taggings
    WHERE tagged_at > $1 AND status IN ('ok', 'partial') AND inherited_from IS NULL
),

known AS (
    SELECT since.* FROM since JOIN unsettled ON since.media_id = unsettled.media_id AND seen_at > as_of
),

latest AS (
    SELECT media_id, arg_max({'etag': etag, 'state': state}, seen_at) AS last FROM known GROUP BY media_id
)

DELETE FROM unsettled
USING latest
WHERE unsettled.media_id = latest.media_id AND (last.state = 'gone' OR last.etag <> unsettled.etag)
"""

# A listed object is looked at when no look of this very version is good enough: see DESIGN, §5.1 and §5.5.
_COMPARE = """
CREATE OR REPLACE TEMP TABLE compared AS
WITH looks AS (
    SELECT
        media_id,
        arg_max({'tagging_id': tagging_id, 'etag': etag, 'status': status, 'error_code': error_code, 'decoder': decoder,
                 'recipe_id': recipe_id, 'duration_s': duration_s}, (tagged_at, tagging_id)) AS last,
        -- versions that have a good look under this recipe, whatever came later
        list(DISTINCT etag) FILTER (status = 'ok' AND recipe_id = $recipe) AS settled,
        -- versions that this recipe has given up on
        list(DISTINCT etag) FILTER (
            status <> 'ok' AND recipe_id = $recipe AND error_code NOT IN (SELECT unnest($passing::VARCHAR[]))
        ) AS given_up
    FROM log.taggings
    SEMI JOIN unsettled USING (media_id)
    GROUP BY media_id
),

judged AS (
    SELECT
        unsettled.*,
        last,
        CASE WHEN last IS NULL THEN 'new' WHEN last.etag <> unsettled.etag THEN 'changed' ELSE 'unchanged' END AS state,
        coalesce(list_contains(settled, unsettled.etag), false) AS is_settled,
        coalesce(list_contains(given_up, unsettled.etag), false) AS is_given_up,
        last.error_code IN (SELECT unnest($passing::VARCHAR[])) AS is_passing,
        -- a decoder that looked then and isn't here now in that version makes another look worth while
        last.decoder IS NOT NULL
            AND NOT list_has_all($decoders::VARCHAR[], string_split(last.decoder, ', ')) AS is_redecodable
    FROM unsettled
    LEFT JOIN looks USING (media_id)
),

sorted_out AS (
    SELECT
        *,
        state = 'unchanged' AND NOT is_settled AND last.status = 'ok' AS stale,
        state = 'unchanged' AND NOT is_settled AND last.status <> 'ok' AS unfinished,
        CASE WHEN stale THEN 'stale' WHEN unfinished THEN 'failed' ELSE state END AS matter,
        -- the same ones each time, whatever else is listed
        hash(media_id) % 1000000 < $share * 1000000 AS is_sampled
    FROM judged
)

SELECT
    media_id, uri, etag, size_bytes, last_modified, kind, state, stale, unfinished,
    unfinished AND NOT is_passing AND NOT is_redecodable AND is_given_up AS waits,
    as_of,
    CASE WHEN state = 'unchanged' THEN last.duration_s END AS duration_s,
    CASE WHEN $only::VARCHAR[] = []
        THEN state <> 'unchanged'
            OR (stale AND $retag AND is_sampled)
            OR (unfinished AND (is_passing OR is_redecodable OR NOT is_given_up OR $retry))
        ELSE (list_contains($only, matter) OR list_contains($only, concat_ws(':', matter, last.error_code)))
            AND (NOT stale OR is_sampled)
        END AS todo,
    CASE WHEN unfinished AND last.status = 'partial' AND last.recipe_id = $recipe
            AND last.error_code IN (SELECT unnest($kept::VARCHAR[]))
        THEN last.tagging_id END AS take_over
FROM sorted_out
"""

_LOOKED_AT = """
UPDATE compared SET todo = false WHERE todo AND media_id IN (SELECT media_id FROM log.taggings WHERE run_id = ?)
"""

_PUT_ASIDE = """
UPDATE compared SET todo = false WHERE todo AND media_id IN (SELECT unnest(?::VARCHAR[]))
"""

# Of another version than the one that was claimed nobody else looks at.
_CLAIMED = """
UPDATE compared
SET todo = false
WHERE todo AND (media_id, etag) IN (SELECT (media_id, etag) FROM read_parquet(?))
"""

# S3's ETag of an object is the MD5 of its bytes, of one that was put in parts that of the parts' MD5s and their number
# (or, encrypted with a key of KMS, a number that no other object has). Where that says nothing, as of a copy that was
# put in other parts, only the bytes tell: where their size was tagged already, their hash is looked up once they are
# read.
_COPIES = """
CREATE OR REPLACE TEMP TABLE copies AS
WITH undone AS (
    SELECT *, starts_with(uri, 's3://') AND regexp_full_match(etag, '[0-9a-f]{32}(-[0-9]+)?') AS is_hashed
    FROM compared
    WHERE todo AND take_over IS NULL AND size_bytes > 0 AND $inherit
),

good AS (
    SELECT tagging_id, uri, etag, size_bytes, content_id, tagged_at
    FROM log.taggings
    WHERE status = 'ok' AND recipe_id = $recipe AND size_bytes IN (SELECT size_bytes FROM undone)
),

tagged AS (
    SELECT etag, size_bytes, arg_max(tagging_id, tagged_at) AS tagging_id
    FROM good
    WHERE starts_with(uri, 's3://')
    GROUP BY etag, size_bytes
),

contents AS (
    SELECT size_bytes, content_id, arg_max(tagging_id, tagged_at) AS tagging_id
    FROM good
    WHERE content_id IS NOT NULL
    GROUP BY size_bytes, content_id
),

alike AS (
    SELECT size_bytes, map(list(content_id), list(tagging_id)) AS by_content FROM contents GROUP BY size_bytes
),

originals AS (
    SELECT etag, size_bytes, min({'uri': uri, 'media_id': media_id, 'last_modified': last_modified}) AS first
    FROM undone
    WHERE is_hashed
    GROUP BY ALL
)

SELECT
    undone.media_id,
    CASE WHEN is_hashed THEN tagged.tagging_id END AS inherits,
    CASE WHEN is_hashed AND tagged.tagging_id IS NULL AND first.media_id <> undone.media_id THEN first END AS copy_of,
    CASE WHEN inherits IS NULL AND copy_of IS NULL THEN alike.by_content END AS alike
FROM undone
LEFT JOIN tagged USING (etag, size_bytes)
LEFT JOIN originals USING (etag, size_bytes)
LEFT JOIN alike ON alike.size_bytes = undone.size_bytes
"""

_GONE = """
CREATE OR REPLACE TEMP TABLE gone AS
WITH unlisted AS (
    SELECT media_id, arg_max({'uri': uri, 'etag': etag, 'state': state, 'seen_at': seen_at}, seen_at) AS last
    FROM log.sightings
    ANTI JOIN (SELECT hash(media_id) AS object, hash(reverse(media_id)) AS other FROM listed) AS known
        ON object = hash(sightings.media_id) AND other = hash(reverse(sightings.media_id))
    GROUP BY media_id
)

SELECT
    media_id, last.uri AS uri, last.etag AS etag,
    CASE WHEN starts_with(last.uri, $root) THEN $made_at::TIMESTAMPTZ ELSE $listed_at::TIMESTAMPTZ END AS as_of
FROM unlisted
WHERE last.state <> 'gone'
    -- a listing says nothing of what came after it
    AND NOT coalesce(last.seen_at > as_of, false)
    AND EXISTS (
        FROM (SELECT unnest($scopes::STRUCT(prefix VARCHAR, media_id VARCHAR)[]) AS scope)
        WHERE starts_with(last.uri, scope.prefix) OR unlisted.media_id = scope.media_id
    )
"""

_COUNTS = (
    "listed",
    "new",
    "changed",
    "unchanged",
    "stale",
    "retried",
    "waiting",
    "failed_before",
    "media",
    "duplicate",
    "gone",
    "unknown",
    "excluded",
)
_COUNT = """
WITH kinds AS (
    SELECT
        count(*) FILTER (kind IN ('image', 'video')) AS media,
        count(*) FILTER (kind = 'unknown') AS unknown,
        count(*) FILTER (kind = 'excluded') AS excluded
    FROM listed
)

SELECT
    any_value(kinds.media),
    count(*) FILTER (state = 'new'),
    count(*) FILTER (state = 'changed'),
    any_value(kinds.media) - count(*) FILTER (state IN ('new', 'changed')),
    count(*) FILTER (stale),
    count(*) FILTER (unfinished AND todo),
    count(*) FILTER (waits AND NOT todo),
    count(*) FILTER (unfinished),
    count(*) FILTER (todo),
    (SELECT count(*) FROM copies WHERE inherits IS NOT NULL OR copy_of IS NOT NULL),
    (SELECT count(*) FROM gone),
    any_value(kinds.unknown),
    any_value(kinds.excluded)
FROM kinds
LEFT JOIN compared ON true
"""
