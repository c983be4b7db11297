"""Images that were answered at once, on their way into the lake: ahead into the journal, then many in one commit."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Self

from pipeline.errors import StoreError
from pipeline.lake import writer
from pipeline.lake.catalog import Lake
from pipeline.lake.journal import Entry, Journal
from pipeline.model import MediaTags
from pipeline.recipe import Recipe
from pipeline.steps.leftovers import clear_work
from pipeline.steps.listing import begin_run, make_run_id
from pipeline.steps.service import Service
from pipeline.steps.spool import Spool

_log = logging.getLogger("shotlog.api")

EVERY_S = 3.0
"""How often what has come is committed."""


class Recorder:
    """The server's own run, of kind `serve`. Use it in a with statement; `record` suits many threads.

    Entered, it commits what a server that died has left in its journal.
    """

    def __init__(self, service: Service, spool: Spool) -> None:
        self._service, self._spool = service, spool
        self.run_id = f"serve-{make_run_id(None)}"
        self._waiting: list[MediaTags] = []
        self._known: set[str] = set()
        self._batches = 0
        self._lock, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def __enter__(self) -> Self:
        lake = self._service.lake()
        take_over_images(lake, self._spool)
        self._spool.begin_run(self.run_id)
        begin_run(self._service.work, lake, self.run_id, kind="serve")
        self._journal = Journal(lake, self.run_id)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def record(self, tagging: MediaTags, recipe: Recipe) -> None:
        """Returns once the tagging can't be lost. Raises StoreError where the journal can't be written."""
        self._tell(recipe)
        # by the tagging's own id: the same image may be looked at twice before either is committed
        self._journal.keep(Entry(tagging.tagging_id, tagging.object.etag, recipe.recipe_id, tagging.frames, tagging))
        with self._lock:
            self._waiting.append(tagging)

    def waiting(self) -> int:
        """How many are not in the lake yet."""
        return len(self._waiting)

    def _tell(self, recipe: Recipe) -> None:
        """Write a recipe into the lake before anything made by it."""
        with self._lock:
            if recipe.recipe_id not in self._known:
                self._service.lake().transaction(lambda con: writer.know_recipe(con, recipe))
                self._known.add(recipe.recipe_id)

    def _run(self) -> None:
        lake = self._service.lake()
        while not self._over.wait(EVERY_S):
            self._try_to_commit(lake)
        self._try_to_commit(lake)
        if not self._waiting:
            writer.record_event(lake, self.run_id, "finished")
            clear_work(lake, self.run_id)
            self._spool.end_run(self.run_id)

    def _try_to_commit(self, lake: Lake) -> None:
        with self._lock:
            taggings, self._waiting = self._waiting, []
        if not taggings:
            return
        try:
            self._commit(lake, taggings)
        except Exception as error:  # the journal has them: the next turn tries again
            _log.error("%d images aren't in the lake yet: %s", len(taggings), error)
            with self._lock:
                self._waiting = taggings + self._waiting

    def _commit(self, lake: Lake, taggings: list[MediaTags]) -> None:
        batch_id = f"{self._batches:06}"
        with lake.at_work("jobs", alone=False):
            kept = self._journal.kept()  # what isn't there any more was forgotten while it waited
            left = [replace(each, batch_id=batch_id) for each in taggings if each.tagging_id in kept]
            if left:
                writer.commit_batch(lake, self.run_id, batch_id, left)
        self._batches += 1
        for tagging in taggings:
            with suppress(StoreError):  # who takes it over sees that the lake has it
                self._journal.drop(tagging.tagging_id)


def take_over_images(lake: Lake, spool: Spool) -> None:
    """Commit what servers that died had answered."""
    for run_id in spool.former_runs():
        with lake.at_work("jobs", alone=False):
            _take_over(lake, run_id)
        spool.end_run(run_id)


def _take_over(lake: Lake, run_id: str) -> None:
    """Commit what a server that died answered and didn't commit, each tagging once."""
    finished = [entry.finished for entry in Journal(lake, run_id).entries() if entry.finished]
    query = "SELECT tagging_id FROM log.taggings WHERE run_id = ?"
    there = {row[0] for row in lake.transaction(lambda con: con.execute(query, [run_id]).fetchall())}
    left = [replace(tagging, batch_id="left") for tagging in finished if tagging.tagging_id not in there]
    if left:
        writer.commit_batch(lake, run_id, "left", left)
    writer.record_event(lake, run_id, "died")
    clear_work(lake, run_id)
