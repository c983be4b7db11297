"""`make demo` and `make demo-up`: the main job from end to end, with nothing of it left running."""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from demo.airflow import PARALLELISM, Airflow, airflow
from demo.answers import print_answers, print_gaps
from demo.follow import DAG, run_to_end
from demo.samples import BUCKET, fill_bucket
from demo.services import S3, ServiceError, check_port, s3_server
from pipeline.cli.output import print_rows
from pipeline.errors import ShotlogError
from pipeline.settings import ENV_PREFIX, GPU_POOL, load_settings
from pipeline.taggers import open_tagger

WORK = Path("work/demo")

PASSED_ON = (
    "metadata", "max_frames", "vocabulary", "prompts", "context", "context_metadata", "context_sidecar",
    "caption_tokens", "answer_tokens", "context_tokens", "min_pixels", "max_pixels", "reuse_distance",
    "model_revision", "model_batch", "device", "dtype",
    "openai_base_url", "openai_api_key", "openai_in_flight", "openai_deadline_s",
)  # fmt: skip
"""Settings of the environment that reach Airflow's tasks: what a model is and what it is asked. No others do."""

SETUP_SECONDS = Path(".venv/setup_seconds")
"""Left by the Makefile when it has set up the environment."""


class Steps:
    """What is going on, and how long each step took."""

    def __init__(self) -> None:
        self.current = ""
        self.seconds: dict[str, float] = {}
        if SETUP_SECONDS.exists():
            self.seconds["setting up .venv"] = float(SETUP_SECONDS.read_text())
            SETUP_SECONDS.unlink()

    @contextmanager
    def step(self, name: str, *, quiet: bool = False) -> Iterator[None]:
        self.current, begin = name, time.monotonic()
        if not quiet:
            print(name, flush=True)
        yield
        self.seconds[name] = time.monotonic() - begin

    def print(self) -> None:
        rows = [*self.seconds.items(), ("all", sum(self.seconds.values()))]
        print("\n── Where the time went\n")
        print_rows(["step", "seconds"], [(name, f"{seconds:.1f}") for name, seconds in rows], "table")


def demo(steps: Steps, tagger: str) -> None:
    """Tag the sample archive once and show what is in the lake then."""
    lake = lake_of(tagger)
    with ExitStack() as started:
        _, flow = start(steps, started, task_env(lake, tagger, schedule="none"))
        with steps.step(f"running {DAG}"):
            print_run(run_to_end(flow, lake, {}), batches_at_once(tagger))
        with steps.step("asking the lake", quiet=True):
            print_answers(str(lake))
            print_gaps(str(lake), tagger)
        with steps.step("stopping all that was started", quiet=True):
            started.close()
    steps.print()
    print(f"\nThe lake is {lake}, on this disk. Ask it more:\n  .venv/bin/shotlog sql storyboard --lake {lake}")


def demo_up(steps: Steps, tagger: str, port: int) -> None:
    """Keep S3 and Airflow running until Ctrl-C."""
    if port:
        check_port(port, setting="make demo-up PORT")
    lake = lake_of(tagger)
    with ExitStack() as started:
        server, flow = start(steps, started, task_env(lake, tagger, schedule="@hourly"), port)
        steps.current = "keeping S3 and Airflow running"
        print_places(server, flow, lake)
        while True:
            for service in (server.service, *flow.services):
                service.check()
            time.sleep(1)


def start(steps: Steps, started: ExitStack, env: dict[str, str], port: int = 0) -> tuple[S3, Airflow]:
    """The S3 server with the sample archive in it, and Airflow with the credentials; `started` ends them."""
    with steps.step("starting an S3 server with sample media"):
        server = started.enter_context(s3_server(WORK / "s3", log=WORK / "logs" / "s3.log"))
        print(f"  {fill_bucket(server)} objects in s3://{BUCKET}/")
    with steps.step("starting Airflow"):
        flow = started.enter_context(airflow(WORK / "airflow", {**server.env, **env}, port=port))
    return server, flow


