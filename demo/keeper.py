"""Runs one command and leaves nothing of it behind: `python keeper.py LOG GRACE_S COMMAND…`.

Airflow's tasks move into process groups of their own and outlive a killed parent, so ending a process group
isn't enough. The keeper adopts every orphan below it (Linux: child subreaper) and ends them all when its stdin
closes, which also happens when the one who started it is killed with SIGKILL.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_STOP = {signal.SIGTERM, signal.SIGHUP}


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def offspring(keeper: int) -> list[psutil.Process]:
    """Every living process that descends from the keeper or is in its session, but not the keeper itself."""
    living = {p.pid: p for p in psutil.process_iter(["ppid", "status"]) if p.info["status"] != psutil.STATUS_ZOMBIE}

    def descends(pid: int) -> bool:
        while pid in living:
            pid = living[pid].info["ppid"]
            if pid == keeper:
                return True
        return False

    return [p for pid, p in living.items() if pid != keeper and (descends(pid) or session_of(pid) == keeper)]


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    """psutil checks the start time first: a number that was given to another process is left alone."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def end_all(grace_s: float) -> None:
    """TERM to all, then KILL again and again until nothing is left."""
    deadline = time.monotonic() + grace_s
    send(offspring(os.getpid()), signal.SIGTERM)
    while left := offspring(os.getpid()):
        if time.monotonic() > deadline:
            send(left, signal.SIGKILL)
        reap()
        select.select([], [], [], 0.05)
    reap()


def reap(child: int = -1) -> int | None:
    """Take the exit codes of what has ended; the child's own where it is among them."""
    code = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
    except ChildProcessError:
        pass
    return code


def keep(log: Path, grace_s: float, command: list[str]) -> int:
    """Run until the command ends or stdin closes; the command's exit code, or 0 when it was told to stop."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signals, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (*_STOP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    with log.open("ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    code: int | None = None
    while code is None:
        ready, _, _ = select.select([sys.stdin.fileno(), signals], [], [])
        heard = set(os.read(signals, 4096)) if signals in ready else set()
        code = 0 if sys.stdin.fileno() in ready or _STOP & heard else reap(child.pid)
    end_all(grace_s)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
