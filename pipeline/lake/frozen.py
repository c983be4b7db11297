"""Frozen catalogs: read-only copies of a lake's catalog beside its data, for who can read the bucket and no more.

Each is a DuckDB file of its own, `<lake>/frozen/<snapshot>-<time>.duckdb`; whoever attached one keeps seeing the lake
as it was. `<lake>/frozen/latest.json` names the newest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from pipeline.errors import LakeError
from pipeline.store.base import Store

LATEST = "latest.json"
GRACE = timedelta(hours=24)
"""How long an older one stays, and what it names."""

_NAME = re.compile(r"(\d+)-(\d{8}T\d{6}Z)\.duckdb$")


@dataclass(frozen=True, slots=True)
class Frozen:
    """One frozen catalog."""

    uri: str
    snapshot: int
    made_at: datetime


def folder_of(lake_uri: str) -> str:
    return f"{lake_uri.rstrip('/')}/frozen"


def frozen_catalogs(lake_uri: str, store: Store) -> list[Frozen]:
    """Those that are there, oldest first."""
    return sorted(_found(lake_uri, store), key=lambda one: (one.made_at, one.snapshot))


def _found(lake_uri: str, store: Store) -> Iterator[Frozen]:
    for uri in store.names(folder_of(lake_uri)):
        if told := _NAME.search(uri):
            made_at = datetime.strptime(told[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            yield Frozen(uri, int(told[1]), made_at)


class FrozenCatalog:
    """See base.Catalog: one that is only read, where the lake's own isn't at hand."""

    kind = "frozen"
    extension = "ducklake"
    advice = "check that you may read the lake's bucket"

    def __init__(self, frozen: Frozen) -> None:
        self.name, self.made_at = frozen.uri, frozen.made_at

    def attach(self, con: duckdb.DuckDBPyConnection, alias: str, *, plain: bool, options: str = "") -> None:
        place = f"{'' if plain else 'ducklake:'}{self.name}".replace("'", "''")
        con.execute(f"ATTACH '{place}' AS {alias} ({options})")

    def is_there(self) -> bool:
        return True

    def turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def is_at_work(self, crew: str) -> bool:  # noqa: ARG002
        """Perhaps: nothing here tells."""
        return True

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise LakeError(f"'{self.name}' is a frozen catalog, which is only read")

    at_work = making = is_begun = clear = back_up = wipe = missing = _refuse
