"""Lakes of millions of media, made by SQL through the lake's own tables, and inventories of their bucket."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pipeline.lake.catalog import Lake
from pipeline.steps.listing import begin_run
from pipeline.steps.workplace import Workplace

BUCKET = "archive"

_OBJECTS = """
    SELECT
        i,
        i % 10 = 0 AS is_film,
        format('{:04}/{:03}/clip {:09}.{}', i // 100000, i // 1000 % 100, i, if(i % 10 = 0, 'mp4', 'jpg')) AS key,
        's3://BUCKET/' || key AS uri,
        md5(i::VARCHAR) AS etag,
        100000 + i % 9000000 AS size_bytes,
        TIMESTAMPTZ '2026-01-01' + i * INTERVAL 1 SECOND AS made
    FROM range($first::BIGINT, $last::BIGINT) numbers(i)
""".replace("BUCKET", BUCKET)

_TAGGINGS = f"""
INSERT INTO log.taggings BY NAME
SELECT
    md5('tagging' || i) AS tagging_id, left(sha256(uri), 32) AS media_id, 'first' AS run_id,
    format('{{:06}}', i // 500) AS batch, $recipe AS recipe_id, uri, sha256('bytes' || i) AS content_id, etag,
    size_bytes, made AS last_modified, if(is_film, 'video', 'image') AS kind, if(is_film, 'mp4', 'jpeg') AS container,
    1920 AS width, 1080 AS height, if(is_film, 20.0, 0.0) AS duration_s, 'pyav 18.1.0' AS decoder, 'ok' AS status,
    if(is_film, 20, 1) AS frames, made AS tagged_at
FROM ({_OBJECTS})
"""
_SIGHTINGS = f"""
INSERT INTO log.sightings BY NAME
SELECT left(sha256(uri), 32) AS media_id, 'first' AS run_id, uri, etag, 'new' AS state, made AS seen_at
FROM ({_OBJECTS})
"""
_INVENTORY = f"""
SELECT '{BUCKET}' AS bucket, key, size_bytes AS size, made::TIMESTAMP::TIMESTAMP_MS AS last_modified_date, etag AS e_tag
FROM ({_OBJECTS})
"""

STEP = 500_000
"""Rows of one statement: as many runs would have left them, not one file of all."""


def make_lake(work: Workplace, count: int) -> Lake:
    """A lake in which so many media are tagged and sighted, under the recipe of this request."""
    lake = work.lake(create=True, read_only=False)
    begin_run(work, lake, "first")
    recipe = work.recipe(work.tagger()).recipe_id
    with lake.on_all_cores():
        for first in range(0, count, STEP):
            span = {"first": first, "last": min(count, first + STEP)}
            lake.transaction(lambda con, span=span: con.execute(_TAGGINGS, {**span, "recipe": recipe}))
            lake.transaction(lambda con, span=span: con.execute(_SIGHTINGS, span))
    return lake


def make_inventory(folder: Path, first: int, last: int, *, rows: int = 1_000_000) -> Path:
    """An inventory of the objects of these numbers as Parquet files of so many rows in a folder; gives its manifest."""
    folder.mkdir(parents=True)
    files = []
    with closing(duckdb.connect()) as con:
        con.execute("SET TimeZone = 'UTC'")
        for start in range(first, last, rows):
            path = folder / f"{start:09}.parquet"
            span = {"first": start, "last": min(last, start + rows)}
            con.execute(f"COPY ({_INVENTORY}) TO '{path}' (FORMAT parquet)", span)
            md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            files.append({"key": path.name, "size": path.stat().st_size, "MD5checksum": md5})
    manifest = {
        "sourceBucket": BUCKET,
        "fileFormat": "Parquet",
        "fileSchema": "message s3.inventory {}",
        "files": files,
    }
    made_at = str(round(datetime.now(UTC).timestamp() * 1000))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "creationTimestamp": made_at}))
    return folder / "manifest.json"
