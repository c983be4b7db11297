"""What a run is asked to do, in the words of the planner."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from pipeline.recipe import Recipe
from pipeline.uris import media_id


@dataclass(frozen=True, slots=True)
class Inventoried:
    """Objects whose URIs begin with `root` weren't seen now but when an inventory was made: what the lake has seen of
    one since is truer."""

    root: str
    made_at: datetime


@dataclass(frozen=True)
class Wish:
    """What this run is asked to do beyond new and changed objects.

    decoders: 'name version' of each installed. sample: of what is stale, only this share. exact: whether a source that
    doesn't end in / is one object. inherit: whether the bytes alone decide the answer, so that copies take over what
    was found in the other. only: of what is to do only this, as the setting has it. kinds, modified_since,
    modified_before: what else is listed counts as excluded. looked_at_by: a run that doesn't look twice. put_aside:
    media_ids that it leaves. claims: Parquet files of what other runs have planned. whole: whether the listing is, so
    that what it lacks is gone. listed_at: when, where others may have seen and looked since: what the lake has of an
    object since then is truer.
    """

    recipe: Recipe
    sources: tuple[str, ...]
    decoders: tuple[str, ...]
    retag: bool = False
    sample: float | None = None
    retry_failed: bool = False
    limit: int | None = None
    exact: bool = False
    inherit: bool = True
    only: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("image", "video")
    modified_since: datetime | None = None
    modified_before: datetime | None = None
    looked_at_by: str | None = None
    put_aside: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    whole: bool = True
    listed_at: datetime | None = None
    inventoried: Inventoried | None = None

    @property
    def scopes(self) -> list[dict[str, str | None]]:
        """How far each source reaches."""
        return [_scope(source, self.exact) for source in self.sources]

    @property
    def overlapping(self) -> bool:
        """Whether a source lies within another, so that objects are listed twice."""
        reach = sorted(
            (str(scope["prefix"] or source), scope["prefix"] is not None)
            for scope, source in zip(self.scopes, self.sources, strict=True)
        )
        return any(is_wide and after.startswith(before) for (before, is_wide), (after, _) in pairwise(reach))

    @property
    def kind(self) -> str:
        """What an object is for this run, in SQL."""
        left_out = [f"kind IN ('image', 'video') AND kind NOT IN {(*self.kinds, '')}"] if len(self.kinds) < 2 else []
        if self.modified_since:
            left_out.append(f"last_modified < TIMESTAMPTZ '{self.modified_since.isoformat()}'")
        if self.modified_before:
            left_out.append(f"last_modified >= TIMESTAMPTZ '{self.modified_before.isoformat()}'")
        return f"CASE WHEN {' OR '.join(left_out)} THEN 'excluded' ELSE kind END" if left_out else "kind"


def _scope(source: str, exact: bool) -> dict[str, str | None]:
    """How far a source reaches: an S3 prefix and a folder cover what begins with them, the rest only itself."""
    if re.fullmatch(r"s3://[^/]+", source):
        source += "/"  # not the buckets that begin with its name
    is_one = not source.endswith("/") and (exact or not source.startswith("s3://"))
    return {"prefix": None, "media_id": media_id(source)} if is_one else {"prefix": source, "media_id": None}
