"""`shotlog export`: the lake's views as plain Parquet."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Format, Lake, chosen_format, given
from pipeline.cli.output import err, print_json, print_rows

ROWS_A_LINE = 1_000_000
"""Rows between two lines of progress."""


def export(
    to: Annotated[str, typer.Option("--to", help="Where it is written: a folder or s3://bucket/prefix of its own.")],
    lake: Lake = None,
    views: Annotated[
        str | None,
        typer.Option(help="Views to write, by comma, or all. [default: all but thumbnails and tag_changes]"),
    ] = None,
    grace_hours: Annotated[
        float | None, typer.Option(help="Keep the export that this one takes the place of so long. [default: 24]")
    ] = None,
    form: Format = None,
) -> None:
    """Write the views as plain Parquet, for Spark, Athena, Polars, pandas: all of one moment, while runs go on.

    The file latest.json there names the folder of the newest export. Its partitions are media_kind and modified_year.

    Examples:

      shotlog export --lake lake --to tables

      shotlog export --lake s3://archive-tags/lake --to s3://archive-tags/tables --views media,tags
    """
    from pipeline.steps.export import export as write

    told = 0

    def watch(view: str, rows: int) -> None:
        nonlocal told
        if rows == 0 or rows - told >= ROWS_A_LINE:
            told = rows
            err.print(f"{view}: {rows:,} rows" if rows else view)

    named = [name.strip() for name in (views or "").split(",") if name.strip()]
    report = write(given(lake=lake, grace_hours=grace_hours), to, named, watch)
    form = chosen_format(form)
    if form == "json":
        return print_json(report)
    columns = ("view", "rows", "files", "bytes")
    print_rows(columns, [[view, *counts.values()] for view, counts in report["views"].items()], form)
    err.print(f"exported snapshot {report['snapshot']} to {report['uri']}")
    return None
