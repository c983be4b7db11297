"""Keys of the HTTP API: who may call it, for what, and until when. A file holds their hashes and nothing else.

A key is shown once, when it is made. It is 256 random bits, so that a plain SHA-256 of it can't be guessed back.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.errors import UsageError, unknown_name

SCOPES = ("ask", "tag", "admin")
"""What a key may do: ask about media; tag, and see its own jobs; all of that, with everyone's jobs and webhooks."""

PREFIX = "shotlog_"
"""Of every key: secret scanners find one that has leaked."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SPAN = re.compile(r"(\d{1,5})([hd])")
_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Key:
    """One key as the file keeps it. digest: SHA-256 of the key, in hex. Times are ISO 8601, UTC."""

    name: str
    digest: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def is_valid(self, now: datetime) -> bool:
        return not self.revoked_at and (self.expires_at is None or now < datetime.fromisoformat(self.expires_at))

    @property
    def state(self) -> str:
        """valid, expired or revoked."""
        return "revoked" if self.revoked_at else "valid" if self.is_valid(datetime.now(UTC)) else "expired"


class Keyring:
    """The file of keys. Read anew when it has changed, so that a revoked key is refused at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()

    def find(self, presented: str) -> Key | None:
        """The valid key that this is; None for any other text. Takes as long whichever key it is, or isn't."""
        digest, found = _digest(presented), None
        for key in self.all():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found if found and found.is_valid(datetime.now(UTC)) else None

    def all(self) -> tuple[Key, ...]:
        """All of them, oldest first. Raises UsageError for a file that others may read, or that is none of ours."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return ()
        if stat.st_mode & 0o077:
            raise UsageError(f"others may read the keys in '{self._path}': chmod 600 '{self._path}'")
        seen = stat.st_mtime_ns, stat.st_size, stat.st_ino
        if seen != self._seen:
            self._keys, self._seen = _read(self._path), seen
        return self._keys

    def create(self, name: str, scopes: tuple[str, ...], expires: str | None = None) -> tuple[str, Key]:
        """A new key, and what is kept of it. Raises UsageError for a name that is taken or can't be one."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"'{name}' can't name a key: letters, digits, dots, dashes and underscores, at most 64")
        for scope in scopes:
            if scope not in SCOPES:
                raise unknown_name("scope", scope, SCOPES)
        if not scopes:
            raise UsageError(f"a key without scopes opens nothing: --scopes {','.join(SCOPES)}")
        secret, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
        key = Key(name, _digest(secret), tuple(dict.fromkeys(scopes)), now.isoformat(), _until(expires, now))
        with self._changing() as keys:
            if any(other.name == name for other in keys):
                raise UsageError(f"there is a key '{name}' already: choose another name (`shotlog keys list`)")
            keys.append(key)
        return secret, key

    def revoke(self, name: str) -> Key:
        """Make a key useless for good. Raises UsageError where there is none of that name."""
        with self._changing() as keys:
            known = [key.name for key in keys]
            if name not in known:
                raise unknown_name("key", name, known)
            at = known.index(name)
            if not keys[at].revoked_at:
                keys[at] = Key(**{**asdict(keys[at]), "revoked_at": datetime.now(UTC).isoformat()})
            return keys[at]

    @contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys, to be changed by one process at a time; the file is replaced as a whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.with_name(self._path.name + ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = list(self.all())
            yield keys
            part = self._path.with_name(self._path.name + ".part")
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w") as file:
                json.dump({"keys": [asdict(key) for key in keys]}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)


def _read(path: Path) -> tuple[Key, ...]:
    try:
        rows = json.loads(path.read_text("utf-8"))["keys"]
        return tuple(Key(**{**row, "scopes": tuple(row["scopes"])}) for row in rows)
    except (ValueError, TypeError, LookupError) as error:
        raise UsageError(f"'{path}' holds no keys of shotlog's: restore it, or set SHOTLOG_KEYS_FILE") from error


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _until(expires: str | None, now: datetime) -> str | None:
    """30d, 12h, or a date. Raises UsageError for anything else, and for what is over already."""
    if expires is None:
        return None
    if span := _SPAN.fullmatch(expires):
        count = int(span[1])
        until = now + (timedelta(hours=count) if span[2] == "h" else timedelta(days=count))
    else:
        try:
            until = datetime.fromisoformat(expires)
        except ValueError:
            raise UsageError(f"'{expires}' is no time: write 30d, 12h or 2027-01-31") from None
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
    if until <= now:
        raise UsageError(f"a key that expires at {until.isoformat()} would open nothing: give a time to come")
    return until.astimezone(UTC).isoformat()
