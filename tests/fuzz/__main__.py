"""`make fuzz`: damaged files by the thousand, each looked at by a decoder process that serves for many.

Progress goes to stderr, a table of how the files ended to stdout (--format json: one document). Exit code 1 where
something happened that must never happen. Such files are kept in work/fuzz/, as are those that a decoder died on;
`python -m tests.fuzz --replay SEED` looks at one of them again, and says what was done to it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

os.environ.setdefault("SVT_LOG", "0")  # an encoder of the healthy files, which tells about itself on stderr

from tests.fuzz.run import in_processes, keep, replay, summed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000, help="how many files (default: 100,000)")
    parser.add_argument("--seed", type=int, default=0, help="the first one's number (default: 0)")
    parser.add_argument("--processes", type=int, default=2, help="decoder processes at a time (default: 2)")
    parser.add_argument("--format", choices=["table", "json"], default="table")
    parser.add_argument("--replay", type=int, metavar="SEED", help="look at this one file again")
    args = parser.parse_args()
    if args.replay is not None:
        sys.exit(replay(args.replay))
    if args.files < 1 or args.processes < 1:
        parser.error("--files and --processes are at least 1")
    sys.exit(fuzz(range(args.seed, args.seed + args.files), args.processes, as_json=args.format == "json"))


def fuzz(seeds: range, processes: int, *, as_json: bool) -> int:
    """Look at all of them; the exit code."""
    started, outcomes = time.monotonic(), []
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(seeds))
        for some in in_processes(seeds, processes):
            outcomes += some
            bar.advance(task, len(some))
            for outcome in some:
                if outcome.wrong or outcome.died:
                    bar.console.print(f"{keep(outcome)}: {outcome.end} {outcome.wrong}", markup=False, highlight=False)
    summary = summed(outcomes, time.monotonic() - started)
    if as_json:
        print(json.dumps(summary))
    else:
        show(summary)
    return 1 if summary["wrong"] else 0


def show(summary: dict[str, Any]) -> None:
    """The summary as a table."""
    table = Table(show_header=False)
    for name, value in summary.items():
        if isinstance(value, dict):
            value = "\n".join(f"{key}: {each}" for key, each in value.items())
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
