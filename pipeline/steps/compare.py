"""Two recipes of a lake held against each other: what a change of model, prompt or sampling changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.comparison import Comparison
from pipeline.errors import UsageError
from pipeline.lake import comparison, recipes
from pipeline.report.comparison import page
from pipeline.steps.workplace import Workplace


def compare(request: dict[str, Any], first: str, second: str, html: Path | None = None) -> Comparison:
    """Compare by names or ids. html: where to write the page with examples.

    Raises UsageError for recipes that this lake hasn't, or a page that can't be written there.
    """
    with Workplace.of(request).lake() as lake:
        ids = [recipes.find(lake.con, named) for named in (first, second)]
        found = comparison.compare(lake.con, *ids)
    if html:
        try:
            html.write_text(page(found, first, second), "utf-8")
        except OSError as error:
            raise UsageError(
                f"the page can't be written to '{html}' ({error.strerror}): give another --html"
            ) from error
    return found
