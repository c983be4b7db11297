"""The recipes of a lake: their names, and which of them the views prefer."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import duckdb

from pipeline.errors import UsageError
from pipeline.lake import hidden, writer
from pipeline.lake.order import after
from pipeline.recipe import Recipe

NONE = "none"
"""In the place of a recipe to be chosen: whichever looked last."""

SHOWN, NEWEST = "shown", "newest"
"""In the place of a name: the one that most media show, and the one that was first used last."""


def known(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Every recipe, first used first.

    recipe_id, name, current, tagger, model, sampling, first_used_at; media: with a good look under it; shown: those of
    which the views show it.
    """
    found = con.execute(_KNOWN)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


_KNOWN = """
WITH names AS (SELECT recipe_id, arg_max_null(name, named_at) AS name FROM log.recipe_names GROUP BY recipe_id),
looks AS (
    SELECT recipe_id, count(DISTINCT media_id) AS media
    FROM log.taggings WHERE status IN ('ok', 'partial') GROUP BY recipe_id
),
shown AS (SELECT recipe_id, count(*) AS shown FROM media GROUP BY recipe_id)

SELECT
    recipe_id,
    names.name,
    recipe_id IS NOT DISTINCT FROM (SELECT arg_max_null(recipe_id, chosen_at) FROM log.recipe_choices) AS current,
    any_value(tagger) AS tagger,
    any_value(recipe ->> 'model') AS model,
    any_value(recipe ->> 'sampling') AS sampling,
    min(first_used_at) AS first_used_at,
    coalesce(any_value(looks.media), 0) AS media,
    coalesce(any_value(shown.shown), 0) AS shown
FROM log.recipes
LEFT JOIN names USING (recipe_id)
LEFT JOIN looks USING (recipe_id)
LEFT JOIN shown USING (recipe_id)
GROUP BY recipe_id, names.name
ORDER BY first_used_at, recipe_id
"""


def find(con: duckdb.DuckDBPyConnection, named: str) -> str:
    """The recipe_id of a name, of the beginning of an id, of SHOWN or NEWEST. Raises UsageError for none or several."""
    recipes = known(con)
    found = [one["recipe_id"] for one in recipes if one["name"] == named]
    if recipes and not found and named in (SHOWN, NEWEST):
        found = [max(recipes, key=itemgetter("shown"))["recipe_id"] if named == SHOWN else recipes[-1]["recipe_id"]]
    found = found or [one["recipe_id"] for one in recipes if one["recipe_id"].startswith(named)]
    if len(found) != 1:
        names = ", ".join(f"{one['recipe_id']}{' (' + one['name'] + ')' if one['name'] else ''}" for one in recipes)
        how_many = "more than one recipe" if found else "no recipe"
        raise UsageError(f"{how_many} is called '{named}': this lake has {names or 'none'}")
    return str(found[0])


def name(con: duckdb.DuckDBPyConnection, recipe_id: str, new_name: str) -> None:
    """Give a recipe a name, inside the caller's transaction; another that had it before loses it.

    Raises UsageError for a name that means something else.
    """
    if new_name in (NONE, SHOWN, NEWEST):
        raise UsageError(f"a recipe can't be called '{new_name}', which means another thing: give another name")
    taken = [one["recipe_id"] for one in known(con) if one["name"] == new_name and one["recipe_id"] != recipe_id]
    now = after(con, "SELECT max(named_at) FROM log.recipe_names")
    rows = [{"recipe_id": other, "name": None, "named_at": now} for other in taken]
    writer.insert(con, {"recipe_names": [*rows, {"recipe_id": recipe_id, "name": new_name, "named_at": now}]})


def choose(con: duckdb.DuckDBPyConnection, recipe_id: str | None) -> None:
    """Let the views prefer a recipe where a media object has a good look under it, None: the latest look of all.

    Inside the caller's transaction. Nothing is looked at: the history is there.
    """
    chosen_at = after(con, "SELECT max(chosen_at) FROM log.recipe_choices")
    writer.insert(con, {"recipe_choices": [{"recipe_id": recipe_id, "chosen_at": chosen_at}]})
    hidden.refresh(con)


def keep_current(con: duckdb.DuckDBPyConnection, another: Recipe) -> None:
    """Before a sample is looked at under another recipe: let the views prefer what most media show now.

    Nothing where a recipe is chosen already.
    """
    if con.execute("SELECT arg_max_null(recipe_id, chosen_at) FROM log.recipe_choices").fetchone() != (None,):
        return
    most = (
        "SELECT recipe_id FROM media WHERE recipe_id <> ? GROUP BY recipe_id ORDER BY count(*) DESC, recipe_id LIMIT 1"
    )
    if row := con.execute(most, [another.recipe_id]).fetchone():
        choose(con, row[0])
