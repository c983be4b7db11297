"""Follows a run of tag_media from its start to its end: how many media of how many are in the lake."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.airflow import Airflow
from demo.services import ServiceError
from pipeline import connect
from pipeline.errors import LakeError
from pipeline.steps.listing import make_run_id

POLL_S = 1.0
DAG = "tag_media"


def run_to_end(flow: Airflow, lake: Path, conf: dict[str, Any]) -> dict[str, Any]:
    """Trigger tag_media and wait; returns the run's row of the view `runs`.

    Raises ServiceError where the run failed: which tasks, and where their logs are.
    """
    airflow_run = flow.trigger(DAG, conf)
    run_id, seen = make_run_id(airflow_run), _Lake(lake)
    with _Bar() as bar:
        while (state := flow.state(DAG, airflow_run)) in ("queued", "running"):
            bar.show(seen.run(run_id))
            time.sleep(POLL_S)
        run = seen.run(run_id)
        bar.show(run)
    if state != "success":
        raise ServiceError(
            "\n  ".join([f"the run {airflow_run} ended as {state}", *flow.failed_tasks(DAG, airflow_run)])
        )
    return run


class _Lake:
    """The lake as it grows; opened when it is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._con: duckdb.DuckDBPyConnection | None = None

    def run(self, run_id: str) -> dict[str, Any]:
        """The run's row of the view `runs`; empty while there is none, or where a task is just committing."""
        try:
            self._con = self._con or connect(str(self._folder))
            answer = self._con.execute("FROM runs WHERE run_id = ?", [run_id])
            names = [column[0] for column in answer.description or ()]
            return dict(zip(names, answer.fetchone() or (), strict=False))
        except (LakeError, duckdb.Error):
            return {}


class _Bar:
    """A bar on a terminal, a line for every change elsewhere."""

    def __init__(self) -> None:
        console = Console(highlight=False)
        columns = (TextColumn("  tagging"), BarColumn(), MofNCompleteColumn(), TextColumn("media ·"))
        self._plain = not console.is_terminal
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, disable=self._plain, transient=True)
        self._task = self._progress.add_task("tagging", total=None)
        self._said = ""

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def show(self, run: dict[str, Any]) -> None:
        if not run.get("media_planned"):
            return
        done, planned = run["media_done"], run["media_planned"]
        self._progress.update(self._task, completed=done, total=planned)
        said = f"  {done}/{planned} media, {run['frames'] or 0} frames"
        if self._plain and said != self._said:
            print(said, flush=True)
        self._said = said
