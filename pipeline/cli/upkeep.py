"""`shotlog maintain` and `shotlog forget`: upkeep of a lake."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from pipeline.cli.options import Format, Lake, chosen_format, given
from pipeline.cli.output import err, print_json, print_rows
from pipeline.errors import UsageError
from pipeline.settings import OutputFormat, load_settings
from pipeline.uris import stored_uri


def maintain(
    lake: Lake = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="Only say how much is due.")] = None,
    keep_superseded_days: Annotated[
        int | None, typer.Option(help="Keep looks that newer ones took the place of so long. [default: for ever]")
    ] = None,
    keep_gone_days: Annotated[
        int | None, typer.Option(help="Keep what was found in objects that are gone so long. [default: for ever]")
    ] = None,
    keep_thumbnails_days: Annotated[
        int | None, typer.Option(help="Keep thumbnails so long. [default: for ever]")
    ] = None,
    grace_hours: Annotated[
        float | None,
        typer.Option(help="Keep files that nothing needs so long. [default: 24]"),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Forget data files that are lost, so that what they held is tagged again."),
    ] = False,
    form: Format = None,
) -> None:
    """Keep a lake fast and small: merge small files, apply retention, remove what nothing needs. Safe at any time.

    Examples:

      shotlog maintain --lake lake --dry-run

      shotlog maintain --lake s3://archive-tags/lake --keep-superseded-days 90 --keep-gone-days 30

      shotlog maintain --lake lake --repair --dry-run
    """
    from pipeline.steps.maintain import maintain as keep_up

    request = given(
        lake=lake,
        dry_run=dry_run,
        keep_superseded_days=keep_superseded_days,
        keep_gone_days=keep_gone_days,
        keep_thumbnails_days=keep_thumbnails_days,
        grace_hours=grace_hours,
    )
    if repair:
        return _repair(request, chosen_format(form))
    report = keep_up(request, lambda step: err.print(step.replace("_", " ")))
    form = chosen_format(form)
    if form == "json":
        return print_json(report)
    rows = [[step.replace("_", " "), count] for step, count in report.items()]
    is_due = load_settings(**request).dry_run  # which an environment variable may say, too
    return print_rows(("step", "due" if is_due else "done"), rows, form)


def _repair(request: dict[str, Any], form: OutputFormat) -> None:
    from pipeline.steps.maintain import repair

    report = repair(request)
    for file in report["files"]:
        err.print(f"lost: {file}")
    if report["taggings"]:
        err.print(
            f"{report['taggings']} looks at media missed some rows and are forgotten: the next run tags them again"
        )
    if form == "json":
        return print_json(report)
    counts = {"files": len(report["files"]), "rows": report["rows"], "taggings": report["taggings"]}
    return print_rows(("lost", "count"), [list(item) for item in counts.items()], form)


def forget(
    named: Annotated[list[str], typer.Argument(metavar="URI|MEDIA_ID...", help="What is to be forgotten.")],
    lake: Lake = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    form: Format = None,
) -> None:
    """Remove every trace of media from a lake, its history and its old files. This can't be taken back.

    The objects themselves stay where they are: remove them, or the next run that lists them tags them anew.

    Examples:

      shotlog forget s3://archive/2019/interview.mp4 --lake s3://archive-tags/lake

      shotlog forget archive/party.mp4 --lake lake --yes --format json
    """
    from pipeline.steps.forget import forget as remove

    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("forget can't be taken back: add --yes where nobody can be asked")
        typer.confirm(f"Remove every trace of {', '.join(map(stored_uri, named))}?", abort=True, err=True)
    report = remove(
        given(lake=lake), named, lambda them: err.print(f"{them} go on in this lake: waiting for their end")
    )
    for name in report["unknown"]:
        err.print(f"nothing in this lake is called {name}")
    if report["media"]:
        err.print(
            f"{report['media']} media forgotten: {report['rows']} rows and {report['files']} files are gone, and no "
            "data file holds a row of them"
        )
    if report["frozen_catalogs"]:
        err.print("who reads a frozen catalog has to attach the newest: the older ones are gone")
    form = chosen_format(form)
    if form == "json":
        print_json(report)
    elif form == "csv":
        print_rows(list(report), [list(report.values())], form)
