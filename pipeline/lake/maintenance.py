"""Upkeep of a lake's files, safe beside readers and writers: every step is a transaction of its own, in turn.

Files go only past a grace: a reader may still be in the middle of them, and what no catalog names yet may be what a
writer is about to commit. `cleanup_all` is never used (DESIGN.md §5.6).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from pipeline.lake.catalog import Lake, plainly
from pipeline.lake.freeze import publish
from pipeline.lake.frozen import frozen_catalogs
from pipeline.lake.retention import Retention, apply

MERGED_AT_ONCE = 1000
"""Small files in one transaction: the others' commits wait for no more."""

Watch = Callable[[str], None]


def maintain(lake: Lake, *, retention: Retention, grace: timedelta, dry_run: bool, watch: Watch) -> dict[str, int]:
    """Do all that is due, or with dry_run say how much it is; `watch` hears of each step as it begins.

    Returns, by step: taggings and thumbnails past their retention; rows that were inlined in the catalog and are in
    files now; small files merged; files rewritten without what was deleted; snapshots expired; files removed that no
    snapshot needs; files removed that nothing ever named.
    """
    now = datetime.now(UTC)
    report: dict[str, int] = {}
    lake.con.execute("SET enable_external_file_cache = false")  # it keeps 60 kB a small file, and each is read once

    def step(name: str, do: Callable[[], int]) -> None:
        watch(name)
        report[name] = do()

    watch("retention")
    report |= lake.transaction(lambda con: apply(con, retention, dry_run=dry_run))
    step("flushed_rows", lambda: _flush(lake, dry_run))
    step("merged_files", lambda: _merge(lake, dry_run))
    step("rewritten_files", lambda: _rewrite(lake, dry_run))
    step("expired_snapshots", lambda: _expire(lake, now - grace, dry_run))
    if not dry_run and frozen_catalogs(lake.uri, lake.store):
        publish(lake)  # before anything goes, so that whoever attaches now finds all files
    step("removed_files", lambda: _remove_old(lake, _before(lake, now - grace), dry_run))
    step("removed_orphans", lambda: _remove_orphans(lake, now - grace, dry_run))
    return report


def _before(lake: Lake, grace: datetime) -> datetime:
    """Files that were let go before this may go: no frozen catalog that is left names them.

    One that was made later than a file was let go doesn't name it.
    """
    return min([grace, *(one.made_at for one in frozen_catalogs(lake.uri, lake.store))])


def _flush(lake: Lake, dry_run: bool) -> int:
    """Only lakes made before format 5 have any."""
    if dry_run:
        return _inlined(lake)
    return sum(row[2] for row in _call(lake, "CALL ducklake_flush_inlined_data('lake')"))


def _inlined(lake: Lake) -> int:
    """Rows in the catalog itself, those of the past included."""
    with lake.catalog.turn(), plainly(lake):
        query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'plain' AND table_name SIMILAR TO $1"
        names = lake.con.execute(query, [r"ducklake_inlined_data_\d+_\d+"]).fetchall()
        counts = [lake.con.execute(f"SELECT count(*) FROM plain.{name}").fetchone() for (name,) in names]
        return sum(count[0] for count in counts if count)


def _merge(lake: Lake, dry_run: bool) -> int:
    if dry_run:
        counts = "SELECT coalesce(sum(file_count), 0) FROM ducklake_table_info('lake') WHERE file_count > 1"
        return int(_call(lake, counts)[0][0])
    merged = 0
    while True:
        call = f"CALL ducklake_merge_adjacent_files('lake', max_compacted_files => {MERGED_AT_ONCE})"
        done = sum(row[2] for row in _call(lake, call))
        merged += done
        if done < MERGED_AT_ONCE:
            return merged


def _rewrite(lake: Lake, dry_run: bool, threshold: float | None = None) -> int:
    """threshold: share of a file's rows that must be deleted; None: DuckLake's own."""
    if dry_run:
        counts = "SELECT coalesce(sum(delete_file_count), 0) FROM ducklake_table_info('lake')"
        return int(_call(lake, counts)[0][0])
    share = "" if threshold is None else f", delete_threshold => {threshold}"
    return sum(row[2] for row in _call(lake, f"CALL ducklake_rewrite_data_files('lake'{share})"))


def _expire(lake: Lake, before: datetime, dry_run: bool) -> int:
    return lake.transaction(lambda con: expire(con, before, dry_run=dry_run))


def expire(con: duckdb.DuckDBPyConnection, before: datetime | None = None, *, dry_run: bool = False) -> int:
    """Let go of the snapshots from before this moment, None: of all but the newest, in the caller's turn.

    By their numbers: of a SQLite catalog DuckLake compares the day alone, that of the writer's time zone, not the time.
    Returns how many.
    """
    query = """
        SELECT list(snapshot_id)
        FROM ducklake_snapshots('lake')
        WHERE snapshot_time < coalesce($1::TIMESTAMPTZ, 'infinity')
            AND snapshot_id < (SELECT max(snapshot_id) FROM ducklake_snapshots('lake'))
    """
    (old,) = con.execute(query, [before]).fetchone() or (None,)
    if old and not dry_run:
        con.execute(f"CALL ducklake_expire_snapshots('lake', versions => {old})")
    return len(old or ())


def _remove_old(lake: Lake, before: datetime, dry_run: bool) -> int:
    """Files that the catalog let go before this moment. As `expire`: DuckLake itself would remove younger ones too.

    First the file, then its line: whoever dies in between leaves a line, which the next one clears.
    """
    with lake.catalog.turn(), plainly(lake):
        query = """
            SELECT data_file_id, path, path_is_relative
            FROM plain.ducklake_files_scheduled_for_deletion
            WHERE schedule_start::TIMESTAMPTZ < $1
        """
        old = lake.con.execute(query, [before]).fetchall()
        for _, path, is_relative in old if not dry_run else ():
            lake.store.delete(f"{lake.uri.rstrip('/')}/data/{path}" if is_relative else path)
        if old and not dry_run:
            done = "DELETE FROM plain.ducklake_files_scheduled_for_deletion WHERE list_contains($1, data_file_id)"
            lake.con.execute(done, [[row[0] for row in old]])
        return len(old)


def _remove_orphans(lake: Lake, before: datetime, dry_run: bool) -> int:
    older = f"dry_run => {str(dry_run).lower()}, older_than => TIMESTAMPTZ '{before.isoformat()}'"
    return len(_call(lake, f"CALL ducklake_delete_orphaned_files('lake', {older})"))


def _call(lake: Lake, statement: str) -> list[tuple[Any, ...]]:
    return lake.transaction(lambda con: con.execute(statement).fetchall())
