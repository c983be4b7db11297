"""Tells a webhook endpoint how a run of tag_media ended, until it has heard: 20 tries, from seconds to a day apart.

A DAG of its own, so that an endpoint that is down doesn't hold up the next run.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from pipeline.form import asked, form

PARAMS = {name: Param(None, **form()[name]) for name in ("lake", "webhook")}


@task(retries=19, retry_delay=timedelta(seconds=5), retry_exponential_backoff=2, max_retry_delay=timedelta(days=1))
def tell(params: dict[str, Any] | None = None) -> None:
    from pipeline.steps import notify

    told = asked(params)
    notify.tell({name: told[name] for name in PARAMS if name in told}, told["run"])


@dag(
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=1000,  # each may take days, and holds up no other
    params={**PARAMS, "run": Param(type="string", description="what Airflow calls the run")},
    doc_md=__doc__,
)
def tell_webhook() -> None:
    tell()


tell_webhook()
