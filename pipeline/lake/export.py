"""Export the views as plain Parquet in hive partitions, for engines that read no DuckLake.

All views are of one snapshot: they are read in one transaction, beside which writers commit.

Partitions are the kind of the media and the year in which the object was last changed, in every view that is about
media: two values by tens, never one a file, and neither changes when an object is looked at anew. Of 8 million tags of
four years, a question about one kind and year took a fifteenth of the time that it took without partitions; months were
no faster, and cut 92 files of 0.5 MB where years cut 8 of 7 MB. Athena and Spark like 128 MB.

DuckDB's own COPY bounds either the size of a file or writes partitions, not both, and pyarrow's dataset writer holds
up to eight million rows whatever they weigh. So rows stream from DuckDB into one Parquet file a partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.errors import LakeError, ShotlogError, StoreError, unknown_name
from pipeline.lake.catalog import Lake
from pipeline.lake.export_ddl import create_table
from pipeline.lake.export_files import DEFAULT, PartitionedFiles, Written
from pipeline.lake.export_place import Place
from pipeline.lake.patience import patiently
from pipeline.lake.refusal import lost_file, refusal

ON_WISH = ("tag_changes", "thumbnails")
"""Views that are exported only where they are named: one follows from the past, the other's pictures weigh more than
all the rest."""

MEMORY = "2GB"
"""What DuckDB may take; beyond it spills to disk. The files that are being written take half a gigabyte more."""

BATCH_ROWS = 8192
"""At a time from DuckDB: 40 MB of thumbnails."""

PARTITIONS = {"media_kind": "string", "modified_year": "int"}
"""Their types in Hive's words. Their names are those of no view's columns: `participants` has a `kind` of its own."""

DDL = "athena.sql"
"""In an export's folder: what Athena and other Hive catalogs have to be told of it."""

Watch = Callable[[str, int], None]
"""Hears of each view as it begins and goes on: its name and the rows so far."""


def choose(lake: Lake, named: Sequence[str]) -> list[str]:
    """The views of these names; all but those on wish where none is named, really all for the name `all`.

    Raises UsageError for a name that this lake has no view of.
    """
    query = "SELECT view_name FROM duckdb_views() WHERE database_name = 'lake' AND schema_name = 'main'"
    known = sorted(name for (name,) in lake.con.execute(query).fetchall())
    for name in named:
        if name not in (*known, "all"):
            raise unknown_name("view", name, [*known, "all"])
    if "all" in named:
        return known
    return list(dict.fromkeys(named)) or [name for name in known if name not in ON_WISH]


def export(
    lake: Lake, place: Place, views: Sequence[str], *, grace: timedelta, scratch: Path, watch: Watch
) -> dict[str, Any]:
    """Write these views to a new folder of the place and make it the latest one there.

    grace: how long an export that this one takes the place of stays. scratch: an empty folder for files on their way.
    Returns folder, uri, lake_id, snapshot, snapshot_at, and by view rows, files and bytes.
    Raises UsageError for a place that holds something else, StoreError where it can't be written or the lake's data
    can't be read, LakeError where some are lost. What was written until then is removed.
    """
    place.claim(lake.lake_id)
    folder = place.new_folder()
    try:
        with _one_state(lake, scratch):
            told = {"lake_id": lake.lake_id, **_snapshot(lake), "views": {}}
            writing = _Export(lake, place, folder, scratch, watch)
            for view in views:
                told["views"][view] = writing.write(view).told()
        place.write(f"{folder}/{DDL}", writing.ddl.encode())
        place.publish(folder, told, grace=grace)
    except BaseException:
        with suppress(StoreError):  # it is out of reach: the next export there clears up
            place.discard(folder)
        raise
    return {"uri": f"{place.uri.rstrip('/')}/{folder}", "folder": folder, **told}


