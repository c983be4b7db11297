"""`shotlog serve` as a process of its own on a free port, with keys of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from demo.services import answers, free_ports, plain_environment, running, wait_until

COMMAND = [sys.executable, "-m", "pipeline.cli.main"]
_START_S = 180


@dataclass
class Served:
    """url: of the API. env: what its commands run with. pid: of its process."""

    url: str
    env: dict[str, str]
    log: Path
    pid: int
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, scopes: str = "ask", *more: str) -> str:
        """A key with these scopes, made by the command."""
        name = f"test-{len(self.keys)}"
        command = [*COMMAND, "keys", "create", "--name", name, "--scopes", scopes, "--format", "json", *more]
        made = json.loads(subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout)
        self.keys[name] = made["key"]
        return str(made["key"])

    def client(self, key: str | None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)


@contextmanager
def serving(folder: Path, tagger: str, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Until the block ends. folder: where its keys, its lake, its socket and what it has in hand lie."""
    (port,) = free_ports(1)
    own = {"SHOTLOG_KEYS_FILE": "keys.json", "SHOTLOG_LAKE": "lake", "HOME": "", "XDG_RUNTIME_DIR": ""}
    told = {**{name: str(folder / place) for name, place in own.items()}, "OMP_NUM_THREADS": "1"}
    env = {**plain_environment(), **told, **(settings or {})}
    command = [*COMMAND, "serve", "--tagger", tagger, "--port", str(port)]
    log, url = folder / "serve.log", f"http://127.0.0.1:{port}"
    with running("serve", command, log, env) as service:
        wait_until("the API", lambda: answers(f"{url}/healthz", 200), seconds=_START_S, services=(service,))
        (server,) = psutil.Process(service.process.pid).children()  # of its keeper
        yield Served(url, env, log, server.pid)
