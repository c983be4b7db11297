"""`make bench`: every benchmark, or those named, and one table in Markdown on stdout."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.benchmark.table import Figure, markdown, say

NAMES = ("media_engine", "shot_pass", "ranged", "endurance", "busy", "batching", "tokens", "memory", "plan", "api")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("name", nargs="*", default=NAMES, help=", ".join(NAMES))
    names = parser.parse_args().name
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
    figures: list[Figure] = []
    for name in names:
        say(name)
        run: Callable[[Path], list[Figure]] = import_module(f"tests.benchmark.{name}").run
        with tempfile.TemporaryDirectory(prefix="shotlog-bench-") as folder:
            figures += run(Path(folder))
    print(markdown(figures))


if __name__ == "__main__":
    main()
