"""`shotlog compare`: what a change of recipe changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Format, Lake, chosen_format, given
from pipeline.cli.output import err, print_json, print_rows

_TOLD = ("media", "moments", "kinds", "gained", "lost", "left_out")


def compare(
    first: Annotated[str, typer.Argument(metavar="RECIPE-A", help="A name, the beginning of an id, shown or newest.")],
    second: Annotated[str, typer.Argument(metavar="RECIPE-B", help="The one to hold against it.")],
    lake: Lake = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with examples and their frames here.")] = None,
    form: Format = None,
) -> None:
    """Compare two recipes where both looked at the same moments: how far they agree, what was gained and lost.

    `shotlog recipes list` lists them; `shown` is the one that most media show, `newest` the one first used last.

    Examples:

      shotlog compare small-model large-model --lake lake --html compare.html

      shotlog compare 3f2a 91c0 --lake lake --format json
    """
    from pipeline.steps.compare import compare as hold_against

    found = hold_against(given(lake=lake), first, second, html)
    form = chosen_format(form)
    if form == "json":
        return print_json({name: getattr(found, name) for name in _TOLD})
    err.print(f"{found.moments} moments of {found.media} media that both looked at")
    if not found.moments:
        err.print("look at some media under both, at the same moments: shotlog tag URI… --retag --sample 1%")
    if found.left_out:
        err.print(f"left out: {', '.join(found.left_out)}, which only one of them asks for")
    columns = ("kind", "both", "only_first", "only_second", "agreement")
    print_rows(columns, [[kind[column] for column in columns] for kind in found.kinds], form)
    for word, labels in (("gained", found.gained), ("lost", found.lost)):
        told = ", ".join(f"{one['label']} ({one['kind']}, {one['moments']})" for one in labels[:10])
        err.print(f"{word}: {told or 'nothing'}")
    if html:
        err.print(f"examples with their frames: {html}")
    return None
