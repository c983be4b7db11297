"""Keys of the HTTP API: make, list and revoke them, and tell who calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.keyring import Key, Keyring
from pipeline.settings import Settings, load_settings

COLUMNS = ["name", "scopes", "created_at", "expires_at", "state"]


def keyring(settings: Settings) -> Keyring:
    return Keyring(Path(settings.keys_file).expanduser())


def create_key(
    request: dict[str, Any], name: str, scopes: tuple[str, ...], expires: str | None = None
) -> dict[str, Any]:
    """A new key under a name that is free: the only time that it can be seen. Raises UsageError."""
    secret, key = keyring(load_settings(**request)).create(name, scopes, expires)
    return {"name": key.name, "key": secret, "scopes": list(key.scopes), "expires_at": key.expires_at}


def list_keys(request: dict[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and a row a key, oldest first; no key can be seen again."""
    keys = keyring(load_settings(**request)).all()
    return COLUMNS, [(key.name, ", ".join(key.scopes), key.created_at, key.expires_at, key.state) for key in keys]


def revoke_key(request: dict[str, Any], name: str) -> dict[str, Any]:
    """Make a key useless for good; calls under way go on. Raises UsageError where there is none of that name."""
    key = keyring(load_settings(**request)).revoke(name)
    return {"name": key.name, "revoked_at": key.revoked_at}


__all__ = ["Key", "Keyring", "create_key", "keyring", "list_keys", "revoke_key"]
