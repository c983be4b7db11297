"""What people and programs see: tables, CSV and JSON on stdout; messages and progress on stderr."""

from __future__ import annotations

import base64
import csv
import json
import math
import sys
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from datetime import time as clock
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pipeline.model import MediaTags
from pipeline.settings import OutputFormat

err = Console(stderr=True, highlight=False, markup=False, emoji=False)
err.soft_wrap = not err.is_terminal
"""Sentences go out as they are, each on one line of a log: names may look like markup, and logs are searched."""

PLAIN_EVERY = 25
"""Media objects between two progress lines where stderr is no terminal."""


PLAIN_WIDTH = 160
"""Of a table that doesn't go to a terminal."""

LEAST_WIDTH = 10
"""Columns of a table can't be read when they get less than this on average."""


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: OutputFormat) -> None:
    """A result set: an array of objects as JSON, a header line and rows as CSV, a drawn table otherwise.

    A table with more columns than fit has one line a column instead, row after row.
    """
    if form == "json":
        names = _keys(columns)
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([[_plain(value) for value in row] for row in rows])
    else:
        width = None if sys.stdout.isatty() else PLAIN_WIDTH
        console = Console(highlight=False, markup=False, emoji=False, width=width)
        fits = len(columns) * LEAST_WIDTH <= console.width
        with console.capture() as drawn:
            console.print(_table(columns, rows) if fits else _records(columns, rows))
        sys.stdout.writelines(f"{line.rstrip(' ')}\n" for line in drawn.get().splitlines())
    sys.stdout.flush()


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numbers = rows and all(isinstance(row[index], int | float | Decimal | None) for row in rows)
        table.add_column(Text(name), overflow="fold", justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*[Text(_shown(value)) for value in row])  # a str would be read as markup
    return table


