"""What DuckDB says of a lake that it can't read or write, as a sentence with the next step."""

from __future__ import annotations

import re

import duckdb

from pipeline.errors import LakeError

_LOST = (
    re.compile(r'Cannot open file "(?P<file>[^"]+\.parquet)": No such file or directory'),
    re.compile(r"error reading '(?P<file>[^']+\.parquet)'.*\(HTTP 404"),
)
"""A data file that the catalog names and the store doesn't have."""

_FULL = re.compile("disk is full|no space left", re.IGNORECASE)


def lost_file(error: Exception) -> str | None:
    """The data file that is missing, where that is what it says."""
    found = next(filter(None, (pattern.search(str(error)) for pattern in _LOST)), None)
    return found and found["file"]


def is_lacking(error: BaseException | None) -> bool:
    """Whether it asks for a table, a view or a column that isn't there."""
    return isinstance(error, duckdb.CatalogException | duckdb.BinderException)


def outdated(lake_uri: str) -> str:
    """Of a lake that another shotlog last wrote to."""
    return (
        f"the lake at '{lake_uri}' was last written to by another version of shotlog, and lacks what this one asks "
        f"for: `shotlog maintain --lake {lake_uri}` brings it up to date"
    )


def refusal(lake_uri: str, error: Exception, *, is_current: bool = True) -> LakeError:
    """The error to raise in its place. is_current: whether the lake has this shotlog's tables and views."""
    if is_lacking(error) and not is_current:
        return LakeError(outdated(lake_uri))
    if file := lost_file(error):
        return LakeError(
            f"the lake at '{lake_uri}' has lost a data file, '{file}': restore it from a backup, or see with "
            f"`shotlog maintain --repair --dry-run --lake {lake_uri}` what all is lost, and forget it without --dry-run"
        )
    if _FULL.search(str(error)):
        return LakeError(
            f"there is no room left where the lake at '{lake_uri}' or its catalog lies: make some and do it again; "
            "what is finished is kept"
        )
    return LakeError(f"the lake at '{lake_uri}' can't be read or written: {error}")
