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


def refusal(lake_uri: str, error: duckdb.Error) -> LakeError:
    """The error to raise in its place."""
    for pattern in _LOST:
        if found := pattern.search(str(error)):
            return LakeError(
                f"the lake at '{lake_uri}' has lost a data file, '{found['file']}': restore it from a backup, or see "
                f"with `shotlog maintain --repair --dry-run --lake {lake_uri}` what all is lost, and forget it without "
                "--dry-run"
            )
    return LakeError(f"the lake at '{lake_uri}' can't be read or written: {error}")
