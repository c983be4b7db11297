"""S3 sources that are taken from an inventory instead of being listed, and how old what it says is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from pipeline.errors import UsageError
from pipeline.lake.catalog import Lake
from pipeline.planning.inventory import Wanted, listing_files
from pipeline.planning.wish import Inventoried
from pipeline.scratch import scratch_folder
from pipeline.steps.workplace import Workplace, shown
from pipeline.store.inventory import bring


def inventoried_sources(work: Workplace) -> frozenset[str]:
    """Those of the request's sources that lie in the inventory's bucket.

    Raises UsageError where an inventory is given and none does: it would be left unread.
    """
    if work.inventory is None:
        return frozenset()
    root = work.inventory.root
    found = frozenset(source for source in work.sources if f"{source.rstrip('/')}/".startswith(root))
    if not found:
        raise UsageError(
            f"the inventory '{work.inventory.uri}' lists the bucket '{work.inventory.bucket}', and no source lies in "
            f"it: give {root}prefix, or leave the inventory out"
        )
    return found


def how_old(work: Workplace) -> Inventoried | None:
    """None where all sources are listed."""
    return Inventoried(work.inventory.root, work.inventory.made_at) if work.inventory else None


def inventory_files(work: Workplace) -> Iterator[tuple[bytes, int]]:
    """Listing files made from the inventory, and how many rows each has: each object once, however sources overlap."""
    if work.inventory is None:
        return
    sources = inventoried_sources(work)
    wanted = Wanted(
        bucket=work.inventory.bucket,
        prefixes=tuple(work.inventory.root if f"{source}/" == work.inventory.root else source for source in sources),
        lake=work.lake_uri,
        named=tuple(shown(sources)),
        include=work.settings.include,
        exclude=work.settings.exclude,
    )
    store, form, columns = work.store(work.inventory.uri), work.inventory.form, work.inventory.columns
    for part in work.inventory.parts:
        with scratch_folder() as folder:
            path = bring(store, work.inventory, part, folder)
            for made, rows in listing_files(path, part.uri, form, columns, wanted, folder):
                yield made.read_bytes(), rows


def keep_how_old(work: Workplace, lake: Lake, run_id: str) -> None:
    """Beside the run's listing, for who plans it: by then another inventory may lie under the same name."""
    if told := how_old(work):
        kept = {"root": told.root, "made_at": told.made_at.isoformat()}
        lake.store.write(_uri(lake, run_id), json.dumps(kept).encode())


def kept_how_old(lake: Lake, run_id: str) -> Inventoried | None:
    data = lake.store.read(_uri(lake, run_id))
    if data is None:
        return None
    kept = json.loads(data)
    return Inventoried(kept["root"], datetime.fromisoformat(kept["made_at"]))


def _uri(lake: Lake, run_id: str) -> str:
    return lake.work_uri(run_id, "listing", "inventory.json")
