"""Forget media: no row, no picture, no history and no copy of the catalog tells of them any more."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import LakeError
from pipeline.lake import forget as forgetting
from pipeline.lake.catalog import Lake
from pipeline.steps.plan import batch_as_json, planned_batch
from pipeline.steps.workplace import Workplace
from pipeline.store import resolve_uri
from pipeline.uris import stored_uri


def forget(request: dict[str, Any], named: Sequence[str]) -> dict[str, Any]:
    """Forget the media of these URIs or media_ids. Copies that inherited from them keep the rows that are their own.

    Waits for runs that go on. Returns counts (media, rows, files, frozen_catalogs) and `unknown`: names of nothing.
    Raises LakeError where a data file still holds a row of them, as one about to be committed may: ask again.
    """
    work = Workplace.of(request)
    with (
        work.lake(read_only=False) as lake,
        lake.at_work(alone=True),
        lake.at_work("backfills", alone=True),
        lake.at_work("planners", alone=True),
    ):
        media = forgetting.find(lake.con, [*named, *(stored_uri(resolve_uri(name)) for name in named)])
        unknown = [name for name in named if not {name, stored_uri(resolve_uri(name))} & {*media, *media.values()}]
        report: dict[str, Any] = {"media": 0, "rows": 0, "files": 0, "frozen_catalogs": 0}
        if media:
            _clear_work(lake, media)
            report = forgetting.forget(lake, media)
            if left := forgetting.traces(lake, media):
                raise LakeError(f"{len(left)} data files still hold rows of what is to be forgotten: run it again")
        return {**report, "unknown": unknown}


def _clear_work(lake: Lake, media: dict[str, str]) -> None:
    """Remove what runs keep of them that haven't committed: journals, and their lines of listings and plans."""
    texts = [text.encode() for text in forgetting.as_json(media)]
    for uri in list(lake.store.names(lake.work_uri("").rstrip("/"))):
        data = lake.store.read(uri) or b""
        if uri.endswith(".parquet"):
            _clear_listing(lake, uri, data, media)
        elif any(text in data for text in texts):
            if batch := planned_batch(data):
                lake.store.write(uri, batch_as_json(batch.without(media)))
            else:
                lake.store.delete(uri)


def _clear_listing(lake: Lake, uri: str, data: bytes, media: dict[str, str]) -> None:
    listed = pq.read_table(io.BytesIO(data))
    left = listed.filter(pc.invert(pc.is_in(listed["media_id"], pa.array(list(media), pa.string()))))
    if left.num_rows < listed.num_rows:
        buffer = io.BytesIO()
        pq.write_table(left, buffer)
        lake.store.write(uri, buffer.getvalue())
