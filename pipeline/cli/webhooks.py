"""`shotlog webhooks`: who is told how jobs ended, and whether they have heard."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipeline.cli.options import Format, Lake
from pipeline.cli.output import err, print_json, print_rows
from pipeline.errors import ShotlogError
from pipeline.settings import load_settings

app = typer.Typer(
    help="Messages about jobs: see whether they arrived, try again, try an endpoint.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_(lake: Lake = None, form: Format = None) -> None:
    """List the messages that were tried, the latest first.

    Example:

      shotlog webhooks list --lake lake
    """
    from pipeline.steps.webhook_desk import list_deliveries

    columns, rows = list_deliveries({"lake": lake})
    print_rows(columns, rows, load_settings(format=form).format)


@app.command()
def retry(run_id: Annotated[str, typer.Argument(help="The job's id.")], lake: Lake = None, form: Format = None) -> None:
    """Try once more, now, to tell how a job ended. Exit code 3 where it didn't arrive.

    Example:

      shotlog webhooks retry 5f0c3a9e8d7b4c21a6e0f9d8c7b6a543 --lake lake
    """
    from pipeline.steps import webhook_desk

    _told(webhook_desk.retry({"lake": lake}, run_id), form)


@app.command()
def test(name: Annotated[str, typer.Argument(help="The endpoint.")], form: Format = None) -> None:
    """Send an endpoint a message of type shotlog.test. Exit code 3 where it didn't arrive.

    Example:

      shotlog webhooks test newsroom
    """
    from pipeline.steps import webhook_desk

    _told(webhook_desk.test({}, name), form)


def _told(tried: dict[str, Any], form: Format) -> None:
    if load_settings(format=form).format == "json":
        print_json(tried)
    elif tried["delivered"]:
        err.print(f"endpoint '{tried['endpoint']}' has heard")
    if not tried["delivered"]:
        raise ShotlogError(f"endpoint '{tried['endpoint']}' has not heard: {tried['error']}")
