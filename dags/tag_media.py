"""Tags what is new or changed: list → plan → tag each batch, in the pool its tagger wants → publish → tell a webhook.

A failed batch fails the run, not the others: clear its task, or leave it to the next run. Empty: as the settings say.
"""

from __future__ import annotations

from typing import Any

from airflow.configuration import conf
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from pipeline.form import asked, form
from pipeline.settings import POOLS, load_settings

LAKE = Asset("shotlog_lake")  # updated by every run that is finished: schedule on it what reads the lake
FORM = {name: Param(None, **how) for name, how in form().items()}
HOW = {"max_active_runs": 1, "params": FORM, "default_args": {"retries": 2}, "doc_md": __doc__}


@task
def list_media(params: dict[str, Any] | None = None, run_id: str | None = None) -> str:
    from pipeline.steps import forecast, listing

    if told := forecast.if_dry_run(asked(params)):
        raise AirflowSkipException(told)
    return listing.list_media(asked(params), run_name=run_id)["run_id"]


@task
def plan_batches(lake_run: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    from pipeline.steps import plan

    return plan.plan_batches(asked(params), lake_run, conf.getint("core", "max_map_length"))


@task
def batches_for(pool: str, planned: dict[str, Any]) -> list[dict[str, str]]:
    return planned["tasks"] if planned["pool"] == pool else []


@task(map_index_template="{{ task.op_kwargs['batch']['label'] }}")
def tag_batch(lake_run: str, batch: dict[str, str], params: dict[str, Any] | None = None) -> dict[str, int]:
    from pipeline.steps import tag

    return tag.tag_batch(asked(params), lake_run, batch["batch_id"])


@task(outlets=[LAKE], retries=0)
def publish_run(lake_run: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    from pipeline.steps import publish

    return publish.publish_run(asked(params), lake_run)


def if_asked(context: Any) -> None:
    told = load_settings(**asked(context["params"]))
    if told.callers_urls or told.dry_run or not told.webhook:  # the HTTP API tells of its jobs itself
        raise AirflowSkipException("nobody is to be told: the parameter webhook names who is")


@dag(schedule=load_settings().timetable, **HOW)
def tag_media() -> None:
    lake_run = list_media()
    planned = plan_batches(lake_run)
    # a teardown runs though batches failed or there were none; it fails where one is missing, and the run with it
    published = publish_run(lake_run).as_teardown(setups=planned, on_failure_fail_dagrun=True)
    for pool in POOLS:  # a model that fills a GPU isn't loaded twice on it
        batches = batches_for.override(task_id=f"batches_for_{pool}")(pool, planned)
        look = tag_batch.override(task_id=f"tag_batch_in_{pool}", pool=pool)
        look.partial(lake_run=lake_run).expand(batch=batches) >> published
    what = {"run": "{{ run_id }}", "lake": "{{ params.lake or '' }}", "webhook": "{{ params.webhook or '' }}"}
    tell = TriggerDagRunOperator(task_id="tell", trigger_dag_id="tell_webhook", conf=what, pre_execute=if_asked)
    published >> tell.as_teardown()  # one too, so that a run that failed is told of, and stays failed


tag_media()
