"""`shotlog keys`: who may call the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Format
from pipeline.cli.output import err, print_json, print_rows
from pipeline.settings import load_settings

app = typer.Typer(help="Keys of the HTTP API: make, list and revoke them.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Option(help="Who or what it is for: letters, digits, dots, dashes, underscores.")]


@app.command()
def create(
    name: Name,
    scopes: Annotated[str, typer.Option(help="What it may do, by comma: ask, tag, admin.")],
    expires: Annotated[str | None, typer.Option(help="When it ends: 30d, 12h or a date. [default: never]")] = None,
    form: Format = None,
) -> None:
    """Make a key, and show it this once.

    Examples:

      shotlog keys create --name newsroom --scopes ask

      shotlog keys create --name intern --scopes ask --expires 30d --format json
    """
    from pipeline.steps.keys import create_key

    made = create_key({}, name, tuple(scope.strip() for scope in scopes.split(",") if scope.strip()), expires)
    if load_settings(format=form).format == "json":
        print_json(made)
    else:
        err.print(f"key '{made['name']}' is shown this once; keep it where secrets are kept")
        print(made["key"])


@app.command("list")
def list_(form: Format = None) -> None:
    """List the keys, oldest first: what each may do, until when.

    Example:

      shotlog keys list
    """
    from pipeline.steps.keys import list_keys

    columns, rows = list_keys({})
    print_rows(columns, rows, load_settings(format=form).format)


@app.command()
def revoke(name: Name, form: Format = None) -> None:
    """Make a key useless for good, at once.

    Example:

      shotlog keys revoke --name intern
    """
    from pipeline.steps.keys import revoke_key

    revoked = revoke_key({}, name)
    if load_settings(format=form).format == "json":
        print_json(revoked)
    else:
        err.print(f"key '{name}' opens nothing any more")
