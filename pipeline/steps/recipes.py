"""The recipes of a lake: list them, name them, choose which one the views prefer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.lake import recipes
from pipeline.steps.publish import freeze
from pipeline.steps.workplace import Workplace


def list_recipes(request: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows, first used first."""
    with Workplace.of(request).lake() as lake:
        found = recipes.known(lake.con)
    names = list(found[0]) if found else ["recipe_id", "name", "current", "tagger", "media", "shown"]
    return names, [tuple(one.values()) for one in found]


def name_recipe(request: dict[str, Any], recipe: str, name: str) -> str:
    """Returns the recipe's id. Raises UsageError for a recipe that this lake hasn't, or that isn't only one."""
    with Workplace.of(request).lake(read_only=False) as lake:
        recipe_id = recipes.find(lake.con, recipe)
        lake.transaction(lambda con: recipes.name(con, recipe_id, name))
        return recipe_id


def use_recipe(request: dict[str, Any], recipe: str, waiting: Callable[[], None] | None = None) -> str | None:
    """Let the views prefer this recipe, or with `none` the latest look. Returns its id. Raises as `name_recipe`.

    waiting: called once where a run holds the lake; then it waits for that.
    """
    work = Workplace.of(request)
    with work.lake(read_only=False) as lake, lake.at_work(alone=True, waiting=waiting):
        recipe_id = None if recipe == recipes.NONE else recipes.find(lake.con, recipe)
        with lake.on_all_cores():
            lake.transaction(lambda con: recipes.choose(con, recipe_id))
        freeze(work, lake)
        return recipe_id
