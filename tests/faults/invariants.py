"""What holds of a lake whatever befell it: asked while a fault goes on, and once the next run has completed.

One statement sees one state of the lake, so a reader that meets half of anything sees a number that isn't 0.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.lake.catalog import Lake, open_lake, plainly
from pipeline.lake.inherit import DETAILS
from pipeline.lake.maintenance import maintain
from pipeline.lake.patience import patiently
from pipeline.lake.retention import Retention
from pipeline.store import open_store

NO_GRACE = timedelta(minutes=-1)
"""As though all were past their grace."""

PAUSE = 3
"""Times as long as a question took a reader waits before the next: it isn't to take the time of what it watches."""

_ODD = {
    "media shown twice": "SELECT count(*) - count(DISTINCT media_id) FROM media",
    "media that have failed twice": "SELECT count(*) - count(DISTINCT media_id) FROM failures",
    "taggings committed twice": "SELECT count(*) - count(DISTINCT tagging_id) FROM log.taggings",
    "batches committed twice": "SELECT count(*) - count(DISTINCT (run_id, batch)) FROM log.batches",
    "taggings without all of their frames": """
        SELECT count(*)
        FROM log.taggings
        LEFT JOIN (SELECT tagging_id, count(*) AS found FROM log.timestamps GROUP BY tagging_id) USING (tagging_id)
        WHERE frames <> coalesce(found, 0)
    """,
    "batches without all of their media": """
        SELECT count(*)
        FROM log.batches
        LEFT JOIN (
            SELECT run_id, batch, count(*) AS found FROM log.taggings GROUP BY run_id, batch
        ) AS taggings USING (run_id, batch)
        WHERE media <> coalesce(found, 0)
    """,
    **{
        f"{name} without their tagging": f"SELECT count(*) FROM log.{name} ANTI JOIN log.taggings USING (tagging_id)"
        for name in (*DETAILS, "hidden")
        if name != "taggings"
    },
}
ODD = "SELECT " + ", ".join(f'({query}) AS "{what}"' for what, query in _ODD.items())


def opened(lake: Any, catalog: str | None = None, **options: Any) -> Lake:
    """catalog: SHOTLOG_CATALOG."""
    return open_lake(str(lake), open_store(str(lake)), catalog=catalog, **options)


@patiently
def odd(lake: Lake) -> dict[str, int]:
    """What is wrong, and how much of it."""
    found = lake.con.execute(ODD).fetchone()
    return {what: count for what, count in zip(_ODD, found, strict=True) if count}


@contextmanager
def read_throughout(lake: Any, catalog: str | None = None, *, may_meet: str = "(?!)") -> Iterator[list[int]]:
    """A reader asks the lake, again and again, whether anything is half there: if so, the test fails at the end.

    Gives the numbers of media that it saw. may_meet: a pattern of errors after which the reader comes back.
    """
    over, seen, wrong, trouble = threading.Event(), [], [], []

    def ask_on(reader: Lake) -> None:
        took_s = 0.1
        while not over.wait(PAUSE * took_s):
            began = time.monotonic()
            wrong.extend([found] if (found := odd(reader)) else [])
            seen.append(patiently(reader.con.execute)("SELECT count(*) FROM media").fetchone()[0])
            took_s = time.monotonic() - began

    def read_on() -> None:
        while not (over.is_set() or trouble):
            try:
                with closing(opened(lake, catalog)) as reader:
                    ask_on(reader)
            except Exception as error:
                if not re.search(may_meet, str(error)):
                    trouble.append(error)

    reader = threading.Thread(target=read_on, daemon=True)
    reader.start()
    try:
        yield seen
    finally:
        over.set()
        reader.join(60)
    assert not reader.is_alive(), "the reader never came to an end"
    assert (trouble, wrong) == ([], [])


def check_whole(lake: Any, good: set[str], failed: set[str] = frozenset(), *, catalog: str | None = None) -> None:
    """Once a run has completed: these URIs are shown, each once, those have failed; upkeep leaves no file that
    nothing needs, but those that it knows to be let go and a frozen catalog may still name."""
    with closing(opened(lake, catalog, read_only=False)) as mine:
        assert odd(mine) == {}
        shown = mine.con.execute("SELECT uri, frames > 0 FROM media ORDER BY uri").fetchall()
        assert shown == [(uri, True) for uri in sorted(good)]
        assert {uri for (uri,) in mine.con.execute("SELECT uri FROM failures").fetchall()} == set(failed)
        assert mine.con.execute("SELECT count(*) FROM runs WHERE state = 'running'").fetchone() == (0,)
        assert list(mine.store.names(mine.work_uri(""))) == []
        before = everything(mine)
        maintain(mine, retention=Retention(), grace=NO_GRACE, dry_run=False, watch=lambda _: None)
        assert odd(mine) == {}
        assert everything(mine) == before
        assert stored(mine) - named(mine, "ducklake_files_scheduled_for_deletion") == needed(mine)


def check_frozen(lake: Any, catalog: str, *, elsewhere: str) -> None:
    """Once a run has completed: who doesn't have the catalog sees by the newest frozen one what the lake shows.

    elsewhere: where a catalog would lie on another machine.
    """
    with closing(opened(lake, catalog)) as mine, closing(opened(lake, elsewhere)) as theirs:
        assert theirs.catalog.kind == "frozen"
        for view in ("media", "failures", "timestamps"):
            shown = f"SELECT * FROM {view} ORDER BY ALL"
            assert theirs.con.execute(shown).fetchall() == mine.con.execute(shown).fetchall(), view


def everything(lake: Lake) -> list[tuple[Any, ...]]:
    """How many rows each table of media has, and a hash of the rows."""
    return [
        lake.con.execute(f"SELECT '{name}', count(*), sum(hash({name})::HUGEINT) FROM log.{name}").fetchone()
        for name in DETAILS
    ]


def stored(lake: Lake) -> set[str]:
    """Names of the data files that are there."""
    return {Path(uri).name for uri in lake.store.names(f"{lake.uri}/data")}


def needed(lake: Lake) -> set[str]:
    """Names of the data files that the catalog needs."""
    return named(lake, "ducklake_data_file", "ducklake_delete_file")


def named(lake: Lake, *tables: str) -> set[str]:
    """Names of the files in these tables of the catalog."""
    with plainly(lake):
        query = " UNION ALL ".join(f"SELECT parse_filename(path) FROM plain.{table}" for table in tables)
        return {name for (name,) in lake.con.execute(query).fetchall()}