def _records(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for number, row in enumerate(rows, start=1):
        table.add_row(Text(f"── {number}"), Text(""))
        for name, value in zip(columns, row, strict=True):
            table.add_row(Text(name), Text(_shown(value)))
    return table


def print_json(document: Any) -> None:
    """One JSON document and nothing else on stdout; times as ISO 8601, bytes as base64, NaN and infinity as null."""
    sys.stdout.write(json.dumps(_jsonable(document), allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()  # a reader that has gone is found here, not while the interpreter ends


def _keys(columns: Sequence[str]) -> list[str]:
    """Column names fit for one object: where two are alike, all but the first get a number, as DuckDB does.

    >>> _keys(["uri", "score", "uri"])
    ['uri', 'score', 'uri_1']
    """
    seen: Counter[str] = Counter()
    names = []
    for column in columns:
        names.append(f"{column}_{seen[column]}" if seen[column] else column)
        seen[column] += 1
    return names


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(_plain(key)): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | clock):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return value.isoformat(" ", "seconds") if isinstance(value, datetime) else str(value)


def print_answer(pieces: Iterable[str], question: str, shown: Sequence[str], form: OutputFormat) -> None:
    """An answer to a question as it is written; as JSON or CSV when it is whole, with what was shown."""
    if form == "table":
        for piece in pieces:
            sys.stdout.write("".join(c for c in piece if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")))
            sys.stdout.flush()
        sys.stdout.write("\n")
        sys.stdout.flush()
        return
    answer = {"question": question, "answer": "".join(pieces), "shown": list(shown)}
    if form == "json":
        print_json(answer)
    else:
        print_rows(list(answer), [list(answer.values())], form)


def _say_what_is_left(counts: dict[str, Any]) -> None:
    """Of what was listed, and why nothing was."""
    for count, words in (
        (counts["excluded"], "were left out by --include, --exclude, --media-kinds or their dates"),
        (counts["unknown"], "are neither image nor video by their names and were left alone"),
        (counts["claimed"], "are left to runs that have planned them (`shotlog runs`)"),
    ):
        if count:
            err.print(f"{count} {words}")
    if not counts["listed"] and not counts["excluded"]:
        err.print("no image or video lies there: check the URI")


def print_forecast(forecast: dict[str, Any], form: OutputFormat) -> None:
    """What a run would do and take: what is found as a sentence, what it takes as a table of intervals."""
    if form == "json":
        return print_json(forecast)
    err.print(
        f"listed {forecast['listed']} media objects: {forecast['new']} new, {forecast['changed']} changed, "
        f"{forecast['unchanged']} unchanged, {forecast['gone']} gone; {forecast['stale']} stale, "
        f"{forecast['failed_before']} failed before; {forecast['media']} to tag, {forecast['duplicate']} of them copies"
    )
    _say_what_is_left(forecast)
    tokens, cost = forecast["tokens"], forecast["cost"]
    numbers = {
        **{name.replace("_", " "): forecast[name] for name in ("media_hours", "frames")},
        **{f"{name} tokens": tokens[name] for name in ("prompt", "completion")},
        "thumbnails MB": {name: number / 1e6 for name, number in forecast["thumbnail_bytes"].items()},
        **{name.replace("_", " "): forecast[name] for name in ("hours", "gpu_hours")},
        f"cost {cost['currency']}": cost,
    }
    columns = ("", "low", "expected", "high")
    print_rows(columns, [[name, *(number[column] for column in columns[1:])] for name, number in numbers.items()], form)
    err.print(f"{forecast['sampled']} films were probed; speed and tokens come from {forecast['learned_from']}")
    return None


def say_waiting() -> None:
    err.print("another run holds this lake: waiting for it to end")


class RunDisplay:
    """Shows a run as it goes: a bar with the time left on a terminal, plain lines elsewhere.

    again: what goes on with it after Ctrl-C.
    """

    def __init__(self, again: str = "the same command") -> None:
        self._again = again
        self._states: Counter[str] = Counter()
        self._frames = 0
        self._planned = 0
        self._lock = threading.Lock()  # media end in several threads
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("media · {task.fields[note]} ·"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=err,
            disable=not err.is_terminal,
        )
        self._task = self._progress.add_task("listing", total=None, note="")

    def __enter__(self) -> RunDisplay:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._progress.stop()
        if kind is KeyboardInterrupt:
            done = sum(self._states.values())
            err.print(f"interrupted: {done} of {self._planned} media are done and kept; {self._again} does the rest")

    def waiting(self) -> None:
        say_waiting()

    def listed(self, count: int) -> None:
        self._progress.update(self._task, completed=count)

    def planned(self, counts: dict[str, Any]) -> None:
        self._planned = counts["media"]
        err.print(
            f"listed {counts['listed']} media objects: {counts['new']} new, {counts['changed']} changed, "
            f"{counts['unchanged']} unchanged, {counts['gone']} gone; {self._planned} to tag"
        )
        if counts.get("overlapping"):  # a plan of an earlier version says nothing of it
            err.print("some sources lie within others: what is listed twice is looked at once")
        if counts["frames_per_video"]:
            err.print(f"of a video, at most {counts['frames_per_video']} frames are looked at")
        _say_what_is_left(counts)
        for count, words in (
            (counts["waiting"], "failed before and wait for a change (--retry-failed tries them again)"),
            (counts["stale"], "were tagged under another recipe (tagged again with --retag)"),
        ):
            if count:
                err.print(f"{count} {words}")
        self._progress.reset(self._task, total=self._planned, description="tagging", note="")

    def tagged(self, tagging: MediaTags) -> None:
        with self._lock:
            self._tagged(tagging)

    def _tagged(self, tagging: MediaTags) -> None:
        self._states[tagging.status] += 1
        self._frames += len(tagging.frames)
        done = sum(self._states.values())
        bad = "".join(
            f", {self._states[status]} {status}" for status in ("partial", "failed", "skipped") if self._states[status]
        )
        note = f"{self._frames} frames{bad}"
        self._progress.update(self._task, completed=done, note=note)
        if tagging.error:
            err.print(f"{tagging.status}: {tagging.object.uri}: {tagging.error}")
        elif not err.is_terminal and (done % PLAIN_EVERY == 0 or done == self._planned):
            err.print(f"{done}/{self._planned} media, {note}")


def print_summary(summary: dict[str, Any], again: str) -> None:
    """The last words of a run, for people. again: what does what a budget has left undone."""
    err.print(
        f"run {summary['run_id']} {summary['state']} in {summary['seconds']:.1f} s: {summary['ok']} ok, "
        f"{summary['partial']} partial, {summary['failed']} failed, {summary['skipped']} skipped, "
        f"{summary['frames']} frames"
    )
    if summary["state"] == "stopped":
        err.print(f"{summary['error']}: {again}")
