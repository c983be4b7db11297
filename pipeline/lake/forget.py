"""Remove every trace of media: rows, history, the files that held them, and the copies of the catalog.

The exception to the grace (DESIGN.md §5.6): what is forgotten is gone at once, and readers attach anew. The files that
tell which media were there go last, so that whoever begins again after one that broke off finds what is left to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from pipeline.errors import LakeError
from pipeline.lake import hidden
from pipeline.lake.catalog import Lake, plainly
from pipeline.lake.freeze import publish
from pipeline.lake.frozen import folder_of, frozen_catalogs
from pipeline.lake.inherit import DETAILS
from pipeline.lake.maintenance import expire
from pipeline.lake.mentions import FORGOTTEN, Mentions
from pipeline.lake.retention import delete
from pipeline.lake.tables import TABLES

Media = Mapping[str, str | None]
"""media_id → URI, None where others are called so, too: they keep it."""

_BY_MEDIA = tuple(name for name, schema in TABLES.items() if "media_id" in schema.names and name not in DETAILS)
_SEEN = ("taggings", "sightings")
"""Tables that say what a media object is called."""
_NAMING = {"runs": "request", "run_events": "detail"}
"""Tables that may name an object in a text: a run that had it as its source, or couldn't list it, or a job."""


def find(lake: Lake, ids: Sequence[str], uris: Sequence[str]) -> dict[str, str]:
    """media_id → URI of all media with one of these media_ids or URIs: that the lake has, or has had and its files
    still tell of."""
    asked = {"ids": list(ids), "uris": list(uris)}
    where = "WHERE media_id IN (SELECT unnest($ids)) OR uri IN (SELECT unnest($uris))"
    found: dict[str, str] = {}
    with lake.catalog.turn():
        for name in _SEEN:
            found |= dict(lake.con.execute(f"SELECT media_id, uri FROM log.{name} {where}", asked).fetchall())
            rows, _ = _in_files(lake, name, f"SELECT DISTINCT media_id, uri {{files}} {where}", asked)
            found |= dict(rows)
    return found


def is_source(lake: Lake, uri: str) -> bool:
    """Whether a run was asked to list this very URI."""
    query = "SELECT 1 FROM log.runs WHERE list_contains(sources, $1) LIMIT 1"
    return lake.con.execute(query, [uri]).fetchone() is not None


def begins_others(lake: Lake, uri: str) -> bool:
    """Whether media of the lake have URIs that begin with this one."""
    query = " UNION ALL ".join(f"SELECT 1 FROM log.{name} WHERE starts_with(uri, $1)" for name in _SEEN)
    return lake.con.execute(f"{query} LIMIT 1", [uri]).fetchone() is not None


def clear_half_written(lake: Lake) -> None:
    """Remove what writers that were killed left of journals, plans and copies of the catalog: whatever they hold."""
    with lake.catalog.turn():
        for folder in (lake.work_uri("").rstrip("/"), folder_of(lake.uri)):
            lake.store.clear_parts(folder)


def names_of_their_own(lake: Lake, media: Mapping[str, str]) -> dict[str, str | None]:
    """The same media, but None for a URI that others of the lake have, too."""
    others = "media_id NOT IN (SELECT unnest($ids))"
    query = f"SELECT DISTINCT uri FROM log.{{}} WHERE uri IN (SELECT unnest($uris)) AND {others}"
    asked = {"ids": list(media), "uris": list(media.values())}
    shared = {row[0] for name in _SEEN for row in lake.con.execute(query.format(name), asked).fetchall()}
    return {media_id: None if uri in shared else uri for media_id, uri in media.items()}


def forget(lake: Lake, media: Media) -> dict[str, int]:
    """Forget these media. Returns how many rows, files and frozen catalogs went.

    Raises LakeError where somebody still reads what was there, or a data file still holds a row, as one may that was
    committed meanwhile. Then, and after one that broke off, another try does the rest.
    """
    mentions = Mentions(media)
    rows = _delete_rows(lake, mentions)
    held = _let_go_of_files(lake, mentions)
    frozen = _freeze_anew(lake)
    lake.catalog.wipe()
    _remove(lake, held)
    with lake.catalog.turn():
        left = traces(lake, media)
    if left:
        raise LakeError(f"{len(left)} data files still hold rows of what is to be forgotten: run it again")
    return {"media": len(media), "rows": rows, "files": len(held), "frozen_catalogs": frozen}


def traces(lake: Lake, media: Media) -> list[str]:
    """Data files, of all there are, that hold a row of these media, whether a catalog still names them or not.

    After `forget`: the proof that nothing is left. In the caller's turn, else somebody may be writing one.
    """
    return _sorted_out(lake, Mentions(media))[0]


