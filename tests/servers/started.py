"""Model servers as processes of their own, each on a free port of 127.0.0.1, ended when the block ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from demo.services import answers, free_ports, plain_environment, running, wait_until

_START_S = 120


@dataclass(frozen=True, slots=True)
class ModelServer:
    """url: what SHOTLOG_OPENAI_BASE_URL takes. model: the name it serves. pid: of its process."""

    url: str
    model: str
    pid: int

    def asked(self) -> list[dict[str, Any]]:
        """Every request that was answered: its pictures (digests), texts, and whether it was held to a schema.

        Of the held server only.
        """
        found: list[dict[str, Any]] = self._get("/asked")
        return found

    def counts(self) -> dict[str, float]:
        """Requests finished, the most it held, and how busy it was. Of the paced server only."""
        found: dict[str, float] = self._get("/counts")
        return found

    def _get(self, path: str) -> Any:
        return httpx.get(self.url.removesuffix("/v1") + path, trust_env=False).json()


@contextmanager
def held(folder: Path, logs: Path, *, name: str = "tiny", key: str | None = None) -> Iterator[ModelServer]:
    """The tests' own server over a model folder, holding answers to their schema: see `tests.servers.held`."""
    command = [sys.executable, "-m", "tests.servers.held", str(folder), "--name", name]
    with _served("held", [*command, *(["--key", key] if key else [])], logs, name, "/asked") as server:
        yield server


@contextmanager
def transformers_serve(folder: Path, logs: Path) -> Iterator[ModelServer]:
    """The real `transformers serve` on the CPU. It names the model by the folder, and ignores `response_format`."""
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder), "--host", "127.0.0.1"]
    with _served("transformers", [*command, "--device", "cpu"], logs, str(folder), "/health") as server:
        yield server


@contextmanager
def paced(logs: Path, *, seconds: float = 0.2, at_once: int = 16, text: str = "{}") -> Iterator[ModelServer]:
    """A server that takes its time and no CPU: see `tests.servers.paced`."""
    command = [sys.executable, "-m", "tests.servers.paced", "--seconds", str(seconds), "--at-once", str(at_once)]
    with _served("paced", [*command, "--text", text], logs, "paced", "/counts") as server:
        yield server


@contextmanager
def _served(what: str, command: list[str], logs: Path, model: str, ready: str) -> Iterator[ModelServer]:
    (port,) = free_ports(1)
    root = f"http://127.0.0.1:{port}"
    env = {**plain_environment(), "HF_HUB_OFFLINE": "1", "HF_HOME": str(logs / "no-hub"), "OMP_NUM_THREADS": "1"}
    with running(what, [*command, "--port", str(port)], logs / f"{what}.log", env) as service:
        wait_until(f"{what} to answer", lambda: answers(root + ready, 200), seconds=_START_S, services=(service,))
        yield ModelServer(f"{root}/v1", model, service.process.pid)
