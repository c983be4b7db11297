"""The demo leaves nothing behind, however it ends, and says in a sentence what it lacks."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from demo.__main__ import Steps, guarded, task_env
from demo.samples import samples
from demo.services import ServiceError, check_port, free_ports, last_lines, plain_environment, running, wait_until
from pipeline.settings import load_settings

ROOT = Path(__file__).parents[2]

# Moves to a session of its own, is orphaned, and doesn't listen to SIGTERM: the worst of what Airflow's tasks do.
STUBBORN = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print("orphan", os.getpid(), flush=True)
        signal.pause()
    os._exit(0)
os.wait()
signal.pause()
"""
SERVE = f"""
import sys
from pathlib import Path
from demo.services import running, s3_server, wait_until
folder = Path(sys.argv[1])
command = [sys.executable, "-c", {STUBBORN!r}]
with s3_server(folder / "s3"), running("stubborn", command, folder / "log", grace_s=0.5) as service:
    wait_until("its start", lambda: "orphan" in service.log.read_text() or None, seconds=30)
    print("ready", flush=True)
    sys.stdin.read()
"""


def started(command: list[str], folder: Path, until: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A process that has printed `until`, and every process below it."""
    env = {**plain_environment(), "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, *command], cwd=folder, env=env, stdin=pipe, stdout=pipe, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith(until):
            return process, psutil.Process(process.pid).children(recursive=True)
    raise AssertionError(f"ended with {process.wait()} before it printed '{until}'")


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """A zombie has ended; only whoever adopted it hasn't looked yet."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_services_end_with_the_one_who_started_them(tmp_path: Path, number: signal.Signals) -> None:
    process, below = started(["-c", SERVE, str(tmp_path)], tmp_path, "ready")
    orphan = int((tmp_path / "log").read_text().split()[-1])
    assert {"weed", orphan} <= {p.name() for p in below} | {p.pid for p in below}
    process.send_signal(number)
    process.wait()
    wait_until("the end of all", lambda: None if living(below) else True, seconds=30)


def test_airflow_listens_on_loopback_only_and_ends_with_the_demo(tmp_path: Path) -> None:
    process, below = started(["-m", "demo", "--up", "--port", "0", "--tagger", "null"], tmp_path, "tag_media runs")
    listening = {at.laddr.ip for p in below for at in p.net_connections("inet") if at.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    process.kill()
    process.wait()
    wait_until("the end of all", lambda: None if living(below) else True, seconds=30)


def test_an_interrupted_demo_stops_what_it_started(tmp_path: Path) -> None:
    process, below = started(["-m", "demo", "--tagger", "null"], tmp_path, "starting Airflow")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    wait_until("the end of all", lambda: None if living(below) else True, seconds=30)


def test_a_service_that_dies_is_said_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"(?s)the brick ended with code 7: no straw.*log: .*brick\.log"):
        with running("the brick", ["sh", "-c", "echo no straw; exit 7"], tmp_path / "brick.log") as service:
            wait_until("its start", lambda: None, seconds=30, services=(service,))


def test_a_taken_port_is_said_with_the_way_out() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        with pytest.raises(ServiceError, match=f"port {port} is taken .* `PORT={port + 1}`"):
            check_port(port, setting="PORT")


def demo(folder: Path, *arguments: str, **options: str) -> tuple[int, str]:
    """Exit code and messages of a demo that has no reason to start anything. options: more environment."""
    env = {**plain_environment(), "PYTHONPATH": str(ROOT), **options}
    command = [sys.executable, "-m", "demo", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


def test_an_unknown_tagger_is_said_before_anything_starts(tmp_path: Path) -> None:
    code, said = demo(tmp_path, "--tagger", "bulitin")
    assert code == 2
    assert "unknown tagger 'bulitin'" in said and "did you mean builtin?" in said
    assert not (tmp_path / "work/demo/s3").exists()


def test_a_server_that_is_not_named_or_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    code, said = demo(tmp_path, "--tagger", "openai:tiny")
    assert code == 2
    assert "set SHOTLOG_OPENAI_BASE_URL" in said
    (port,) = free_ports(1)
    code, said = demo(tmp_path, "--tagger", "openai:tiny", SHOTLOG_OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1")
    assert code == 3
    assert f"the model server at http://127.0.0.1:{port}/v1 can't be reached" in said and "start it" in said
    assert not (tmp_path / "work/demo/s3").exists()


def test_a_model_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    code, said = demo(tmp_path, "--tagger", "transformers:./nowhere")
    assert code == 3
    assert "there is no model folder ./nowhere" in said
    assert not (tmp_path / "work/demo/s3").exists()


def test_what_a_model_needs_to_know_reaches_the_tasks_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"SHOTLOG_OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "SHOTLOG_OPENAI_API_KEY": "k", "SHOTLOG_DEVICE": "cpu"}
    for name, value in {**given, "SHOTLOG_CATALOG": "/elsewhere", "SHOTLOG_LAKE": "/elsewhere"}.items():
        monkeypatch.setenv(name, value)
    told = task_env(tmp_path, "openai:tiny", schedule="none")
    assert given.items() <= told.items()
    assert told["SHOTLOG_LAKE"] == str(tmp_path) and "SHOTLOG_CATALOG" not in told
    assert load_settings(**{name.removeprefix("SHOTLOG_").lower(): value for name, value in told.items()})


@pytest.mark.parametrize(
    ("tagger", "extra"),
    [("builtin", None), ("null", None), ("openai:some/model", "openai"), ("transformers:./folder", "transformers")],
)
def test_make_installs_what_a_tagger_needs_before_the_demo(tmp_path: Path, tagger: str, extra: str | None) -> None:
    told = ["make", "--dry-run", "demo", f"TAGGER={tagger}", f"VENV={tmp_path / 'venv'}"]
    planned = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    *installed, last = re.findall(r"-e '\.\[(\w+)\]'|-m (demo) --tagger '(.*)'$", planned, re.MULTILINE)
    assert [name for name, _, _ in installed] == ["demo", *([extra] if extra else [])]
    assert last == ("", "demo", tagger)


def test_two_demos_at_once_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "work/demo").mkdir(parents=True)
    with (tmp_path / "work/demo/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = demo(tmp_path)
    assert code == 3
    assert "another demo is running in this folder" in said


def test_a_failed_step_is_named_with_its_cause_and_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = Steps()

    def work() -> None:
        with steps.step("boiling water"):
            raise OSError("no kettle")

    assert guarded(steps, work) == 3
    assert "failed while boiling water: OSError: no kettle\n  log: work/demo/logs/demo.log" in capsys.readouterr().err
    assert "no kettle" in last_lines(tmp_path / "work/demo/logs/demo.log")


def test_samples_hold_whole_and_broken_media() -> None:
    names = [key for key, _ in samples()]
    assert len(names) == len(set(names)) == 11
    assert {"videos/bikes.mp4", "videos/bikes_cut_short.mp4", "videos/shopping_list.mp4"} <= set(names)


OLD = 'case "$2" in *sys.exit*) exit 1;; *print*) echo 3.9;; *) exit 0;; esac'
NEW = 'case "$2" in *print*) echo 3.12;; *) exit 0;; esac'
BARE = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; *) exit 0;; esac'


@pytest.mark.parametrize(
    ("pythons", "sentence"),
    [
        ({}, "there is no 'python3': sudo apt install python3 python3-venv"),
        ({"python3": OLD}, "'python3' is Python 3.9, 3.11 or newer is needed: sudo apt install python3.11-venv"),
        ({"python3": OLD, "python3.12": NEW}, "3.11 or newer is needed: make demo PYTHON=python3.12"),
        ({"python3": BARE}, "'python3' can't make a virtual environment: sudo apt install python3.12-venv"),
    ],
)
def test_what_is_missing_beforehand_is_said_with_what_mends_it(
    tmp_path: Path, pythons: dict[str, str], sentence: str
) -> None:
    """The Pythons stand in for those of other machines."""
    for name, script in pythons.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "uname").symlink_to(shutil.which("uname") or "")
    command = ["/bin/sh", str(ROOT / "demo/preflight.sh"), "python3"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_python_that_is_good_enough_needs_no_words() -> None:
    done = subprocess.run(["/bin/sh", str(ROOT / "demo/preflight.sh"), sys.executable], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_continuous_integration_runs_the_test_command_alone() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "set ", "cd "))] == ["make test"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
