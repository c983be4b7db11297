"""Tags what is new or changed in the archive: list → plan → tag each batch → publish.

Where a batch fails, the run fails and the others' work is in the lake; clear the failed tasks, or wait for the next
run, and only what is missing is done. A parameter left empty means what the settings say (README).
"""

from __future__ import annotations

from typing import Any

from airflow.configuration import conf
from airflow.sdk import Asset, Param, dag, task

from pipeline.model import METADATA_KINDS
from pipeline.settings import Settings, load_settings

LAKE = Asset("shotlog_lake")  # updated by every run that is finished: schedule on it what reads the lake
TYPES: dict[str, dict[str, Any]] = {
    "sources": {"type": ["null", "array"], "items": {"type": "string"}},
    "lake": {"type": ["null", "string"]},
    "sampling": {"type": ["null", "string"], "examples": ["uniform", "shots"]},
    "tagger": {"type": ["null", "string"], "examples": ["builtin", "null"]},
    "metadata": {"type": ["null", "array"], "items": {"type": "string"}, "examples": list(METADATA_KINDS)},
    "max_frames": {"type": ["null", "string"], "pattern": "^(all|[1-9][0-9]*)?$"},
    "limit": {"type": ["null", "integer"], "minimum": 1},
    **{name: {"type": ["null", "boolean"]} for name in ("retag", "retry_failed")},
}
PARAMS = {name: Param(None, description=Settings.model_fields[name].description, **how) for name, how in TYPES.items()}


def asked(params: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value not in (None, "", [])}


@task
def list_media(params: dict[str, Any] | None = None, run_id: str | None = None) -> str:
    from pipeline.steps import listing

    return listing.list_media(asked(params), run_name=run_id)["run_id"]


@task
def plan_batches(lake_run: str, params: dict[str, Any] | None = None) -> list[str]:
    from pipeline.steps import plan

    return plan.plan_batches(asked(params), lake_run, conf.getint("core", "max_map_length"))["batches"]


@task(map_index_template="batch {{ task.op_kwargs['batch_id'] }}")
def tag_batch(lake_run: str, batch_id: str, params: dict[str, Any] | None = None) -> dict[str, int]:
    from pipeline.steps import tag

    return tag.tag_batch(asked(params), lake_run, batch_id)


@task(outlets=[LAKE], retries=0)
def publish_run(lake_run: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    from pipeline.steps import publish

    return publish.publish_run(asked(params), lake_run)


@dag(
    schedule=None if (schedule := load_settings().schedule) == "none" else schedule,
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    default_args={"retries": 2},  # after [core] default_task_retry_delay
    doc_md=__doc__,
)
def tag_media() -> None:
    lake_run = list_media()
    batch_ids = plan_batches(lake_run)
    tagged = tag_batch.partial(lake_run=lake_run).expand(batch_id=batch_ids)
    # a teardown runs though batches failed or there were none; it fails where one is missing, and the run with it
    tagged >> publish_run(lake_run).as_teardown(setups=batch_ids, on_failure_fail_dagrun=True)


tag_media()
