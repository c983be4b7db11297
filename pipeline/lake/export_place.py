"""Where exports of a lake lie: each in a folder of its own, and `latest.json`, written last, that names the newest.

    <place>/export.json      whose exports these are, written first
    <place>/latest.json      the newest whole export: its folder, the snapshot it shows, rows, files and bytes by view
    <place>/<folder>/<view>/media_kind=video/modified_year=2026/part-00000.parquet

Who reads `latest.json` and then that folder never sees half of two exports: a folder's files are never touched again,
and it stays for a grace after another took its place.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.errors import UsageError
from pipeline.store.base import Store

MARKER, LATEST = "export.json", "latest.json"
UNFINISHED = timedelta(hours=24)
"""A folder that no latest.json ever named goes once it is older: whoever began it was killed."""

_FOLDER = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")


@dataclass(frozen=True)
class Place:
    """uri: resolved, of a folder or a prefix."""

    uri: str
    store: Store

    def claim(self, lake_id: str) -> None:
        """Make it this lake's, or see that it is. Raises UsageError where it holds anything else, StoreError where it
        can't be written to."""
        if self._json(MARKER) is None:
            if next(iter(self.store.names(self.uri)), None):
                raise UsageError(f"'{self.uri}' holds something that is no export: give a new or empty folder as --to")
            self.store.write(self._of(MARKER), json.dumps({"lake_id": lake_id}).encode(), if_absent=True)
        if (found := (self._json(MARKER) or {}).get("lake_id")) != lake_id:
            raise UsageError(
                f"'{self.uri}' holds exports of another lake ({found}, this one is {lake_id}): give another --to"
            )

    def new_folder(self) -> str:
        """A name that no other export has."""
        return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"

    def write(self, path: str, data: bytes) -> None:
        """path: from the place on."""
        self.store.write(self._of(path), data)

    def discard(self, folder: str) -> None:
        self.store.clear(self._of(folder))

    def publish(self, folder: str, told: dict[str, Any], *, grace: timedelta) -> None:
        """Make this folder the latest, and remove those that others took the place of longer ago than the grace."""
        now = datetime.now(UTC)
        before = self._json(LATEST) or {}
        replaced = dict(before.get("replaced", {}))
        if before:
            replaced[before["folder"]] = now.isoformat()
        kept = {name: at for name, at in replaced.items() if datetime.fromisoformat(at) > now - grace}
        document = {"folder": folder, **told, "replaced": kept}
        self.store.write(self._of(LATEST), json.dumps(document, indent=1).encode())
        for name in self._folders() - {folder, *kept}:
            begun = datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if name in replaced or begun < now - UNFINISHED:
                self.discard(name)

    def _folders(self) -> set[str]:
        tops = {uri.removeprefix(self.uri).strip("/").partition("/")[0] for uri in self.store.names(self.uri)}
        return {top for top in tops if _FOLDER.fullmatch(top)}

    def _json(self, name: str) -> dict[str, Any] | None:
        """A small file of the place, None where there is none. Raises UsageError for one that was not written here."""
        data = self.store.read(self._of(name))
        if data is None:
            return None
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not {"lake_id"} <= found.keys():
            raise UsageError(f"'{self._of(name)}' is not an export's: give a new or empty folder as --to")
        return found

    def _of(self, path: str) -> str:
        return f"{self.uri.rstrip('/')}/{path}"
