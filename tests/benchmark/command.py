"""A command as a process of its own, timed: `shotlog tag` above all."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from demo.services import plain_environment
from tests.servers.started import ModelServer

SHOTLOG = Path(sys.executable).with_name("shotlog")
LEAN_SHOTLOG = Path(".venv-peers/shotlog/bin/shotlog").absolute()
"""With nothing but what README installs: `make .venv-peers/shotlog/.ready`."""


@dataclass(frozen=True, slots=True)
class Done:
    """seconds: from its start to its end. said: all of stderr."""

    seconds: float
    said: str


def tag(
    folder: Path,
    source: Path | str,
    tagger: str,
    *,
    shotlog: Path = SHOTLOG,
    watch: Callable[[subprocess.Popen[str]], None] = lambda _: None,
    environment: Mapping[str, str] = MappingProxyType({}),
    **settings: Any,
) -> Done:
    """Tag a folder into a new lake; watch is called once it has started. Raises RuntimeError where it fails."""
    told = {f"SHOTLOG_{name.upper()}": str(value) for name, value in settings.items()}
    lake = folder / f"lake-{time.monotonic()}"
    command = [str(shotlog), "tag", str(source), "--lake", str(lake), "--tagger", tagger]
    home = {"HOME": str(folder)}
    return timed(command, folder, watch=watch, environment={**plain_environment(), **home, **environment, **told})


def asking(server: ModelServer) -> dict[str, Any]:
    """The arguments of `tag` that make a server answer."""
    return {"tagger": f"openai:{server.model}", "openai_base_url": server.url}


def timed(
    command: Sequence[str],
    folder: Path,
    *,
    watch: Callable[[subprocess.Popen[str]], None] = lambda _: None,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a command in a folder and time it from its start to its end. Raises RuntimeError where it fails."""
    with tempfile.TemporaryFile("w+") as stderr:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=stderr, text=True
        )
        try:
            watch(process)
            process.wait()
            seconds = time.monotonic() - began
        finally:
            process.kill()
            process.wait()
        stderr.seek(0)
        said = stderr.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} ended with {process.returncode}: {said}")
    return Done(seconds, said)
