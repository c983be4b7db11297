"""The cookbook over a large archive, over bare Parquet: as it was backfilled, after small commits, after upkeep."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import duckdb
import pyarrow as pa

from pipeline.lake import writer
from pipeline.lake.catalog import Lake, open_lake
from pipeline.lake.connection import open_duckdb
from pipeline.steps.query import queries
from pipeline.store import open_store
from tests.benchmark import lake_rows
from tests.benchmark.lake_films import FRAMES, LABELS, film, planned
from tests.benchmark.lake_upkeep import upkeep
from tests.benchmark.table import Figure, say

COMMITS = 10_000
"""At scale 1."""

ROUNDS_S, MOST_ROUNDS = 20.0, 5
"""Rounds of a query: at least one, then until these seconds are over or there were so many."""

SAME_ROWS = 1000
MEMORY = "12GB"
"""`storyboard` of a million media runs out of 8."""

States = dict[str, dict[str, tuple[float, float]]]


def run(folder: Path, scale: float, commits: int | None) -> list[Figure]:
    uri, media = str(folder / "lake"), round(lake_rows.MEDIA * scale)
    commits = round(COMMITS * scale) if commits is None else commits
    folder.mkdir(parents=True)
    with closing(open_lake(uri, open_store(uri), catalog=None, create=True, read_only=False)) as lake:
        with lake.on_all_cores():
            lake_rows.fill(lake, media)
    found: States = {"as backfilled": _compare(uri, folder / "bare-0")}
    kept = []
    if commits:
        with closing(open_lake(uri, open_store(uri), catalog=None, read_only=False)) as lake:
            each_s = _commit_small(lake, commits, media)
        found[f"after {commits:,} commits of one film each"] = _compare(uri, folder / "bare-1")
        kept = [Figure(f"Each of those {commits:,} commits", f"{each_s * 1000:.0f} ms"), *upkeep(Path(uri))]
        found["after `maintain`"] = _compare(uri, folder / "bare-1")
    return [*_figures(found, media), *kept]


def _figures(found: States, media: int) -> Iterator[Figure]:
    """A line a query, with all states: the first says what it is about."""
    rows = f"{media:,} media, {media * FRAMES:,} timestamps, {media * FRAMES * LABELS:,} labels"
    what = f" of {rows}: through the views, over bare Parquet of the same rows, {'; '.join(found)}"
    for name in next(iter(found.values())):
        times = [state[name] for state in found.values()]
        value = "; ".join(f"{lake_s:.2f} s ÷ {bare_s:.2f} s = {lake_s / bare_s:.1f}" for lake_s, bare_s in times)
        yield Figure(f"`{name}`{what}", value, "each ≤ 2")
        what = ""


def _commit_small(lake: Lake, commits: int, media: int) -> float:
    """Commit films one by one, each somewhere among the others. Returns seconds of one."""
    say(f"  {commits:,} small commits")
    folders, began = media // 1000, time.perf_counter()
    for number in range(commits):
        name = f"2026/{number * 7919 % folders:04}/{number:08}-new.mp4"
        looks = [film(name, number, run_id="run-2", batch_id=f"{number:06}")]
        writer.commit_batch(lake, "run-2", looks[0].batch_id, looks, planned=planned(looks))
    return (time.perf_counter() - began) / commits


def _compare(uri: str, bare: Path) -> dict[str, tuple[float, float]]:
    """Query → median seconds through the views, and over bare files with the same rows, which are made if need be."""
    with closing(open_lake(uri, open_store(uri), catalog=None)) as lake, closing(open_duckdb()) as plain:
        for con in (lake.con, plain):
            con.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{Path(uri).parent / 'spilled'}'")
        if not bare.exists():
            say("  bare Parquet of the same rows")
            lake_rows.write_bare(lake.con, bare)
        lake_rows.see_bare(plain, bare)
        return {name: _times(name, query, lake.con, plain) for name, query in _asked(plain).items()}


def _asked(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The cookbook, and two questions that only a few rows answer."""
    (uri,) = con.execute("SELECT uri FROM media ORDER BY hash(uri) LIMIT 1").fetchone() or ("",)
    return {
        **queries(),
        "SELECT … FROM timestamps WHERE uri = …": f"SELECT timecode, caption FROM timestamps WHERE uri = '{uri}' "
        "ORDER BY timestamp_s",
        "SELECT … FROM tags WHERE label = …": "SELECT uri, timestamp_s, score FROM tags WHERE label = 'label997' "
        "ORDER BY score DESC, uri, timestamp_s LIMIT 20",
    }


def _times(
    name: str, query: str, lake: duckdb.DuckDBPyConnection, bare: duckdb.DuckDBPyConnection
) -> tuple[float, float]:
    """In turn. Raises RuntimeError where the answers differ."""
    times: tuple[list[float], list[float]] = ([], [])
    began = time.perf_counter()
    while not times[0] or (len(times[0]) < MOST_ROUNDS and time.perf_counter() - began < ROUNDS_S):
        answers = [_answer(con, query, spent) for con, spent in zip((lake, bare), times, strict=True)]
        if answers[0] != answers[1]:
            raise RuntimeError(f"{name}: the lake says {answers[0]!s:.200}, bare Parquet {answers[1]!s:.200}")
    lake_s, bare_s = median(times[0]), median(times[1])
    say(f"    {name}: {lake_s:.3f} s ÷ {bare_s:.3f} s = {lake_s / bare_s:.2f} ({len(times[0])} rounds)")
    return lake_s, bare_s


def _answer(con: duckdb.DuckDBPyConnection, query: str, spent: list[float]) -> tuple[int, list[dict[str, object]]]:
    """How many rows, and the first of them; its seconds go to `spent`. Nothing is kept of the others."""
    began = time.perf_counter()
    count, first = 0, pa.table({})
    for batch in con.execute(query).to_arrow_reader():
        first = first if count else pa.Table.from_batches([batch])
        count += batch.num_rows
    spent.append(time.perf_counter() - began)
    return count, first.slice(0, SAME_ROWS).to_pylist()
