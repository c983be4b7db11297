"""The catalog protocol: the database that knows which Parquet files a lake is made of, and who may write at a time.

Two kinds: a SQLite file (one machine, nothing to start) and a schema in Postgres (several hosts).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import duckdb

READERS_PATIENCE_S = 20.0
"""How long `wipe` waits for those who read."""

STILL_READ = (
    "somebody reads the lake as it was, so its catalog can't be cleared of what is forgotten: end them (an open query, "
    "a notebook, a session in BEGIN) and run it again"
)


class Catalog(Protocol):
    """One lake's catalog. kind: as lake.json has it. name: as messages show it, without a password."""

    kind: str
    name: str
    extension: str
    """The extension of DuckDB that reaches it."""
    advice: str
    """What to check where it can't be opened."""

    def attach(self, con: duckdb.DuckDBPyConnection, alias: str, *, plain: bool, options: str = "") -> None:
        """Attach it to a DuckDB connection as `alias`: as a DuckLake, or `plain`, the tables that it is kept in.

        options: further ones of ATTACH. Raises duckdb.Error.
        """
        ...

    def is_there(self) -> bool:
        """Raises LakeError where nobody can tell."""
        ...

    def making(self) -> AbstractContextManager[None]:
        """Held by one process while it makes the catalog."""
        ...

    def is_begun(self, lake_uri: str) -> bool:
        """Whether one who died before writing lake.json began to make it, for this place.

        Raises LakeError where it is another lake's.
        """
        ...

    def clear(self) -> None:
        """Make an empty place for a new catalog, taking away what one that died left half-made."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Held while a transaction is written: one at a time, the others wait."""
        ...

    def at_work(self, crew: str, *, alone: bool, waiting: Callable[[], None] | None) -> AbstractContextManager[None]:
        """Held while media are tagged: alone, or together with others of the crew that aren't alone.

        Calls `waiting` once where it has to wait. Whoever dies lets go.
        """
        ...

    def is_at_work(self, crew: str) -> bool:
        """Whether anybody of the crew is, just now. For who only reads."""
        ...

    def back_up(self, name: str) -> str:
        """Copy it as it is, beside itself, under its name with this ending. Returns where that is."""
        ...

    def wipe(self) -> None:
        """Overwrite what was deleted in it, since databases leave those bytes in place, and remove its backups.

        Outside of any turn: it waits for readers, and others needn't. Raises LakeError where they read on.
        """
        ...

    def missing(self, lake_uri: str, lake_id: str) -> str:
        """The sentence for one that isn't there, with what to do."""
        ...
