"""Two recipes held against each other, where both looked at the same moments of the same media."""

from __future__ import annotations

from typing import Any

import duckdb

from pipeline.comparison import Comparison, Example

MOST_LABELS, MOST_EXAMPLES = 20, 24


def compare(con: duckdb.DuckDBPyConnection, first: str, second: str) -> Comparison:
    """Hold the latest good looks under two recipes against each other, by recipe_id."""
    con.execute(_MOMENTS, {"first": first, "second": second})
    con.execute(_LABELS)
    left_out = [kind for (kind,) in con.execute(_LEFT_OUT, [first, second]).fetchall()]
    con.execute("DELETE FROM compared_labels WHERE kind IN (SELECT unnest(?::VARCHAR[]))", [left_out])
    media, moments = con.execute("SELECT count(DISTINCT media_id), count(*) FROM compared_moments").fetchone() or (0, 0)
    return Comparison(
        media,
        moments,
        _dicts(con, _KINDS),
        _dicts(con, _MOST.format(only="second")),
        _dicts(con, _MOST.format(only="first")),
        [Example(*row) for row in con.execute(_EXAMPLES).fetchall()],
        left_out,
    )


_MOMENTS = """
CREATE OR REPLACE TEMP TABLE compared_moments AS
WITH looks AS (
    SELECT media_id, etag, recipe_id, any_value(uri) AS uri, arg_max(tagging_id, (tagged_at, tagging_id)) AS tagging_id
    FROM log.taggings
    WHERE recipe_id IN ($first, $second) AND status IN ('ok', 'partial')
    GROUP BY media_id, etag, recipe_id
)

SELECT one.media_id, one.uri, a.timestamp_s, a.timecode, one.tagging_id AS first_id, two.tagging_id AS second_id
FROM looks AS one
JOIN looks AS two USING (media_id, etag)
JOIN log.timestamps AS a ON a.tagging_id = one.tagging_id
JOIN log.timestamps AS b ON b.tagging_id = two.tagging_id AND b.timestamp_s = a.timestamp_s
WHERE one.recipe_id = $first AND two.recipe_id = $second
"""

_OF_KIND = """
SELECT
    '{kind}' AS kind, media_id, uri, timestamp_s, timecode, label,
    bool_or(is_first) AS first,
    bool_or(NOT is_first) AS second,
    any_value(first_id) AS first_id,
    any_value(second_id) AS second_id
FROM (
    SELECT compared_moments.*, label, true AS is_first
    FROM compared_moments JOIN log.{kind} AS labels
        ON labels.tagging_id = first_id AND labels.timestamp_s = compared_moments.timestamp_s
    UNION ALL
    SELECT compared_moments.*, label, false AS is_first
    FROM compared_moments JOIN log.{kind} AS labels
        ON labels.tagging_id = second_id AND labels.timestamp_s = compared_moments.timestamp_s
)
GROUP BY media_id, uri, timestamp_s, timecode, label
"""
KINDS = ("categories", "participants", "actions", "scene", "tags", "rating")
_LABELS = "CREATE OR REPLACE TEMP TABLE compared_labels AS " + " UNION ALL ".join(
    _OF_KIND.format(kind=kind) for kind in KINDS
)

# Of what a recipe wasn't asked for it said nothing: that it gave no label is no answer.
_LEFT_OUT = """
WITH asked AS (
    SELECT DISTINCT recipe_id, unnest((recipe -> 'metadata')::VARCHAR[]) AS kind
    FROM log.recipes
    WHERE recipe_id IN ($1, $2)
)

SELECT kind FROM asked WHERE $1 <> $2 GROUP BY kind HAVING count(*) = 1 ORDER BY kind
"""

_KINDS = """
SELECT
    kind,
    count(*) FILTER (first AND second) AS "both",
    count(*) FILTER (first AND NOT second) AS only_first,
    count(*) FILTER (second AND NOT first) AS only_second,
    round("both" / count(*), 4) AS agreement
FROM compared_labels
GROUP BY kind
ORDER BY kind
"""

_MOST = f"""
SELECT kind, label, count(*) AS moments
FROM compared_labels
WHERE {{only}} AND NOT (first AND second)
GROUP BY kind, label
ORDER BY moments DESC, kind, label
LIMIT {MOST_LABELS}
"""

# The labels that changed most often, each where it is seen first, are what people want to see.
_EXAMPLES = f"""
WITH changed AS (
    SELECT *, count(*) OVER (PARTITION BY kind, label, second) AS times,
        row_number() OVER (PARTITION BY kind, label, second ORDER BY uri, timestamp_s) AS place
    FROM compared_labels
    WHERE NOT (first AND second)
)

SELECT changed.uri, timecode, kind, label, second AS gained, any_value(image) AS image
FROM changed
LEFT JOIN log.thumbnails
    ON thumbnails.tagging_id IN (first_id, second_id) AND thumbnails.timestamp_s = changed.timestamp_s
WHERE place = 1
GROUP BY changed.uri, timecode, kind, label, second, times
ORDER BY times DESC, kind, label
LIMIT {MOST_EXAMPLES}
"""


def _dicts(con: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = con.execute(query)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
