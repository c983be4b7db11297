"""What S3 writes as an inventory of a bucket, written by the tests: the S3 server that they start makes none.

Columns, types, encoding and manifest are those of "Amazon S3 Inventory" in AWS's user guide.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

FORMS = ("CSV", "ORC", "Parquet")

COLUMNS = pa.schema(
    [
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("version_id", pa.string()),
        ("is_latest", pa.bool_()),
        ("is_delete_marker", pa.bool_()),
        ("size", pa.int64()),
        ("last_modified_date", pa.timestamp("ms")),
        ("e_tag", pa.string()),
        ("storage_class", pa.string()),
    ]
)
VERSIONS = ("version_id", "is_latest", "is_delete_marker")
_IN_CSV = {"bucket": "Bucket", "key": "Key", "version_id": "VersionId", "is_latest": "IsLatest", "size": "Size"}
_IN_CSV |= {"is_delete_marker": "IsDeleteMarker", "last_modified_date": "LastModifiedDate", "e_tag": "ETag"}
_IN_CSV |= {"storage_class": "StorageClass"}

Row = dict[str, Any]


def rows_of(client: Any, bucket: str) -> list[Row]:
    """What is in the bucket now, as an inventory of its current versions has it."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [
        {
            "bucket": bucket,
            "key": item["Key"],
            "size": item["Size"],
            "last_modified_date": item["LastModified"].replace(tzinfo=None),
            "e_tag": item["ETag"].strip('"'),
            "storage_class": "STANDARD",
        }
        for page in pages
        for item in page.get("Contents", ())
    ]


def write_inventory(
    client: Any,
    place: str,
    source: str,
    rows: Iterable[Row],
    form: str = "Parquet",
    *,
    made_at: datetime | None = None,
    parts: int = 2,
    without: tuple[str, ...] = VERSIONS,
) -> str:
    """Write an inventory of the bucket `source` into the bucket `place`, in so many files; returns its manifest's URI.

    without: columns that it hasn't.
    """
    rows, made_at = list(rows), made_at or datetime.now(UTC)
    schema = pa.schema([field for field in COLUMNS if field.name not in without])
    home, files = f"lists/{source}/daily", []
    for number in range(parts):
        data = packed(pa.Table.from_pylist(rows[number::parts], schema=schema), form)
        key = f"{home}/data/{made_at:%Y%m%d%H%M%S%f}-{number}.{'csv.gz' if form == 'CSV' else form.lower()}"
        client.put_object(Bucket=place, Key=key, Body=data)
        files.append({"key": key, "size": len(data), "MD5checksum": hashlib.md5(data).hexdigest()})
    manifest = {
        "sourceBucket": source,
        "destinationBucket": f"arn:aws:s3:::{place}",
        "version": "2016-11-30",
        "creationTimestamp": str(round(made_at.timestamp() * 1000)),
        "fileFormat": form,
        "fileSchema": ", ".join(_IN_CSV[name] for name in schema.names) if form == "CSV" else "message s3.inventory {}",
        "files": files,
    }
    key = f"{home}/{made_at:%Y-%m-%dT%H-%M}Z/manifest.json"
    client.put_object(Bucket=place, Key=key, Body=json.dumps(manifest).encode())
    return f"s3://{place}/{key}"


def packed(table: pa.Table, form: str) -> bytes:
    """A table of inventory rows as one file."""
    buffer = io.BytesIO()
    if form == "Parquet":
        pq.write_table(table, buffer)
    elif form == "ORC":
        orc.write_table(table, buffer)
    else:
        with gzip.open(buffer, "wt", encoding="utf-8", newline="") as text:
            writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerows([_in_csv(name, row[name]) for name in table.schema.names] for row in table.to_pylist())
    return buffer.getvalue()


def _in_csv(name: str, value: Any) -> str:
    """Keys are encoded as in an HTML form: a space is `+`."""
    if value is None:
        return ""
    if name == "key":
        return quote_plus(value, safe="/")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return str(value).lower() if isinstance(value, bool) else str(value)
