"""Step 1 of a run: list the sources into a Parquet folder beside the lake, page by page."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.model import MediaObject
from pipeline.planning.listing import LISTING, kind_of
from pipeline.steps.inventory import inventoried_sources, inventory_files, keep_how_old
from pipeline.steps.refusals import Refusals
from pipeline.steps.spending import budget_of
from pipeline.steps.workplace import Workplace, shown
from pipeline.store import scheme_of

PART_ROWS = 50_000
"""Rows of one listing file: what is in memory at once."""


def list_media(request: dict[str, Any], run_name: str | None = None) -> dict[str, Any]:
    """List every source of the request; makes the lake where there is none.

    run_name: what the scheduler calls this run; a second call under the same name lists anew. Returns the
    `run_id` of all further steps and how many objects were `listed`, media or not.
    """
    work = Workplace.of(request)
    check_request(work)
    lake = work.lake(create=True, read_only=False)
    run_id = make_run_id(run_name)
    begin_run(work, lake, run_id)
    return {"run_id": run_id, "listed": write_listing(work, lake, run_id)}


def check_request(work: Workplace, *, listed: bool = False) -> None:
    """Raise UsageError for what can't be meant, before anything is made. listed: the sources are, and aren't needed."""
    if not listed:
        check_sources(work)
    budget_of(work)
    if work.settings.webhook:
        from pipeline.steps.notify import check_endpoint  # with the extra `api`

        check_endpoint(work.settings, work.settings.webhook)


def check_sources(work: Workplace) -> None:
    """Raise UsageError where there are none, none for the inventory, or a sample is asked for of nothing."""
    if not work.sources:
        raise UsageError("nothing to tag: give s3://bucket/prefix, a folder, a file or an https URL")
    inventoried_sources(work)
    if work.settings.sample is not None and not (work.settings.retag or "stale" in work.settings.only):
        raise UsageError("sample is a share of what is stale, of nothing else: give --retag or --only stale with it")


def begin_run(
    work: Workplace, lake: Lake, run_id: str, *, kind: str = "tag", asked: dict[str, Any] | None = None
) -> None:
    """Record the run and its recipe, once. kind: tag, backfill, job or serve. asked: what its request holds beyond
    settings."""
    recipe = work.recipe(work.tagger())
    row = {
        "run_id": run_id,
        "kind": kind,
        "sources": work.request()["sources"],
        "recipe_id": recipe.recipe_id,
        "request": json.dumps({**work.request(), **(asked or {})}),
        "started_at": datetime.now(UTC),
    }

    def insert(con: duckdb.DuckDBPyConnection) -> None:
        if not con.execute("FROM log.runs WHERE run_id = ?", [run_id]).fetchone():
            writer.insert(con, {"runs": [row]})
            writer.know_recipe(con, recipe)

    lake.transaction(insert)


def make_run_id(run_name: str | None) -> str:
    """A run id fit for a folder name: the scheduler's own name, or the time and four random digits.

    >>> make_run_id("scheduled__2026-11-24T04:00:00+00:00")
    'scheduled__2026-11-24T04-00-00-00-00'
    """
    if run_name:
        return re.sub(r"[^A-Za-z0-9_-]", "-", run_name)
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:4]}"


def listing_glob(lake: Lake, run_id: str) -> str:
    return lake.work_uri(run_id, "listing", "*.parquet")


def write_listing(work: Workplace, lake: Lake, run_id: str, progress: Callable[[int], None] | None = None) -> int:
    """Stream all sources into listing files; calls `progress` with the count so far.

    Waits for `forget`, and that for it: what it listed before an object was deleted would be written after.
    """
    with lake.at_work("listings", alone=False):
        return _write_listing(work, lake, run_id, progress)


def _write_listing(work: Workplace, lake: Lake, run_id: str, progress: Callable[[int], None] | None) -> int:
    lake.store.clear(lake.work_uri(run_id, "listing"))
    settings, refusals = work.settings, Refusals(lake, run_id)

    def media_of(number: int, source: str) -> Iterable[MediaObject]:
        list_it = work.store(source).list
        return _one_of(source, refusals.heeded(source, number, list_it)) if settings.callers_urls else list_it(source)

    def write(name: str, data: bytes) -> None:
        lake.store.write(lake.work_uri(run_id, "listing", name), data)

    total = write_parts(work, media_of, write, progress)
    keep_how_old(work, lake, run_id)
    if settings.callers_urls:
        refusals.keep()
    return total


_COLUMNS = [field.name for field in fields(MediaObject)]


def write_parts(
    work: Workplace,
    media_of: Callable[[int, str], Iterable[MediaObject]],
    write: Callable[[str, bytes], None],
    progress: Callable[[int], None] | None,
) -> int:
    """Give `write` the listing files, (name, bytes) each, of all sources; `media_of` lists one of them."""
    settings, named, inventoried = work.settings, set(shown(work.sources)), inventoried_sources(work)
    listed = (
        {
            **{name: getattr(media, name) for name in _COLUMNS},
            "kind": kind_of(media, settings.include, settings.exclude, named=media.uri in named),
        }
        for number, source in enumerate(work.sources)
        if source not in inventoried
        for media in _outside(media_of(number, source), work.lake_uri)
    )
    part = total = 0
    for data, rows in chain(inventory_files(work), _parts(listed)):
        if rows or not part:  # an empty listing is a listing too
            write(f"{part:06}.parquet", data)
            part, total = part + 1, total + rows
        if progress:
            progress(total)
    return total


def _one_of(source: str, listed: Iterable[MediaObject]) -> Iterable[MediaObject]:
    """Of what S3 lists for a source that names one object that alone, and not those whose names begin with its."""
    is_one = scheme_of(source) == "s3" and not source.endswith("/")
    return (media for media in listed if media.uri == source) if is_one else listed


def _outside(listed: Iterable[MediaObject], lake_uri: str) -> Iterator[MediaObject]:
    """Leave out the lake's own files where it lies inside a source."""
    return (media for media in listed if not media.uri.startswith(f"{lake_uri}/"))


def _parts(rows: Iterator[dict[str, Any]]) -> Iterator[tuple[bytes, int]]:
    """Listing files and how many rows each has; at least one file."""
    part = list(islice(rows, PART_ROWS))
    while True:
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(part, schema=LISTING), buffer)
        yield buffer.getvalue(), len(part)
        if not (part := list(islice(rows, PART_ROWS))):
            return
