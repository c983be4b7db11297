"""Upkeep: a lake that stays fast and small, by the settings that say what is kept and how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.errors import LakeError
from pipeline.lake import maintenance
from pipeline.lake import repair as repairing
from pipeline.lake.catalog import Lake
from pipeline.lake.maintenance import Watch
from pipeline.lake.refusal import outdated
from pipeline.lake.retention import Retention
from pipeline.steps.workplace import Workplace


def maintain(request: dict[str, Any], watch: Watch) -> dict[str, int]:
    """Do all upkeep that is due; with `dry_run` only say how much it is. Counts: see lake.maintenance.maintain."""
    work = Workplace.of(request)
    settings = work.settings
    with _opened(work) as lake:
        return maintenance.maintain(
            lake,
            retention=Retention(
                _ago(settings.keep_superseded_days), _ago(settings.keep_gone_days), _ago(settings.keep_thumbnails_days)
            ),
            grace=timedelta(hours=settings.grace_hours),
            dry_run=settings.dry_run,
            watch=watch,
        )


def repair(request: dict[str, Any]) -> dict[str, Any]:
    """Forget data files that are lost; with `dry_run` only say which they are.

    Returns files (table and name of each), rows (that they held) and taggings (that went, since they miss some; with
    dry_run None: nobody has looked).
    """
    work = Workplace.of(request)
    with _opened(work) as lake:
        dry_run = work.settings.dry_run
        lost, taggings = (repairing.lost_files(lake), None) if dry_run else repairing.repair(lake)
    return {
        "files": sorted(f"{file.table}/{file.name}" for file in lost),
        "rows": sum(file.rows for file in lost),
        "taggings": taggings,
    }


def _opened(work: Workplace) -> Lake:
    """To be written to, which brings an older one up to date. Raises LakeError where that isn't to be done either."""
    if work.settings.dry_run:
        with work.lake() as lake:
            if not lake.is_current:
                raise LakeError(outdated(lake.uri))
    return work.lake(read_only=False)


def _ago(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) - timedelta(days=days)
