"""`make bench`: every benchmark, or those named, and one table in Markdown on stdout."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.benchmark.command import LEAN_SHOTLOG
from tests.benchmark.table import Figure, markdown, say

NAMES = (
    *("media_engine", "shot_pass", "ranged", "endurance", "busy", "batching", "tokens", "memory"),
    *("plan", "lake", "api"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    parser.add_argument("name", nargs="*", default=NAMES, help=", ".join(NAMES))
    parser.add_argument(
        "--scale", type=float, default=0.1, help="of the archive that `lake` asks: 1 is a million media (default: 0.1)"
    )
    parser.add_argument("--commits", type=int, help="small ones that `lake` makes (default: 10,000 times the scale)")
    given = parser.parse_args()
    names, of_lake = given.name, {"scale": given.scale, "commits": given.commits}
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
    if {"media_engine", "plan"} & set(names) and not LEAN_SHOTLOG.exists():
        parser.error(f"{LEAN_SHOTLOG} isn't there: `make .venv-peers/shotlog/.ready` sets it up")
    figures: list[Figure] = []
    for name in names:
        say(name)
        run: Callable[..., list[Figure]] = import_module(f"tests.benchmark.{name}").run
        with tempfile.TemporaryDirectory(prefix="shotlog-bench-") as folder:
            figures += run(Path(folder), **(of_lake if name == "lake" else {}))
    print(markdown(figures))


if __name__ == "__main__":
    main()
