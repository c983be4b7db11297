"""Keeps a lake fast and small: merges small files, applies retention, removes what nothing needs any more.

Safe while media are tagged and queries run. A parameter left empty means what the settings say (README).
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from pipeline.form import asked, form
from pipeline.settings import load_settings

KEPT = ("keep_superseded_days", "keep_gone_days", "keep_thumbnails_days", "grace_hours")
FORM = {name: Param(None, **how) for name, how in form("lake", "dry_run", *KEPT).items()}


@task
def maintain(params: dict[str, Any] | None = None) -> dict[str, int]:
    from pipeline.steps import maintain as step

    return step.maintain(asked(params), print)


@dag(
    schedule=load_settings().maintain_timetable,
    catchup=False,
    max_active_runs=1,
    params=FORM,
    default_args={"retries": 2},
    doc_md=__doc__,
)
def maintain_lake() -> None:
    maintain()


maintain_lake()
