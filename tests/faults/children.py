"""Work in a process of its own, begun in a moment, which may be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

LIMIT_S = 120
"""A child that takes longer hangs."""

KILLED = -signal.SIGKILL

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["pipeline.steps.run", "tests.integration.doors", "tests.unit.lake.made"])


def die() -> NoReturn:
    """As the kernel's OOM killer or a lost machine would have it: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@contextmanager
def child(work: Callable[..., object], *arguments: Any, env: dict[str, str] | None = None) -> Iterator[BaseProcess]:
    """A process that does this with these (all of them picklable). It doesn't outlive the block."""
    process = _forked.Process(target=_work, args=(env or {}, work, arguments), daemon=False)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _work(env: dict[str, str], work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    os.environ.update(env)
    work(*arguments)


def code(process: BaseProcess) -> int:
    """The exit code of a process that ends by itself, or is killed from within."""
    process.join(LIMIT_S)
    assert process.exitcode is not None, f"it hasn't ended within {LIMIT_S} s"
    return process.exitcode


def run_in_child(work: Callable[..., object], *arguments: Any, env: dict[str, str] | None = None) -> int:
    """Its exit code."""
    with child(work, *arguments, env=env) as process:
        return code(process)
