"""Tags what an archive holds already, of any size, beside the hourly runs: list → plan a piece → tag its batches → the
next piece, a run of its own.

Pause the DAG, or clear what failed, at any time: done work is in the lake. `shotlog backfill --cancel RUN` ends one for
good, `shotlog runs` says how far it is. A parameter left empty means what the settings say (README).
"""

from __future__ import annotations

from typing import Any

from airflow.configuration import conf as config
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from pipeline.form import asked, form
from pipeline.settings import BACKFILL_POOL

LAKE = Asset("shotlog_lake")
FORM = {name: Param(None, **how) for name, how in form().items() if name != "callers_urls"}
CHAIN = {"run": Param(None, type=["null", "string"]), "piece": Param(None, type=["null", "integer"])}  # that goes on
HOW = {"schedule": None, "max_active_runs": 100, "default_args": {"retries": 2}, "doc_md": __doc__}
LAST = {"priority_weight": 1, "weight_rule": "absolute"}  # tasks of hourly runs weigh more, as others follow them


def request(params: Any) -> dict[str, Any]:
    return asked({name: params[name] for name in FORM})


@task
def list_media(params: dict[str, Any] | None = None, run_id: str | None = None) -> str:
    from pipeline.steps import backfill

    if told := backfill.if_dry_run(request(params), params["run"]):
        raise AirflowSkipException(told)
    return backfill.begin(request(params), run_id, params["run"])


@task
def plan_piece(lake_run: str, params: dict[str, Any] | None = None) -> list[dict[str, str]]:
    from pipeline.steps import backfill

    return backfill.plan(request(params), lake_run, params["piece"], config.getint("core", "max_map_length"))["tasks"]


@task(map_index_template="{{ task.op_kwargs['batch']['label'] }}", pool=BACKFILL_POOL, **LAST)
def tag_batch(lake_run: str, batch: dict[str, str], params: dict[str, Any] | None = None) -> dict[str, int]:
    from pipeline.steps import backfill

    return backfill.tag_batch(request(params), lake_run, batch["batch_id"])


@task.branch(outlets=[LAKE], trigger_rule="none_failed_min_one_success")
def end_piece(lake_run: str, params: dict[str, Any] | None = None, ti: Any = None) -> list[str]:
    from pipeline.steps import backfill

    if following := backfill.end_piece(request(params), lake_run):
        ti.xcom_push("following", {**params, "run": lake_run, "piece": following})
        return ["follow"]
    ti.xcom_push("webhook", webhook := backfill.as_begun(request(params), lake_run).get("webhook"))
    return ["tell"] if webhook else []


@dag(params={**FORM, **CHAIN}, **HOW)
def backfill_media() -> None:
    lake_run = list_media()
    looked = tag_batch.partial(lake_run=lake_run).expand(batch=plan_piece(lake_run))
    conf = "{{ ti.xcom_pull(task_ids='end_piece', key='following') | tojson }}"
    name = f"{lake_run}-piece-{{{{ ti.xcom_pull(task_ids='end_piece', key='following')['piece'] }}}}"
    same = {"trigger_run_id": name, "skip_when_already_exists": True}
    webhook = "{{ ti.xcom_pull(task_ids='end_piece', key='webhook') }}"
    tell = {"run": lake_run, "lake": "{{ params.lake or '' }}", "webhook": webhook}
    follow_it = TriggerDagRunOperator(task_id="follow", trigger_dag_id="backfill_media", conf=conf, **same)
    tell_it = TriggerDagRunOperator(task_id="tell", trigger_dag_id="tell_webhook", conf=tell)
    looked >> end_piece(lake_run) >> [follow_it, tell_it]


backfill_media()
