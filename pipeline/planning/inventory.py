"""Rows of an S3 Inventory made into listing files (schema LISTING), by DuckDB alone, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import StoreError
from pipeline.planning.listing import kind_sql, literal

MEMORY_MB = 256
"""What DuckDB may take here; on top of that come its Parquet writer's buffers."""

FILE_BYTES = 32 << 20
"""About so long a listing file gets: it is in memory while it is written to the lake's store."""

_NEEDED = {"bucket", "key", "size", "last_modified_date", "e_tag"}
_CURRENT = {"is_latest": "is_latest::BOOLEAN", "is_delete_marker": "NOT is_delete_marker::BOOLEAN"}
"""Columns that are only there where all versions are listed: what holds of those that are there now."""

_FROM_CSV = {"lastmodifieddate": "last_modified_date", "etag": "e_tag"}
_FROM_CSV |= {"islatest": "is_latest", "isdeletemarker": "is_delete_marker"}
"""CSV's manifest has other names for the columns than Parquet and ORC have."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows. bucket: the inventory's. prefixes: URIs begin with one of these, and not with `lake`.

    named: URIs that are sources themselves, see listing.kind_of; include, exclude: patterns.
    """

    bucket: str
    prefixes: tuple[str, ...]
    lake: str
    named: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


def listing_files(
    path: Path, name: str, form: str, columns: Sequence[str], wanted: Wanted, folder: Path
) -> Iterator[tuple[Path, int]]:
    """Listing files in the folder, and how many rows each has, of one file of rows. A folder takes one such call.

    name: what messages call it. columns: names of a CSV file's. Raises StoreError for a file that can't be read, lacks
    a column, or lists another bucket.
    """
    limits = {"memory_limit": f"{MEMORY_MB}MB", "temp_directory": str(folder / "spilled")}
    with closing(duckdb.connect(config={**limits, "preserve_insertion_order": False})) as con:
        con.execute("SET TimeZone = 'UTC'")
        try:
            found = _open(con, path, form, columns)
            if missing := sorted(_NEEDED - found):
                raise StoreError(
                    f"the inventory's '{name}' lacks {', '.join(missing)}: let S3 add size, last modified date and ETag"
                )
            place = literal(str(folder / "rows"))
            con.execute(
                f"COPY ({_select(found, form, wanted)}) TO {place} (FORMAT parquet, FILE_SIZE_BYTES {FILE_BYTES})"
            )
        except (duckdb.Error, pa.ArrowException) as error:
            why = str(error).partition("\n")[0]
            raise StoreError(f"the inventory's '{name}' can't be read ({why}): take a newer inventory") from error
        for made in sorted((folder / "rows").glob("*.parquet")):
            count = con.execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [str(made)]).fetchone()
            yield made, int(count[0]) if count and count[0] else 0


def _open(con: duckdb.DuckDBPyConnection, path: Path, form: str, columns: Sequence[str]) -> set[str]:
    """Make the file's rows the view `found`; returns its columns."""
    place = literal(str(path))
    if form == "Parquet":
        con.execute(f"CREATE VIEW found AS FROM read_parquet({place})")
    elif form == "ORC":  # which DuckDB can't read
        con.register("found", _stripes(path))
    else:
        names = [_FROM_CSV.get(name.lower(), name.lower()) for name in columns]
        types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        gzip = "gzip" if path.suffix == ".gz" else "auto"
        con.execute(
            f"CREATE VIEW found AS FROM read_csv({place}, columns = {{{types}}}, header = false, "
            f"auto_detect = false, delim = ',', quote = '\"', escape = '\"', compression = '{gzip}')"
        )
    return {row[0] for row in con.execute("DESCRIBE found").fetchall()}


def _stripes(path: Path) -> pa.RecordBatchReader:
    from pyarrow import orc

    file: Any = orc.ORCFile(path)
    return pa.RecordBatchReader.from_batches(file.schema, (file.read_stripe(n) for n in range(file.nstripes)))


def _select(found: set[str], form: str, wanted: Wanted) -> str:
    """Rows as LISTING has them. URIs of CSV are encoded as in an HTML form, all times are UTC."""
    key = "url_decode(replace(key, '+', ' '))" if form == "CSV" else "key"
    reached = " OR ".join(f"starts_with(uri, {literal(prefix)})" for prefix in wanted.prefixes)
    wished = [condition for column, condition in _CURRENT.items() if column in found]
    wished += [f"({reached})", "NOT ends_with(uri, '/')", f"NOT starts_with(uri, {literal(wanted.lake)} || '/')"]
    # one condition: DuckDB asks several in any order, and would leave rows of another bucket out in silence
    return f"""
        WITH objects AS (SELECT *, 's3://' || bucket || '/' || {key} AS uri FROM found)

        SELECT
            left(sha256(uri), 32) AS media_id,
            uri,
            CASE WHEN starts_with(e_tag, '"') THEN trim(e_tag, '"') ELSE coalesce(e_tag, '') END AS etag,
            size::BIGINT AS size_bytes,
            make_timestamptz(epoch_us(last_modified_date::TIMESTAMP)) AS last_modified,
            {kind_sql(wanted.include, wanted.exclude, wanted.named)} AS kind
        FROM objects
        WHERE CASE WHEN bucket = {literal(wanted.bucket)} THEN {" AND ".join(wished)}
            ELSE error('it lists the bucket ' || coalesce(bucket, '')) END
    """
