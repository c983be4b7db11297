"""The lake's views as plain Parquet, for engines that read no DuckLake."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.lake import export as exporting
from pipeline.lake.export import Watch
from pipeline.lake.export_place import Place
from pipeline.scratch import scratch_folder
from pipeline.steps.workplace import Workplace, resolve_place
from pipeline.store import scheme_of
from pipeline.uris import stored_uri


def export(request: dict[str, Any], to: str, views: Sequence[str], watch: Watch) -> dict[str, Any]:
    """Write views (none named: the usual ones) to a folder or s3://bucket/prefix. Returns: see lake.export.export.

    Raises UsageError for a place that holds anything but exports of this lake, and for views that it hasn't.
    """
    work = Workplace.of(request)
    uri = resolve_place(to).rstrip("/")
    if scheme_of(uri).startswith("http"):
        raise UsageError(f"an export can't lie at '{stored_uri(uri)}': give a folder or s3://bucket/prefix as --to")
    if "://" not in uri and Path(uri).is_file():
        raise UsageError(f"'{uri}' is a file: give a folder as --to")
    if _is_inside(uri, work.lake_uri):
        raise UsageError(f"'{uri}' lies inside the lake: give a place of its own as --to")
    with work.lake() as lake, scratch_folder() as scratch:
        chosen = exporting.choose(lake, views)
        grace = timedelta(hours=work.settings.grace_hours)
        return exporting.export(lake, Place(uri, work.store(uri)), chosen, grace=grace, scratch=scratch, watch=watch)


def _is_inside(uri: str, lake_uri: str) -> bool:
    inner, outer = (one if "://" in one else os.path.realpath(one) for one in (uri, lake_uri))
    return f"{inner}/".startswith(f"{outer}/")
