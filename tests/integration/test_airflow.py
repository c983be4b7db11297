"""The whole DAG by `dag.test()`: real Airflow, the real S3 server, real media, in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.samples import fill_bucket
from demo.services import S3, plain_environment
from pipeline import connect
from pipeline.steps import backfill, listing, plan
from tests.models.answers import short_answers
from tests.servers.started import ModelServer

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "decord", "pyarrow", "duckdb", "numpy", "av", "cv2"}
LOAD = "import sys; from airflow.dag_processing.dagbag import DagBag; bag = DagBag(); assert not bag.import_errors"
PARSE = f"{LOAD}; print(len(bag.dags), *sorted(sys.modules))"
RUN = f"""{LOAD}
from datetime import datetime
dag, day = bag.dags["tag_media"], datetime.fromisoformat(sys.argv[1])
for task in dag.tasks:
    if task.task_id.startswith("tag_batch"):
        task.partial_kwargs["retries"] = 0  # dag.test() didn't retry within minutes, whatever the delay
run = dag.test(logical_date=day, run_after=day)
looked = [task for task in run.get_task_instances() if task.task_id.startswith("tag_batch") and task.map_index >= 0]
print(run.state, *sorted(set(task.pool for task in looked)))"""
UPKEEP = f"""{LOAD}
run = bag.dags["maintain_lake"].test()
print(run.state, run.get_task_instance("maintain").xcom_pull(task_ids="maintain")["merged_files"])"""
BACKFILL = f"""{LOAD}
import json
run = bag.dags["backfill_media"].test(run_conf=json.loads(sys.argv[1]))
print(run.state, *sorted(f"{{task.task_id}}={{task.state}}" for task in run.get_task_instances()))"""
MONDAY, TUESDAY = "2026-01-05T00:00:00+00:00", "2026-01-06T00:00:00+00:00"


class Scheduler:
    """An Airflow of its own; its tasks find sources, lake and credentials in the environment, as in production."""

    def __init__(self, s3: S3, database: Path, folder: Path, **settings: str) -> None:
        self.lake = folder / "lake"
        self.pools: list[str] = []
        bucket = f"archive-{folder.name.replace('_', '-')}"
        fill_bucket(s3, bucket)
        shotlog = {"SOURCES": f"s3://{bucket}/", "LAKE": str(self.lake), **settings}
        self.env = {**of_airflow(folder / "airflow"), **s3.env}
        self.env |= {f"SHOTLOG_{name}": value for name, value in shotlog.items()}
        (folder / "airflow").mkdir()
        shutil.copy(database, folder / "airflow")

    def python(self, code: str, *arguments: str) -> str:
        """The last line that the code prints."""
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env=self.env, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.splitlines()[-1]

    def run(self, day: str) -> str:
        """Run the DAG as of that day; the same day again is a rerun. Returns the run's state.

        `pools` says afterwards where its batches ran.
        """
        state, *self.pools = self.python(RUN, day).split()
        return state

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with connect(str(self.lake)) as con:
            return con.execute(statement).fetchall()


def of_airflow(home: Path) -> dict[str, str]:
    core = {"DAGS_FOLDER": str(ROOT / "dags"), "LOAD_EXAMPLES": "False"}
    there = {**plain_environment(), "AIRFLOW_HOME": str(home)}
    return there | {f"AIRFLOW__CORE__{name}": value for name, value in core.items()}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty one, as Airflow makes it in some seconds: every test gets a copy."""
    home = tmp_path_factory.mktemp("airflow")
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], env=of_airflow(home), check=True)
    return home / "airflow.db"


@pytest.fixture
def scheduler(s3: S3, database: Path, tmp_path: Path) -> Callable[..., Scheduler]:
    return lambda **settings: Scheduler(s3, database, tmp_path, **settings)


EVERY_MEDIA = (
    "SELECT regexp_extract(uri, '[^/]+$') FROM media UNION ALL SELECT regexp_extract(uri, '[^/]+$') FROM failures"
)
ROWS = "SELECT count(*) FROM log.taggings UNION ALL SELECT count(*) FROM log.timestamps"


def test_parsing_loads_nothing_heavy(scheduler: Callable[..., Scheduler]) -> None:
    dags, *modules = scheduler().python(PARSE).split()
    assert int(dags) == len(list((ROOT / "dags").glob("*.py")))
    assert not HEAVY & set(modules)


def test_dags_stay_thin() -> None:
    for file in (ROOT / "dags").glob("*.py"):
        assert len(file.read_text().splitlines()) < 80, file


def test_a_run_tags_every_media_object_once_and_the_next_one_adds_nothing(scheduler: Callable[..., Scheduler]) -> None:
    airflow = scheduler(MAX_FRAMES="10", BATCH_FRAMES="30")
    assert airflow.run(MONDAY) == "success"
    seen = [name for (name,) in airflow.ask(EVERY_MEDIA)]
    assert len(seen) == len(set(seen)) == 11
    assert airflow.pools == ["default_pool"]
    assert airflow.ask("SELECT error_code FROM failures ORDER BY uri") == [("truncated",), ("not_media",)]
    assert airflow.ask("SELECT DISTINCT label FROM participants WHERE uri LIKE '%/bikes.mp4' AND label = 'bicycle'")
    rows = airflow.ask(ROWS)
    assert airflow.run(TUESDAY) == "success"
    assert airflow.ask(ROWS) == rows
    assert airflow.ask("SELECT state, new, unchanged FROM runs ORDER BY started_at") == [
        ("finished", 11, 0),
        ("finished", 0, 11),
    ]


