"""A lake of a size that no test could tag, made by DuckDB itself, and what its views show as bare Parquet.

In the lake a twentieth of the media were looked at twice, a hundredth failed, a tenth were seen under an older recipe
alone; URIs come in their order, as a backfill lists them.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from pipeline.lake import hidden
from pipeline.lake.catalog import Lake
from tests.benchmark.lake_films import FRAMES
from tests.benchmark.table import say

MEDIA = 1_000_000
"""At scale 1."""

AT_ONCE = 100_000
FOLDERS = AT_ONCE // 1000

VIEWS = {
    "media": "uri",
    "failures": "uri",
    **dict.fromkeys(("timestamps", "tags", "categories", "participants", "rating"), "uri, timestamp_s"),
    "subtitles": "uri, start_s",
}
"""What the cookbook reads, and by what somebody who knows Parquet would sort it."""

_LOOKS = """
CREATE OR REPLACE TEMP TABLE looks AS
SELECT
    i, again, md5('t' || i || '-' || again) AS tagging_id, md5('m' || i) AS media_id, i % 100 = 7 AS failed,
    format('s3://archive/2026/{{:04}}/{{:08}}.mp4', i // 1000, i) AS uri
FROM range({first}, {end}) AS r(i), range(2) AS g(again)
WHERE again = 1 OR i % 20 = 0
"""

_LABEL = """
SELECT tagging_id, media_id, s + 0.5 AS timestamp_s, {label} AS label, hash(i, s, k, {seed}) % 1000 / 1000 AS score, uri
FROM looks, range({frames}) AS q(s), range({each}) AS w(k)
WHERE NOT failed
ORDER BY i, again, s, k
"""

_SKEWED = "floor({among} * pow(hash(i, s, k, {seed}) % 1000000 / 1000000, 3))::INT"
"""As labels are: few are frequent, most are rare."""


def _label(label: str, seed: int, each: int = 1, among: int = 0) -> str:
    skewed = _SKEWED.format(among=among, seed=seed)
    return _LABEL.format(label=label.format(skewed), seed=seed + 100, each=each, frames=FRAMES)


_ROWS = {
    "taggings": """
        SELECT
            tagging_id, media_id, 'run-' || again AS run_id, format('{:06}', i // 500) AS batch,
            'recipe-' || CASE WHEN i % 10 = 1 THEN 0 ELSE again END AS recipe_id, uri, md5('c' || i) AS content_id,
            md5('e' || i) AS etag, 1000000 + hash(i) % 9000000 AS size_bytes, 'video' AS kind, 'h264' AS codec,
            TIMESTAMPTZ '2026-01-01' + INTERVAL (i) SECOND AS last_modified,
            ['mp4', 'mov', 'mkv'][(1 + hash(i, 1) % 3)::INT] AS container, 1920 AS width, 1080 AS height,
            20 + hash(i, 2) % 1000 / 100 AS duration_s, 25.0 AS frame_rate, 'pyav' AS decoder,
            CASE WHEN failed THEN 'failed' ELSE 'ok' END AS status,
            CASE WHEN failed THEN 'unreadable' END AS error_code, CASE WHEN failed THEN 'not a film' END AS error,
            CASE WHEN failed THEN 0 ELSE 20 END AS frames, 10000 AS prompt_tokens, 1000 AS completion_tokens,
            5000000 AS bytes_read, 0.5 AS decode_s, 2.5 AS model_s,
            TIMESTAMPTZ '2026-02-01' + INTERVAL (i) SECOND + INTERVAL (again * 100) DAY AS tagged_at
        FROM looks
        ORDER BY i, again
    """,
    "timestamps": f"""
        SELECT
            tagging_id, media_id, s + 0.5 AS timestamp_s, format('00:00:{{:02}}.500', s) AS timecode,
            s * 25 + 12 AS frame_index, 'vlm' AS caption_source, 500 AS prompt_tokens, 50 AS completion_tokens, uri,
            format('A street with label{{}} and label{{}}.', hash(i, s) % 1000, hash(i, s, 1) % 1000) AS caption
        FROM looks, range({FRAMES}) AS q(s)
        WHERE NOT failed
        ORDER BY i, again, s
    """,
    "tags": _label("'label' || {}", 1, each=2, among=1000),
    "categories": _label("'category' || {}", 2, among=40),
    "rating": _label("CASE WHEN hash(i, s, 3) % 500 = 0 THEN 'violent' ELSE 'safe' END", 3),
    "participants": f"""
        SELECT *, 'object' AS kind, 1 + hash(tagging_id, timestamp_s) % 5 AS count
        FROM ({_label("['person', 'bicycle', 'dog', 'car', 'cat', 'bus', 'horse', 'chair'][1 + {}]", 4, among=8)})
    """,
    "subtitles": """
        SELECT
            tagging_id, media_id, 4.0 * k AS start_s, 4.0 * k + 3 AS end_s, 'words ' || hash(i, k) % 10000 AS text,
            'eng' AS language, 0 AS track, uri
        FROM looks, range(5) AS w(k)
        WHERE i % 10 = 0
        ORDER BY i, again, k
    """,
}

_RUNS = """
SELECT
    'run-' || n AS run_id, 'tag' AS kind, ['s3://archive'] AS sources, 'recipe-' || n AS recipe_id, '{}' AS request,
    TIMESTAMPTZ '2026-02-01' + INTERVAL (n * 100) DAY AS started_at
FROM range(2) AS r(n)
"""


def fill(lake: Lake, media: int) -> None:
    """Write so many media objects and their rows, as large files."""
    for first in range(0, media, AT_ONCE):
        say(f"  media from {first:,} on")
        looks = _LOOKS.format(first=first, end=min(media, first + AT_ONCE))
        lake.transaction(lambda con: _write(con, looks))  # noqa: B023

    def finish(con: duckdb.DuckDBPyConnection) -> None:
        con.execute(f"INSERT INTO log.runs BY NAME {_RUNS}")
        hidden.refresh(con)

    lake.transaction(finish)


def _write(con: duckdb.DuckDBPyConnection, looks: str) -> None:
    con.execute(looks)
    for table, rows in _ROWS.items():
        con.execute(f"INSERT INTO log.{table} BY NAME {rows}")


def write_bare(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """What the lake's views show as Parquet files, sorted over all of them: a folder a view.

    A range of URIs at a time, so that sorting never needs more memory than there is.
    """
    (last,) = con.execute("SELECT max(uri) FROM log.taggings").fetchone() or ("",)
    for view, order in VIEWS.items():
        (folder / view).mkdir(parents=True)
        for number in range(0, int(last.split("/")[4]) + 1, FOLDERS):
            start, end = (f"s3://archive/2026/{edge:04}" for edge in (number, number + FOLDERS))
            rows = f"SELECT * FROM {view} WHERE uri >= '{start}' AND uri < '{end}' ORDER BY {order}"
            con.execute(f"COPY ({rows}) TO '{folder}/{view}/{number:04}.parquet'")
    (folder / "runs").mkdir()
    con.execute(f"COPY (FROM log.runs) TO '{folder}/runs/0.parquet'")


def see_bare(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """The views' names over those files."""
    con.execute("CREATE SCHEMA IF NOT EXISTS log")
    for view in VIEWS:
        con.execute(f"CREATE OR REPLACE VIEW {view} AS FROM '{folder}/{view}/*.parquet'")
    con.execute(f"CREATE OR REPLACE VIEW log.runs AS FROM '{folder}/runs/*.parquet'")
