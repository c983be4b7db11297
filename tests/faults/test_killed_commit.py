"""SIGKILL of the process that commits, before every statement of the commit and within the last: all or nothing."""

import random
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from pipeline.lake import writer
from tests.faults.children import KILLED, die, run_in_child
from tests.faults.invariants import check_whole, odd, opened, read_throughout
from tests.unit.lake.made import OTHER_RECIPE, media, tagging


class Counting:
    """A connection that kills its process before its n-th statement, or so long after the COMMIT was begun."""

    def __init__(self, con, die_before=None, after_s=None):
        self._con, self._die_before, self._after_s = con, die_before, after_s
        self.count = 0

    def execute(self, statement, *arguments):
        self.count += 1
        if self.count == self._die_before:
            die()
        if statement == "COMMIT" and self._after_s is not None:
            threading.Timer(self._after_s, die).start()
        return self._con.execute(statement, *arguments)

    def __getattr__(self, name):
        return getattr(self._con, name)


def looks(batch):
    """A new object, one that was looked at before, and a copy of that."""
    seen = tagging(media("seen.mp4"), batch_id=batch, recipe=OTHER_RECIPE)
    new = tagging(media(f"{batch}.mp4"), batch_id=batch)
    return [seen, new, replace(new.for_copy(media(f"copy-{batch}.mp4")), inherited_from="first")]


def commit(lake, catalog, batch, die_before=None, after_s=None):
    with closing(opened(lake, catalog, read_only=False)) as mine:
        con = Counting(mine.con, die_before, after_s)
        done = writer.commit_batch(replace(mine, con=con), "run-1", batch, looks(batch))
        if die_before or after_s is not None:
            die()
        return done, con.count


@pytest.mark.timeout(900)  # with --all, beside other tests
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_before_any_statement_of_a_commit_or_within_it(kind, request, tmp_path):
    chance, everything = random.Random(kind), request.config.getoption("--all")
    catalog = request.getfixturevalue("postgres").url if kind == "postgres" else None
    lake = str(tmp_path / "lake")
    with closing(opened(lake, catalog, create=True, read_only=False)) as mine:
        first = replace(tagging(media("seen.mp4"), batch_id="first"), tagging_id="first")
        writer.commit_batch(mine, "run-1", "first", [first])
    _, statements = commit(lake, catalog, "counted")
    assert statements > 20
    before = range(1, statements + 2)  # the last one: after the COMMIT
    moments = [{"die_before": number} for number in (before if everything else chance.sample(before, 3))]
    moments += [{"after_s": chance.uniform(0, 0.1)} for _ in range(60 if everything else 3)]
    with read_throughout(lake, catalog) as seen:
        for number, moment in enumerate(moments):
            batch = f"batch-{number}"
            assert run_in_child(commit, lake, catalog, batch, *map(moment.get, ("die_before", "after_s"))) == KILLED
            with closing(opened(lake, catalog)) as after:
                assert odd(after) == {}
            commit(lake, catalog, batch)
    assert seen
    names = ["counted", *(f"batch-{number}" for number in range(len(moments)))]
    uris = {f"/archive/{name}.mp4" for batch in names for name in (batch, f"copy-{batch}")}
    check_whole(lake, {"/archive/seen.mp4", *uris}, catalog=catalog)
