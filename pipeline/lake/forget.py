"""Remove every trace of a media object: rows, history, the files that held them, and the copies of the catalog.

The exception to the grace (DESIGN.md §5.6): what is forgotten is gone at once, and readers attach anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import duckdb

from pipeline.lake import hidden
from pipeline.lake.catalog import Lake, plainly
from pipeline.lake.freeze import publish
from pipeline.lake.frozen import frozen_catalogs
from pipeline.lake.inherit import DETAILS
from pipeline.lake.retention import delete
from pipeline.lake.tables import TABLES

_BY_MEDIA = tuple(name for name, schema in TABLES.items() if "media_id" in schema.names and name not in DETAILS)


def find(con: duckdb.DuckDBPyConnection, named: Sequence[str]) -> dict[str, str]:
    """media_id → URI of the media that are named so, by URI or by media_id, in any time."""
    query = """
        SELECT DISTINCT media_id, uri
        FROM (SELECT media_id, uri FROM log.taggings UNION ALL SELECT media_id, uri FROM log.sightings)
        WHERE uri IN (SELECT unnest($1)) OR media_id IN (SELECT unnest($1))
    """
    return dict(con.execute(query, [list(named)]).fetchall())


def forget(lake: Lake, media: dict[str, str]) -> dict[str, int]:
    """Forget these media (media_id → URI). Returns how many rows, files and frozen catalogs went."""
    rows = lake.transaction(lambda con: _delete_rows(con, media))
    with lake.catalog.turn():
        con = lake.con
        con.execute("CALL ducklake_flush_inlined_data('lake')")
        con.execute("CALL ducklake_rewrite_data_files('lake', delete_threshold => 0.0)")
        # what the past names goes with it, but only the files that hold what is forgotten: others are in their grace
        con.execute("CALL ducklake_expire_snapshots('lake', older_than => now() + INTERVAL 1 HOUR)")
        held = traces(lake, media)
        with plainly(lake):
            named = _named(con)  # one that was committed since the rows went: whoever asks again gets that, too
            held = [uri for uri in held if uri.rpartition("/")[2] not in named]
            _let_go(con, held)
            _scrub(con, [*media, *media.values(), *as_json(media)])
        lake.catalog.wipe()
    frozen = [one.uri for one in frozen_catalogs(lake.uri, lake.store)]
    if frozen:
        newest = publish(lake)
        for uri in frozen:
            if uri != newest:
                lake.store.delete(uri)
    for uri in held:
        lake.store.delete(uri)
    return {"media": len(media), "rows": rows, "files": len(held), "frozen_catalogs": len(frozen)}


def traces(lake: Lake, media: dict[str, str]) -> list[str]:
    """Data files, of all there are, that hold a row of these media, whether a catalog still names them or not.

    After `forget`: the proof that nothing is left.
    """
    found, told = [], _told(media)
    for name, where in _TRACES.items():
        folder = f"{lake.uri.rstrip('/')}/data/log/{name}"
        files = [uri for uri in lake.store.names(folder) if uri.endswith(".parquet")]
        if files:
            held = "FROM read_parquet($files, filename = true, union_by_name = true)"
            query = f"SELECT DISTINCT filename {held} WHERE {where}"
            asked = {"files": files, **_asked_by(where, told)}
            found += [row[0] for row in lake.con.execute(query, asked).fetchall()]
    return found


def as_json(media: dict[str, str]) -> list[str]:
    """How these media (media_id → URI) are written inside JSON text, whether it escapes what isn't ASCII or not.

    The longest first: who replaces them in this order never leaves the rest of one that begins with another.
    """
    texts = (*media, *media.values())
    written = {json.dumps(text, ensure_ascii=escaped)[1:-1] for text in texts for escaped in (True, False)}
    return sorted(written, key=len, reverse=True)


def _told(media: dict[str, str]) -> dict[str, list[str]]:
    return {"ids": list(media), "uris": list(media.values()), "texts": as_json(media)}


def _asked_by(where: str, told: dict[str, list[str]]) -> dict[str, list[str]]:
    """DuckDB takes no parameter that the statement doesn't have."""
    return {name: values for name, values in told.items() if f"${name}" in where}


_NAMED_IN = "EXISTS (FROM (SELECT unnest($texts) AS text) WHERE contains({column}, text))"
_NAMING = {
    "runs": f"list_has_any(sources, $uris) OR {_NAMED_IN.format(column='request')}",
    "run_events": _NAMED_IN.format(column="detail"),
}
"""Tables that may name an object in a text: a run that had it as its source, or couldn't list it, or a job."""

_UNNAMED_IN = "{column} = list_reduce($texts, lambda told, text: replace(told, text, '(forgotten)'), {column})"
_UNNAMED = {
    "runs": "sources = list_transform(sources, lambda s: if(list_contains($uris, s), '(forgotten)', s)), "
    + _UNNAMED_IN.format(column="request"),
    "run_events": _UNNAMED_IN.format(column="detail"),
}

_TRACES = {**dict.fromkeys((*DETAILS, *_BY_MEDIA), "media_id IN (SELECT unnest($ids))"), **_NAMING}


def _delete_rows(con: duckdb.DuckDBPyConnection, media: dict[str, str]) -> int:
    con.execute("CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::VARCHAR[]) AS media_id", [list(media)])
    rows = delete(con, "media_id IN (FROM forgotten)")
    for name in _BY_MEDIA:
        if name not in hidden.TABLES:  # they went with the taggings
            con.execute(f"DELETE FROM log.{name} WHERE media_id IN (FROM forgotten)")
    told = _told(media)
    for name, where in _NAMING.items():
        con.execute(f"UPDATE log.{name} SET {_UNNAMED[name]} WHERE {where}", _asked_by(where, told))
    return rows


def _named(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Names of the data files that the catalog still needs."""
    found = con.execute("SELECT parse_filename(path) FROM plain.ducklake_data_file").fetchall()
    return {row[0] for row in found}


def _let_go(con: duckdb.DuckDBPyConnection, held: Sequence[str]) -> None:
    """Take files that are to go out of the list of those that maintenance is to remove."""
    names = [uri.rpartition("/")[2] for uri in held]
    con.execute(
        "DELETE FROM plain.ducklake_files_scheduled_for_deletion WHERE list_contains($1, parse_filename(path))", [names]
    )


def _scrub(con: duckdb.DuckDBPyConnection, texts: Iterable[str]) -> None:
    """Statistics keep the least and the greatest value of a column: no value does as well, only slower."""
    for table in ("ducklake_table_column_stats", "ducklake_file_column_stats"):
        for column in ("min_value", "max_value"):
            con.execute(
                f"UPDATE plain.{table} SET min_value = NULL, max_value = NULL "
                f"WHERE EXISTS (FROM (SELECT unnest($1) AS text) WHERE contains({column}, text))",
                [list(texts)],
            )