@pytest.mark.parametrize(("tagger", "pool"), [("openai", "default_pool"), ("transformers", "shotlog_gpu")])
def test_a_model_tags_every_media_object_in_the_pool_its_tagger_wants(
    scheduler: Callable[..., Scheduler],
    tiny_model: Path,
    held_server: ModelServer,
    tmp_path: Path,
    tagger: str,
    pool: str,
) -> None:
    model = {"openai": f"openai:{held_server.model}", "transformers": f"transformers:{tiny_model}"}[tagger]
    asked = {name.upper(): str(value) for name, value in short_answers(tmp_path).items()}
    airflow = scheduler(
        TAGGER=model, OPENAI_BASE_URL=held_server.url, METADATA="tags,rating", MAX_FRAMES="2", BATCH_FRAMES="9", **asked
    )
    assert (airflow.run(MONDAY), airflow.pools) == ("success", [pool])
    assert len(airflow.ask(EVERY_MEDIA)) == 11
    assert airflow.ask("SELECT DISTINCT caption_source FROM timestamps") == [("vlm",)]
    whole = "SELECT count(*) FILTER (summary IS NULL) FROM media WHERE kind = 'video'"
    assert airflow.ask(whole) == [(0,)]
    tokens = "SELECT min(prompt_tokens) > 0, min(completion_tokens) > 0 FROM timestamps"
    assert airflow.ask(tokens) == [(True, True)]
    assert airflow.ask("SELECT count(*) = (SELECT count(*) FROM timestamps) FROM rating") == [(True,)]
    assert airflow.ask("SELECT count(*) FROM log.batches WHERE load_s IS NULL") == [(0,)]


def test_upkeep_is_a_dag_of_its_own(scheduler):
    airflow = scheduler(TAGGER="null")
    assert airflow.run(MONDAY) == "success"
    before = airflow.ask("SELECT count(*), (SELECT count(*) FROM timestamps) FROM media")
    state, merged = airflow.python(UPKEEP).split()
    assert (state, int(merged) > 0) == ("success", True)
    assert airflow.ask("SELECT count(*), (SELECT count(*) FROM timestamps) FROM media") == before


def test_a_dry_run_writes_nothing_and_is_no_failure(scheduler):
    airflow = scheduler(TAGGER="null", DRY_RUN="true", WEBHOOK="nobody")
    assert (airflow.run(MONDAY), airflow.pools) == ("success", [])
    assert not airflow.lake.exists()


def test_a_backfill_goes_on_as_it_was_begun(scheduler, monkeypatch):
    airflow = scheduler(TAGGER="null")
    for name, value in airflow.env.items():
        monkeypatch.setenv(name, value)
    run_id = backfill.begin({"media_kinds": "image", "exclude": "*.txt", "tagger": "null"}, "by-hand")
    for name in ("SOURCES", "TAGGER"):
        del airflow.env[f"SHOTLOG_{name}"]
    state, *tasks = airflow.python(BACKFILL, f'{{"run": "{run_id}"}}').split()
    assert (state, "end_piece=success" in tasks, "tell=skipped" in tasks) == ("success", True, True), tasks
    assert airflow.ask("SELECT DISTINCT kind FROM media") == [("image",)]
    assert airflow.ask("SELECT run_id, state FROM runs") == [(run_id, "finished")]


def test_a_dry_run_of_a_backfill_writes_nothing_and_is_no_failure(scheduler):
    airflow = scheduler(TAGGER="null", WEBHOOK="nobody")
    state, *tasks = airflow.python(BACKFILL, '{"dry_run": true}').split()
    assert (state, "end_piece=skipped" in tasks) == ("success", True), tasks
    assert not airflow.lake.exists()


def test_a_failed_batch_leaves_the_others_work_and_a_rerun_does_what_is_missing(
    scheduler: Callable[..., Scheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow = scheduler(TAGGER="null", MAX_FRAMES="10", BATCH_FRAMES="10")
    for name, value in airflow.env.items():
        monkeypatch.setenv(name, value)
    run_id = listing.list_media({}, run_name=f"manual__{MONDAY}")["run_id"]
    batch = airflow.lake / "work" / run_id / "batches" / "000001.json"
    batches = plan.plan_batches({}, run_id)["batches"]
    planned = batch.read_bytes()
    batch.write_bytes(planned[:10])

    assert airflow.run(MONDAY) == "failed"
    committed = "SELECT batch, committed_at FROM log.batches ORDER BY batch"
    others = airflow.ask(committed)
    assert [name for name, _ in others] == [name for name in batches if name != "000001"]
    assert airflow.ask("SELECT state FROM runs") == [("incomplete",)]

    batch.write_bytes(planned)
    assert airflow.run(MONDAY) == "success"
    assert [row for row in airflow.ask(committed) if row[0] != "000001"] == others
    assert airflow.ask("SELECT state FROM runs") == [("finished",)]
    seen = [name for (name,) in airflow.ask(EVERY_MEDIA)]
    assert len(seen) == len(set(seen)) == 11