def task_env(lake: Path, tagger: str, schedule: str) -> dict[str, str]:
    """Settings as Airflow's tasks see them. Small batches, so that there are some to watch."""
    names = [ENV_PREFIX + name.upper() for name in PASSED_ON]
    return {
        "SHOTLOG_MODEL_BATCH": "2",
        **{name: os.environ[name] for name in names if os.environ.get(name)},
        "SHOTLOG_SOURCES": f"s3://{BUCKET}/",
        "SHOTLOG_LAKE": str(lake.resolve()),
        "SHOTLOG_TAGGER": tagger,
        "SHOTLOG_SCHEDULE": schedule,
        "SHOTLOG_BATCH_FRAMES": "60",
        "SHOTLOG_WORKERS": "1",
    }


def lake_of(tagger: str) -> Path:
    """A lake for each tagger, so that trying one changes nothing in the others."""
    return WORK / ("lake" if tagger == "builtin" else "lake-" + re.sub(r"[^A-Za-z0-9.]+", "-", tagger))


def batches_at_once(tagger: str) -> int:
    return 1 if load_settings(tagger=tagger).pool == GPU_POOL else PARALLELISM


def print_run(run: dict[str, Any], at_once: int) -> None:
    if not run["media_planned"]:
        print(f"  nothing new: {run['unchanged']} media objects are as they were at the last run")
        return
    how = f"up to {at_once} batches at once" if at_once > 1 else "one batch at a time"
    print(
        f"  listed {run['listed']} media objects, {run['new']} new and {run['changed']} changed; tagged, {how}: "
        f"{run['ok']} ok, {run['partial']} partial, {run['failed']} failed, {run['skipped']} skipped; "
        f"{run['frames']} frames"
    )


def print_places(server: S3, flow: Airflow, lake: Path) -> None:
    exports = WORK / "s3.env"
    exports.touch(mode=0o600)
    exports.write_text("".join(f"export {name}={value}\n" for name, value in server.env.items()))
    print(f"\n  Airflow  {flow.url}/dags/{DAG}  (on this machine only, no log-in: whoever reaches it is admin)")
    print(f"  S3       s3://{BUCKET}/ at {server.endpoint}; its keys: . {exports}")
    print(f"  lake     {lake}: .venv/bin/shotlog runs --lake {lake}")
    print(f"\n{DAG} runs every hour, or now by its Trigger button. Ctrl-C ends it all.", flush=True)


@contextmanager
def alone() -> Iterator[None]:
    """One demo at a time in this folder."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError("another demo is running in this folder: end that one first, with Ctrl-C") from error
        yield


def guarded(steps: Steps, work: Callable[[], None]) -> int:
    """Run; the exit code. What went wrong is said in a sentence, a traceback goes to a log."""
    try:
        with alone():
            work()
    except KeyboardInterrupt:
        print("\ninterrupted: all that was started is stopped; the same command goes on with what is missing")
        return 130
    except (ShotlogError, ServiceError) as error:
        return failed(steps, str(error), error.exit_code if isinstance(error, ShotlogError) else 3)
    except Exception as error:
        log = WORK / "logs" / "demo.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc())
        return failed(steps, f"{type(error).__name__}: {error}\n  log: {log}", 3)
    return 0


def failed(steps: Steps, why: str, code: int) -> int:
    print(f"\nfailed while {steps.current}: {why}" if steps.current else f"shotlog: {why}", file=sys.stderr)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo")
    parser.add_argument("--up", action="store_true", help="keep S3 and Airflow running")
    parser.add_argument("--tagger", default="builtin")
    parser.add_argument("--port", type=int, default=8080, help="of Airflow's user interface with --up; 0: any")
    chosen, steps = parser.parse_args(), Steps()

    def work() -> None:
        # a wrong name, a model that isn't there and a server that doesn't answer are said before anything starts
        open_tagger(load_settings(tagger=chosen.tagger)).budget()
        if chosen.up:
            demo_up(steps, chosen.tagger, chosen.port)
        else:
            demo(steps, chosen.tagger)

    return guarded(steps, work)


if __name__ == "__main__":
    sys.exit(main())