@contextmanager
def _one_state(lake: Lake, scratch: Path) -> Iterator[None]:
    """A transaction that reads one snapshot, in the memory it may take."""
    con = lake.con
    con.execute(f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
    con.execute("SET temp_directory = '" + str(scratch).replace("'", "''") + "/spilled'")
    try:
        patiently(_begin)(lake)
        yield
        con.execute("COMMIT")
    except (duckdb.HTTPException, duckdb.IOException, pa.ArrowException) as error:  # the last while rows stream
        raise _unreadable(lake, error) from error
    except OSError as error:
        if error.errno is None:  # Arrow's, for what DuckDB says in the middle of a stream
            raise _unreadable(lake, error) from error
        raise StoreError(f"the export can't be written ({error}): make room in '{scratch.parent}'") from error
    except duckdb.Error as error:
        raise LakeError(f"the lake at '{lake.uri}' can't be read: {error}") from error
    finally:
        with suppress(duckdb.Error):
            con.execute("ROLLBACK")


def _unreadable(lake: Lake, error: Exception) -> ShotlogError:
    return refusal(lake.uri, error) if lost_file(error) else StoreError(f"the lake's data can't be read: {error}")


def _begin(lake: Lake) -> None:
    with suppress(duckdb.Error):  # of an attempt before
        lake.con.execute("ROLLBACK")
    lake.con.execute("BEGIN")
    lake.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE export_places AS
        SELECT media_id, {_OWN}
        FROM media
    """)


_OWN = "kind AS media_kind, year(last_modified)::INTEGER AS modified_year"


def _snapshot(lake: Lake) -> dict[str, Any]:
    """The one that this transaction reads."""
    query = """
        SELECT snapshot_id, snapshot_time
        FROM ducklake_snapshots('lake')
        WHERE snapshot_id = (SELECT id FROM ducklake_current_snapshot('lake'))
    """
    number, at = lake.con.execute(query).fetchone() or (None, None)
    return {"snapshot": number, "snapshot_at": at.isoformat() if at else None}


class _Export:
    """One folder as it fills. ddl: of the views so far."""

    def __init__(self, lake: Lake, place: Place, folder: str, scratch: Path, watch: Watch) -> None:
        self._lake, self._place, self._folder = lake, place, folder
        self._scratch, self._watch = scratch, watch
        self.ddl = ""

    def write(self, view: str) -> Written:
        self._watch(view, 0)
        lake = self._lake
        if "://" in lake.uri:
            lake.store.prepare(lake.con)  # credentials of a role change while an export goes on
        query, empty = _query(lake.con, view)
        rows = lake.con.execute(query).to_arrow_reader(BATCH_ROWS)

        def send(path: str, data: bytes) -> None:
            self._place.write(f"{self._folder}/{view}/{path}", data)

        with PartitionedFiles(rows.schema, self._scratch, send, empty=empty) as files:
            for batch in rows:
                files.add(pa.Table.from_batches([batch]))
                self._watch(view, files.written.rows)
        place = f"{self._place.uri.rstrip('/')}/{self._folder}/{view}/"
        self.ddl += create_table(view, files.columns, PARTITIONS if empty else {}, place)
        return files.written


def _query(con: duckdb.DuckDBPyConnection, view: str) -> tuple[str, str]:
    """Its rows, with their partition's folder as the last column, `_folder`; and the folder of nulls."""
    columns = {name for name, *_ in con.execute(f"DESCRIBE {view}").fetchall()}
    if "last_modified" in columns:
        rows = f"(SELECT *, {_OWN} FROM {view})"
    elif "media_id" in columns:
        rows = f"{view} LEFT JOIN export_places USING (media_id)"
    else:
        return f"SELECT *, '' AS _folder FROM {view}", ""
    path = " || '/' || ".join(f"'{name}=' || coalesce({name}::VARCHAR, '{DEFAULT}')" for name in PARTITIONS)
    query = f"SELECT * EXCLUDE ({', '.join(PARTITIONS)}), {path} AS _folder FROM {rows}"
    return query, "/".join(f"{name}={DEFAULT}" for name in PARTITIONS)
