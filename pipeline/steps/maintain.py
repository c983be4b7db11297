"""Upkeep: a lake that stays fast and small, by the settings that say what is kept and how long."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.lake import maintenance
from pipeline.lake.maintenance import Watch
from pipeline.lake.retention import Retention
from pipeline.steps.workplace import Workplace


def maintain(request: dict[str, Any], watch: Watch) -> dict[str, int]:
    """Do all upkeep that is due; with `dry_run` only say how much it is. Counts: see lake.maintenance.maintain."""
    work = Workplace.of(request)
    settings = work.settings
    with closing(work.lake(read_only=False)) as lake:
        return maintenance.maintain(
            lake,
            retention=Retention(
                _ago(settings.keep_superseded_days), _ago(settings.keep_gone_days), _ago(settings.keep_thumbnails_days)
            ),
            grace=timedelta(hours=settings.grace_hours),
            dry_run=settings.dry_run,
            watch=watch,
        )


def _ago(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) - timedelta(days=days)