def _sorted_out(lake: Lake, mentions: Mentions) -> tuple[list[str], list[str]]:
    """Data files that hold a row of these media, and those that nobody can read, as who was killed leaves them.

    Those that tell which media they are come last.
    """
    found: list[str] = []
    unreadable: list[str] = []

    def add(table: str, where: str, asked: dict[str, Any], text: str = "NULL") -> None:
        rows, broken = _in_files(lake, table, f"SELECT DISTINCT filename, {text} {{files}} WHERE {where}", asked)
        found.extend(file for file, told in rows if told is None or mentions.are_in(told))
        unreadable.extend(broken)

    add("runs", _WITH_SOURCES, {"uris": mentions.uris})
    for name in (*_NAMING, *reversed((*DETAILS, *_BY_MEDIA))):
        if column := _NAMING.get(name):
            add(name, _MAY_NAME.format(column=column), {"texts": mentions.spelled}, column)
        else:
            add(name, "media_id IN (SELECT unnest($ids))", {"ids": mentions.ids})
    return list(dict.fromkeys(found)), list(dict.fromkeys(unreadable))


_MAY_NAME = "EXISTS (FROM (SELECT unnest($texts) AS text) WHERE contains({column}, text))"
_WITH_SOURCES = "list_has_any(sources, $uris::VARCHAR[])"

_UNREADABLE = re.compile("no magic bytes|too small to be a parquet", re.IGNORECASE)
"""What DuckDB says of a data file whose writer was killed."""


def _in_files(lake: Lake, table: str, query: str, asked: dict[str, Any]) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Rows of all data files of a table, and the files that nobody can read. query: with {files} for FROM."""
    there = lake.store.names(f"{lake.uri.rstrip('/')}/data/log/{table}")
    files = [uri for uri in there if uri.endswith(".parquet") and not uri.endswith("-delete.parquet")]
    query = query.format(files="FROM read_parquet($files, filename = true, union_by_name = true)")

    def ask(files: list[str]) -> tuple[list[tuple[Any, ...]], list[str]]:
        if not files:
            return [], []
        try:
            return lake.con.execute(query, {"files": files, **asked}).fetchall(), []
        except duckdb.Error as error:
            if not _UNREADABLE.search(str(error)):
                raise
        if len(files) == 1:
            return [], files
        halves = [ask(files[: len(files) // 2]), ask(files[len(files) // 2 :])]
        return [row for rows, _ in halves for row in rows], [file for _, broken in halves for file in broken]

    return ask(files)


def _delete_rows(lake: Lake, mentions: Mentions) -> int:
    """In one transaction, once all that an older lake has in its catalog is in files, which tell of it to the end."""
    with lake.catalog.turn():
        lake.con.execute("CALL ducklake_flush_inlined_data('lake')")

    def work(con: duckdb.DuckDBPyConnection) -> int:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::VARCHAR[]) AS media_id", [mentions.ids]
        )
        rows = delete(con, "media_id IN (FROM forgotten)")
        for name in _BY_MEDIA:
            if name not in hidden.TABLES:  # they went with the taggings
                con.execute(f"DELETE FROM log.{name} WHERE media_id IN (FROM forgotten)")
        _take_names(con, mentions)
        return rows

    return lake.transaction(work)


def _take_names(con: duckdb.DuckDBPyConnection, mentions: Mentions) -> None:
    """Take their names out of what runs and events say, inside the caller's transaction."""
    unnamed = f"list_transform(sources, lambda source: if(list_contains($uris, source), '{FORGOTTEN}', source))"
    con.execute(f"UPDATE log.runs SET sources = {unnamed} WHERE {_WITH_SOURCES}", {"uris": mentions.uris})
    for name, column in _NAMING.items():
        query = f"SELECT DISTINCT {column} FROM log.{name} WHERE {_MAY_NAME.format(column=column)}"
        told = [text for (text,) in con.execute(query, {"texts": mentions.spelled}).fetchall()]
        changed = [(text, mentions.left_of(text)) for text in told if mentions.are_in(text)]
        if changed:
            con.execute("CREATE OR REPLACE TEMP TABLE unnamed (before VARCHAR, after VARCHAR)")
            con.executemany("INSERT INTO unnamed VALUES (?, ?)", changed)
            con.execute(f"UPDATE log.{name} SET {column} = after FROM unnamed WHERE {column} = before")


def _let_go_of_files(lake: Lake, mentions: Mentions) -> list[str]:
    """Write the files that hold their rows anew without, and leave the old ones out of the catalog; returns these."""
    with lake.catalog.turn():
        con = lake.con
        con.execute("CALL ducklake_rewrite_data_files('lake', delete_threshold => 0.0)")
        # what the past names goes with it, but only the files that hold what is forgotten: others are in their grace
        expire(con)
        found, unreadable = _sorted_out(lake, mentions)
        with plainly(lake):
            named = _named(con)  # one that was committed since the rows went: whoever asks again gets that, too
            held = [uri for uri in (*unreadable, *found) if uri.rpartition("/")[2] not in named]
            _let_go(con, held)
            _scrub(con, [*mentions.ids, *mentions.uris, *mentions.spelled])
        return held


def _freeze_anew(lake: Lake) -> int:
    """Publish the catalog as it is now in the place of those that were published before. Returns how many went."""
    if not frozen_catalogs(lake.uri, lake.store):
        return 0
    newest = publish(lake)
    there = [one.uri for one in frozen_catalogs(lake.uri, lake.store)]
    older = there[: there.index(newest)] if newest in there else there  # younger ones are another's, made since
    for uri in older:
        lake.store.delete(uri)
    return len(older)


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


def _remove(lake: Lake, files: Iterable[str]) -> None:
    for uri in files:
        lake.store.delete(uri)
