"""`shotlog recipes`: what answers were made by, and which of them the views prefer."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import Format, Lake, chosen_format, given
from pipeline.cli.output import err, print_rows, say_waiting

app = typer.Typer(help="Recipes of a lake: list, name and choose them.", no_args_is_help=True, rich_markup_mode=None)

Which = Annotated[str, typer.Argument(metavar="RECIPE", help="A name, the beginning of an id, shown or newest.")]


@app.command("list")
def list_(lake: Lake = None, form: Format = None) -> None:
    """List the recipes, first used first, with the media that were looked at under each and those that show it.

    Example:

      shotlog recipes list --lake lake --format json
    """
    from pipeline.steps.recipes import list_recipes

    columns, rows = list_recipes(given(lake=lake))
    print_rows(columns, rows, chosen_format(form))


@app.command("name")
def name_(
    recipe: Which, name: Annotated[str, typer.Argument(help="What it is called from now on.")], lake: Lake = None
) -> None:
    """Give a recipe a name.

    Example:

      shotlog recipes name 3f2a small-model --lake lake
    """
    from pipeline.steps.recipes import name_recipe

    err.print(f"{name_recipe(given(lake=lake), recipe, name)} is called {name}")


@app.command()
def use(recipe: Which, lake: Lake = None) -> None:
    """Let the views prefer a recipe, at once: nothing is looked at again. `none`: whichever looked last.

    Examples:

      shotlog recipes use small-model --lake lake

      shotlog recipes use none --lake lake
    """
    from pipeline.steps.recipes import use_recipe

    chosen = use_recipe(given(lake=lake), recipe, say_waiting)
    err.print(f"the views prefer recipe {chosen}" if chosen else "the views show the latest good look")
