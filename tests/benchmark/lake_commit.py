"""What the commit of a batch takes, over the same taggings written by pyarrow as Parquet that nobody keeps count of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.lake import writer
from pipeline.lake.catalog import open_lake
from pipeline.lake.tables import TABLES
from pipeline.model import MediaTags
from pipeline.store import open_store
from tests.benchmark.lake_films import FRAMES, LABELS, film, planned
from tests.benchmark.table import Figure, say
from tests.servers.postgres import postgres_server

MEDIA, ROUNDS, WARM = 500, 9, 2

T = TypeVar("T")


def run(folder: Path) -> list[Figure]:
    return [_figure(folder, kind) for kind in ("SQLite", "Postgres")]


def _figure(folder: Path, kind: str) -> Figure:
    uri = str(folder / f"lake-{kind}")
    times = []
    with (
        _catalog(kind) as catalog,
        closing(open_lake(uri, open_store(uri), catalog=catalog, create=True, read_only=False)) as lake,
    ):
        for number in range(WARM + ROUNDS):
            batch = f"{number:06}"
            looks = [film(f"{batch}/{n:03}.mp4", n, run_id="run", batch_id=batch) for n in range(MEDIA)]
            committed, _ = _timed(lambda: writer.commit_batch(lake, "run", batch, looks, planned=planned(looks)))  # noqa: B023
            times.append((committed, *_write_bare(looks, folder / f"bare-{kind}" / batch)))
    commit, rows, arrow, files = (median(column[WARM:]) for column in zip(*times, strict=True))
    bare = rows + arrow + files
    say(f"  {kind}: {commit:.3f} s; {rows:.3f} + {arrow:.3f} + {files:.3f} = {bare:.3f} s")
    return Figure(
        f"Commit of a batch ({MEDIA} media, {MEDIA * FRAMES:,} timestamps, {MEDIA * FRAMES * LABELS:,} labels), "
        f"catalog in {kind}, over the same taggings written as bare Parquet by pyarrow, medians of {ROUNDS} in turn; "
        "of the latter: rows, Arrow, files",
        f"{commit:.2f} s ÷ {bare:.2f} s = {commit / bare:.1f}; {rows:.2f} s, {arrow:.2f} s, {files:.2f} s",
        "≤ 3",
    )


@contextmanager
def _catalog(kind: str) -> Iterator[str | None]:
    """SHOTLOG_CATALOG."""
    if kind == "SQLite":
        yield None
        return
    with postgres_server() as server:
        yield server.url


def _write_bare(looks: list[MediaTags], folder: Path) -> tuple[float, float, float]:
    """Seconds that it takes to make rows of them, Arrow tables of those, and files of these, one a table."""
    folder.mkdir(parents=True)
    in_rows, rows = _timed(lambda: writer._rows(looks))
    filled = {name: records for name, records in rows.items() if records}
    in_arrow, tables = _timed(
        lambda: {name: pa.Table.from_pylist(records, schema=TABLES[name]) for name, records in filled.items()}
    )
    in_files, _ = _timed(lambda: [pq.write_table(table, folder / f"{name}.parquet") for name, table in tables.items()])
    return in_rows, in_arrow, in_files


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made
