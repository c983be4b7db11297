"""Forget media: no row, no picture, no history and no copy of the catalog tells of them any more."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.lake import forget as forgetting
from pipeline.lake.catalog import Crew, Lake
from pipeline.lake.mentions import Mentions
from pipeline.steps.plan import batch_as_json, planned_batch
from pipeline.steps.workplace import Workplace
from pipeline.store import resolve_uri
from pipeline.uris import canonical_uri, media_id, stored_uri

_ID = re.compile("[0-9a-f]{32}")


_CREWS: dict[Crew, str] = {
    "runs": "runs",
    "backfills": "batches of backfills",
    "jobs": "jobs of `shotlog serve`",
    "listings": "listings",
    "planners": "plans",
}
"""Whom it waits for; listings and plans last, since a job that goes on may still have to be listed and planned."""


def forget(
    request: dict[str, Any], named: Sequence[str], waiting: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Forget the media of these URIs or media_ids. Copies that inherited from them keep the rows that are their own.

    Waits for runs, batches of backfills, jobs and listings that go on, and `waiting` hears for whom; those that come
    meanwhile wait for it, and look at what they were asked for once it has ended. An image that a caller of `serve` has
    sent is not waited for: where it is answered later, it counts as sent later.

    Returns counts (media, rows, files, frozen_catalogs) and `unknown`: names of nothing, as the lake would show them.
    Raises UsageError, and does nothing, for a name that several have, and for a folder, a prefix or the lake. Raises
    LakeError where it could not do all: a data file still holds a row of them, as one about to be committed may, or
    somebody still reads the lake as it was. Asked again it does the rest, also where it was killed.
    """
    work = Workplace.of(request)
    with work.lake(read_only=False) as lake, ExitStack() as leaving:
        for crew, them in _CREWS.items():
            leaving.enter_context(lake.at_work(crew, alone=True, waiting=partial(waiting, them)))
        lake.renew()
        forgetting.clear_half_written(lake)
        found, unknown = _meant(lake, named)
        report: dict[str, Any] = {"media": 0, "rows": 0, "files": 0, "frozen_catalogs": 0}
        if found:
            media = forgetting.names_of_their_own(lake, found)
            _clear_work(lake, media)
            report = forgetting.forget(lake, media)
        return {**report, "unknown": unknown}


def _meant(lake: Lake, named: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """media_id → URI of what the names mean ('' where nobody knows it), and those that mean nothing."""
    uris = {name: name if name.startswith("data:") else resolve_uri(name) for name in named}
    ids = [*named, *map(media_id, uris.values())]
    known = forgetting.find(lake, ids, list(map(stored_uri, uris.values())))
    found: dict[str, str] = {}
    unknown = []
    for name, uri in uris.items():
        meant = _of_name(name, uri, known)
        if not _ID.fullmatch(name):
            _check_is_one(lake, uri, is_known=meant is not None)
        if meant:
            found[meant] = known[meant]
        elif _is_told_of(lake, trace := {name: ""} if _ID.fullmatch(name) else {media_id(uri): stored_uri(uri)}):
            found |= trace
        else:
            unknown.append(stored_uri(name))
    return found, unknown


def _of_name(name: str, uri: str, known: dict[str, str]) -> str | None:
    """Which of the known media (media_id → URI) it is. Without a query it may be any that is stored under this URI."""
    if name in known:
        return name
    if canonical_uri(uri) != stored_uri(uri):
        return media_id(uri) if media_id(uri) in known else None
    alike = [each for each, at in known.items() if at == stored_uri(uri)]
    if len(alike) > 1:
        raise UsageError(
            f"{len(alike)} media of this lake are called '{stored_uri(uri)}': their queries tell them apart, which "
            "aren't kept. Nothing is forgotten: name those that you mean by their media_id, or with their query"
        )
    return alike[0] if alike else None


def _check_is_one(lake: Lake, uri: str, *, is_known: bool) -> None:
    """Raise UsageError for what holds media and is none, though runs may tell of it, as of a source. A URL names one.

    is_known: the lake has, or has had, an object of just this name.
    """
    if uri.startswith(("http://", "https://", "data:")):
        return
    if not is_known and f"{uri.rstrip('/')}/".startswith(f"{lake.uri.rstrip('/')}/"):
        raise UsageError(f"'{uri}' is the lake itself, or lies in it, where no media are: {_NAME_ONE}")
    if uri.endswith("/") or (not is_known and _is_folder(lake, uri)):
        raise UsageError(f"'{uri}' is a folder or a prefix, no media object: {_NAME_ONE}")


_NAME_ONE = (
    "nothing is forgotten. Name the media themselves, by URI or media_id (`shotlog sql 'SELECT uri, media_id FROM "
    "media'` lists them)"
)


def _is_folder(lake: Lake, uri: str) -> bool:
    """Of a path or an S3 URI that no media object is known by.

    A prefix may end amid a name: what was a run's source is one where others begin so, or it ends as no file does.
    """
    if uri.startswith("s3://"):
        key = uri.removeprefix("s3://").partition("/")[2]
        may_be_file = "." in key.rpartition("/")[2] and not forgetting.begins_others(lake, uri)
        if not key or (not may_be_file and forgetting.is_source(lake, uri)):
            return True
    return forgetting.begins_others(lake, f"{uri}/")


def _is_told_of(lake: Lake, found: dict[str, str]) -> bool:
    """Whether anything of them is left, though no tagging and no sighting is: in a run's row, or in its work."""
    media = forgetting.names_of_their_own(lake, found)
    with lake.catalog.turn():
        told = (uri for uri, left in _work_of(lake, media) if left is not None or not _is_listing(uri))
        return bool(forgetting.traces(lake, media)) or any(told)


def _clear_work(lake: Lake, media: forgetting.Media) -> None:
    """Remove what runs keep of them that haven't committed: journals, and their lines of listings and plans."""
    for uri, left in list(_work_of(lake, media)):
        if left is None:
            lake.store.delete(uri)
        else:
            lake.store.write(uri, left)


def _work_of(lake: Lake, media: forgetting.Media) -> Iterator[tuple[str, bytes | None]]:
    """What in the runs' work folders tells of them, and what it is without; None: nothing of it is needed then.

    A listing that nobody can read may tell of them: None, too.
    """
    mentions = Mentions(media)
    texts = [text.encode() for text in mentions.spelled]
    for uri in list(lake.store.names(lake.work_uri("").rstrip("/"))):
        data = lake.store.read(uri) or b""
        if _is_listing(uri):
            if (listed := _listing_without(data, mentions.ids)) != data:
                yield uri, listed
        elif any(text in data for text in texts):
            if batch := planned_batch(data):
                if (left := batch.without(mentions.ids)) != batch:
                    yield uri, batch_as_json(left)
            elif mentions.are_in(data.decode("utf-8", "replace")):
                yield uri, None


def _is_listing(uri: str) -> bool:
    return uri.endswith(".parquet")


def _listing_without(data: bytes, media_ids: Sequence[str]) -> bytes | None:
    """None for one that nobody can read, as who was killed leaves it."""
    try:
        listed = pq.read_table(io.BytesIO(data))
    except pa.ArrowInvalid:
        return None
    left = listed.filter(pc.invert(pc.is_in(listed["media_id"], pa.array(media_ids, pa.string()))))
    if left.num_rows == listed.num_rows:
        return data
    buffer = io.BytesIO()
    pq.write_table(left, buffer)
    return buffer.getvalue()
