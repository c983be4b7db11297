"""`shotlog tag` as a process of its own, timed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.services import plain_environment
from tests.servers.started import ModelServer

SHOTLOG = Path(sys.executable).with_name("shotlog")


@dataclass(frozen=True, slots=True)
class Done:
    """seconds: from its start to its end. said: all of stderr."""

    seconds: float
    said: str


def tag(
    folder: Path,
    source: Path,
    server: ModelServer,
    *,
    watch: Callable[[subprocess.Popen[str]], None] = lambda _: None,
    **settings: Any,
) -> Done:
    """Tag a folder into a new lake; watch is called once it has started. Raises RuntimeError where it fails."""
    told = {"openai_base_url": server.url, **settings}
    environment = {f"SHOTLOG_{name.upper()}": str(value) for name, value in told.items()}
    began = time.monotonic()
    process = subprocess.Popen(
        [SHOTLOG, "tag", source, "--lake", folder / f"lake-{began}", "--tagger", f"openai:{server.model}"],
        cwd=folder,
        env={**plain_environment(), "HOME": str(folder), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        watch(process)
        _, said = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"shotlog tag ended with {process.returncode}: {said}")
    return Done(time.monotonic() - began, said)
