"""`shotlog maintain` over a lake of small files, while two readers ask on: one connection stays, the other is new."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from pipeline.lake.catalog import Lake, open_lake
from pipeline.steps.query import queries
from pipeline.store import open_store
from tests.benchmark.command import SHOTLOG, timed
from tests.benchmark.memory import Peak
from tests.benchmark.table import Figure, say

ASKED = (
    *(queries()[name] for name in ("archive", "what_failed")),
    "SELECT count(*), count(DISTINCT tagging_id) FROM timestamps",
    "SELECT count(*), min(uri), max(uri) FROM tags WHERE label = 'label1'",
)


def upkeep(lake: Path) -> list[Figure]:
    """Raises RuntimeError where a reader got another answer than before."""
    with closing(_opened(lake)) as before:
        files, truth = _files(before), _ask(before.con)
    say(f"  maintain over {files:,} files")
    over, peak = threading.Event(), Peak()
    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(_ask_on, lake, over, truth, stays) for stays in (True, False)]
        try:
            done = timed([str(SHOTLOG), "maintain", "--lake", str(lake)], lake.parent, watch=peak.watch)
        finally:
            over.set()
        rounds = sum(one.result() for one in reading)
    with closing(_opened(lake)) as after:
        left = _files(after)
    return [
        Figure(
            f"`shotlog maintain` over {files:,} files of {len(_tables(lake))} tables, two readers beside it; its peak "
            "memory (proportional set size); files that are left",
            f"{done.seconds:.0f} s; {peak.bytes / (1 << 20):,.0f} MB; {left:,}",
        ),
        Figure("Answers that the readers got meanwhile; the wrong ones", f"{rounds * len(ASKED):,}; 0", "0 wrong"),
    ]


def _ask_on(lake: Path, over: threading.Event, truth: list[Any], stays: bool) -> int:
    """How often all was asked: at least once."""
    rounds = 0
    with closing(_opened(lake)) as mine:
        while not rounds or not over.is_set():
            if stays:
                found = _ask(mine.con)
            else:
                with closing(_opened(lake)) as new:
                    found = _ask(new.con)
            if found != truth:
                raise RuntimeError(f"while maintain ran, a reader saw {found!s:.500}, not {truth!s:.500}")
            rounds += 1
    return rounds


def _ask(con: duckdb.DuckDBPyConnection) -> list[Any]:
    return [con.execute(query).fetchall() for query in ASKED]


def _opened(lake: Path) -> Lake:
    return open_lake(str(lake), open_store(str(lake)), catalog=None)


def _files(lake: Lake) -> int:
    """Those that the catalog names: what was let go stays for a day."""
    query = "SELECT sum(file_count + delete_file_count) FROM ducklake_table_info('lake')"
    (count,) = lake.con.execute(query).fetchone() or (0,)
    return int(count)


def _tables(lake: Path) -> list[Path]:
    return [folder for folder in (lake / "data" / "log").iterdir() if any(folder.iterdir())]
