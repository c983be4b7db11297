"""A real Airflow as a context manager: API server, scheduler with LocalExecutor, DAG processor, SQLite."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from demo.services import Service, ServiceError, answers, free_ports, last_lines, plain_environment, running, wait_until
from pipeline.settings import BACKFILL_POOL, GPU_POOL

DAGS = Path(__file__).resolve().parent.parent / "dags"

PARALLELISM = max(2, min(4, os.cpu_count() or 2))
"""Tasks at once: the scheduler keeps a process ready for each."""

COMPONENTS = {
    "api-server": [],
    # its log server would listen on every interface; the API server reads the log files itself
    "scheduler": ["--skip-serve-logs"],
    "dag-processor": [],
}

GRACE_S = 3.0
"""Its database is thrown away and the lake stands a kill: no reason to wait long for a clean end."""


@dataclass(frozen=True)
class Airflow:
    """A running Airflow. `url` is the user interface and the API; whoever reaches it is an administrator."""

    url: str
    logs: Path
    services: tuple[Service, ...]
    env: dict[str, str]

    def make_pool(self, name: str, slots: int) -> None:
        self._call("POST", "pools", {"name": name, "slots": slots})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Start a run now; returns its run_id."""
        run = self._call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def states(self, dag_id: str) -> list[str]:
        """Of all its runs. Raises ServiceError where a component has died."""
        for service in self.services:
            service.check()
        return [str(run["state"]) for run in self._call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]]

    def labels(self, dag_id: str, task_id: str) -> list[str]:
        """What the mapped tasks of all its runs are called."""
        tasks = self._call("GET", f"dags/{dag_id}/dagRuns/~/taskInstances?limit=1000")["task_instances"]
        return [str(task["rendered_map_index"]) for task in tasks if task["task_id"] == task_id]

    def state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed. Raises ServiceError where a component has died."""
        for service in self.services:
            service.check()
        return str(self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def failed_tasks(self, dag_id: str, run_id: str) -> list[str]:
        """Of each failed task of a run: its name, why it failed, and its log."""
        tasks = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        run = self.logs / f"dag_id={dag_id}" / f"run_id={run_id}"
        failed = [task for task in tasks if task["state"] == "failed"]
        return [_failure(task, run) for task in sorted(failed, key=lambda task: task["end_date"])]

    def has(self, dag_id: str) -> bool | None:
        """True once the DAG is parsed, None before. Raises ServiceError where it can't be parsed."""
        if errors := self._call("GET", "importErrors")["import_errors"]:
            raise ServiceError(f"Airflow can't read {errors[0]['filename']}: {errors[0]['stack_trace']}")
        return any(dag["dag_id"] == dag_id for dag in self._call("GET", "dags")["dags"]) or None

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as client:  # no proxy on the way
                token = client.get("/auth/token").json()["access_token"]
                headers = {"Authorization": f"Bearer {token}"}
                answer = client.request(method, f"/api/v2/{path}", json=body, headers=headers).raise_for_status()
                return dict(answer.json())
        except httpx.HTTPError as error:
            for service in self.services:
                service.check()
            raise ServiceError(f"Airflow doesn't answer {method} {path}: {error}\n  logs: {self.logs}") from error


@contextmanager
def airflow(home: Path, env: dict[str, str], *, port: int = 0) -> Iterator[Airflow]:
    """Airflow with this project's DAGs and a fresh metadata database in `home`, on 127.0.0.1 only.

    env: what tasks get besides this environment: credentials and SHOTLOG_* settings. port: of the user
    interface; 0: any free one.
    """
    shutil.rmtree(home, ignore_errors=True)  # a run that was killed would hold the next one up
    home.mkdir(parents=True)
    logs = home.resolve() / "logs"
    logs.mkdir()
    port = port or free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    settings = {**plain_environment(), **_settings(home.resolve(), url, port), **env}
    _migrate(settings, logs / "migrate.log")
    with ExitStack() as stack:
        services = tuple(stack.enter_context(component(name, logs, settings)) for name in COMPONENTS)
        wait_until("Airflow's start", lambda: answers(f"{url}/auth/token", 201), seconds=120, services=services)
        started = Airflow(url, logs, services, settings)
        wait_until("reading the DAGs", lambda: started.has("tag_media"), seconds=60, services=services)
        started.make_pool(GPU_POOL, slots=1)
        started.make_pool(BACKFILL_POOL, slots=max(1, PARALLELISM - 1))
        try:
            yield started
        finally:
            for service in services:
                service.stop_soon()


def component(name: str, logs: Path, env: dict[str, str]) -> AbstractContextManager[Service]:
    """One of COMPONENTS, while the block runs."""
    command = [_bin("airflow"), name, *COMPONENTS[name]]
    return running(f"Airflow's {name}", command, logs / f"{name}.log", env, GRACE_S)


def _settings(home: Path, url: str, port: int) -> dict[str, str]:
    chosen = {
        "CORE__DAGS_FOLDER": DAGS,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # the default asks DNS, for long where there is none
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": PARALLELISM,
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": True,
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": url,
        "API__SECRET_KEY": secrets.token_hex(16),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "CORE__DEFAULT_TASK_RETRY_DELAY": 5,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.2,
    }
    return {
        "AIRFLOW_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        **{f"AIRFLOW__{name}": str(value) for name, value in chosen.items()},
    }


def _failure(task: dict[str, Any], run: Path) -> str:
    folder = run / f"task_id={task['task_id']}"
    if task["map_index"] >= 0:
        folder /= f"map_index={task['map_index']}"
    log, why = folder / f"attempt={task['try_number']}.log", "see its log"
    for line in log.read_text().splitlines() if log.is_file() else ():
        with suppress(ValueError, LookupError, TypeError):
            why = json.loads(line)["error_detail"][0]["exc_value"]
    return f"{task['task_id']} {task['rendered_map_index'] or ''}".strip() + f": {why}\n    log: {log}"


def _migrate(env: dict[str, str], log: Path) -> None:
    with running("making Airflow's database", [_bin("airflow"), "db", "migrate"], log, env, GRACE_S) as migration:
        if migration.process.wait():
            raise ServiceError(f"Airflow's database can't be made: {last_lines(log)}\n  log: {log}")


def _bin(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
