"""Forget data files that are lost, so that what they held is found anew.

First the files go from the catalog, and what was known of each (its table, and which taggings it may have held) stays
there in a table of its own; then the taggings that miss something go, and the table with them. Whoever dies in between
leaves the table, and the next repair goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from pipeline.errors import LakeError
from pipeline.lake import hidden
from pipeline.lake.catalog import Lake, plainly
from pipeline.lake.inherit import DETAILS
from pipeline.lake.retention import delete


@dataclass(frozen=True, slots=True)
class LostFile:
    """A data file that the catalog names and the store doesn't have. rows: that it held, superseded ones included."""

    name: str
    table: str
    rows: int


def lost_files(lake: Lake) -> list[LostFile]:
    """Those that are lost and not forgotten yet. Raises LakeError where there is none that isn't."""
    with lake.catalog.turn(), plainly(lake):
        return _lost(lake)


def repair(lake: Lake) -> tuple[list[LostFile], int]:
    """Forget what is lost. Returns the files, and how many taggings went since some of their rows did.

    Their media are new to the next run, or show an earlier look at them. Raises LakeError as `lost_files`.
    """
    with lake.catalog.turn(), plainly(lake):
        lost = _lost(lake)
        if not lost and not lake.con.execute(_BEGUN).fetchone():
            return [], 0
        _forget_files(lake.con, lost)
        suspects = lake.con.execute("SELECT table_name, first_id, last_id FROM plain.shotlog_lost").fetchall()
    gone = lake.transaction(lambda con: _make_whole(con, suspects))
    with lake.catalog.turn(), plainly(lake):
        lake.con.execute("DROP TABLE plain.shotlog_lost")
    return lost, gone


_BEGUN = "FROM duckdb_tables() WHERE database_name = 'plain' AND table_name = 'shotlog_lost'"
"""A row where a repair has begun and not ended."""

_FILES = ("data", "delete")
_OF_DATA_FILES = ("ducklake_file_column_stats", "ducklake_file_variant_stats", "ducklake_file_partition_value")

_NAMED = """
SELECT parse_filename(path), table_name, {rows}
FROM plain.ducklake_{kind}_file AS file
JOIN (SELECT table_id, any_value(table_name) AS table_name FROM plain.ducklake_table GROUP BY table_id) USING (table_id)
"""


def _lost(lake: Lake) -> list[LostFile]:
    stored = {uri.rpartition("/")[2] for uri in lake.store.names(f"{lake.uri.rstrip('/')}/data")}
    queries = [_NAMED.format(kind=kind, rows="record_count" if kind == "data" else "0") for kind in _FILES]
    named = [LostFile(*row) for query in queries for row in lake.con.execute(query).fetchall()]
    lost = [file for file in named if file.name not in stored]
    if lost and len(lost) == len(named):
        raise LakeError(
            f"none of the {len(named)} data files of this lake is below '{lake.uri.rstrip('/')}/data': is its disk "
            "mounted? Nothing is forgotten: bring them back, or restore them from a backup"
        )
    return lost


def _forget_files(con: duckdb.DuckDBPyConnection, lost: list[LostFile]) -> None:
    """In one transaction of the catalog. Of each file stays which taggings it may have held."""
    names = [file.name for file in lost]
    con.execute("BEGIN")
    con.execute("CREATE TABLE IF NOT EXISTS plain.shotlog_lost (table_name VARCHAR, first_id VARCHAR, last_id VARCHAR)")
    con.execute(_REMEMBER, [names])
    ids = "SELECT data_file_id FROM plain.ducklake_data_file WHERE list_contains($1, parse_filename(path))"
    found = [row[0] for row in con.execute(ids, [names]).fetchall()]
    for table in _OF_DATA_FILES:
        con.execute(f"DELETE FROM plain.{table} WHERE list_contains($1, data_file_id)", [found])
    delete_files = "DELETE FROM plain.ducklake_delete_file WHERE list_contains($1, data_file_id) OR "
    con.execute(f"{delete_files} list_contains($2, parse_filename(path))", [found, names])
    con.execute("DELETE FROM plain.ducklake_data_file WHERE list_contains($1, data_file_id)", [found])
    con.execute("COMMIT")


# Statistics may be missing: then it may have held any.
_REMEMBER = """
INSERT INTO plain.shotlog_lost
SELECT table_name, min_value, max_value
FROM plain.ducklake_data_file AS file
JOIN (SELECT table_id, any_value(table_name) AS table_name FROM plain.ducklake_table GROUP BY table_id) USING (table_id)
LEFT JOIN (
    SELECT table_id, column_id FROM plain.ducklake_column WHERE column_name = 'tagging_id' AND end_snapshot IS NULL
) AS tagging_ids USING (table_id)
LEFT JOIN plain.ducklake_file_column_stats AS stats
    ON stats.data_file_id = file.data_file_id AND stats.column_id = tagging_ids.column_id
WHERE list_contains($1, parse_filename(path))
"""


def _make_whole(con: duckdb.DuckDBPyConnection, suspects: list[tuple[str, str | None, str | None]]) -> int:
    """Delete taggings that miss rows, and rows that miss their tagging; inside the caller's transaction.

    A tagging tells how many frames it has. Of its other rows nobody counted: where a file of a table is lost, it misses
    some if it may have been in that file and has no row left in that table.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE incomplete AS {_WITHOUT_FRAMES}")
    for table, first_id, last_id in suspects:
        if table in DETAILS and table not in ("taggings", "timestamps"):
            con.execute(_WITHOUT_ROWS.format(table=table), {"first": first_id, "last": last_id})
    (gone,) = con.execute("SELECT count(DISTINCT tagging_id) FROM incomplete").fetchone() or (0,)
    delete(con, "tagging_id IN (FROM incomplete)")
    delete(con, "tagging_id NOT IN (SELECT tagging_id FROM log.taggings)")
    con.execute(_SIGHTINGS)
    hidden.refresh(con)
    return int(gone)


_WITHOUT_FRAMES = """
SELECT tagging_id
FROM log.taggings
LEFT JOIN (SELECT tagging_id, count(*) AS found FROM log.timestamps GROUP BY tagging_id) USING (tagging_id)
WHERE frames <> coalesce(found, 0)
"""

_WITHOUT_ROWS = """
INSERT INTO incomplete
SELECT tagging_id
FROM log.taggings
WHERE status IN ('ok', 'partial')
    AND tagging_id >= coalesce($first, tagging_id) AND tagging_id <= coalesce($last, tagging_id)
    AND tagging_id NOT IN (SELECT tagging_id FROM log.{table})
"""

# Without a sighting nobody would notice that a media object is gone. What was only sent to `serve` was never listed.
_SIGHTINGS = """
INSERT INTO log.sightings BY NAME
SELECT
    media_id, arg_max(run_id, tagged_at) AS run_id, any_value(uri) AS uri, arg_max(etag, tagged_at) AS etag,
    'new' AS state, max(tagged_at) AS seen_at
FROM log.taggings
ANTI JOIN log.sightings USING (media_id)
WHERE run_id IN (SELECT run_id FROM log.runs WHERE kind <> 'serve')
GROUP BY media_id
"""
