"""What SHOTLOG_CATALOG names: a Postgres database, or a SQLite file."""

from __future__ import annotations

import re

from pipeline.errors import UsageError

_URL = re.compile(r"\s*postgres(ql)?(\+\w+)?:(//)?", re.IGNORECASE)
_WORDS = re.compile(r"\s*\w+\s*=")
"""Such as libpq takes in the place of a URL: host=db dbname=lake. A path that begins so is written with a ./ before."""
_WORD_WITHIN = re.compile(r"[\s'\"](host|hostaddr|port|dbname|user|password|passfile|service|options|sslmode)\s*=")


def database_of(setting: str | None) -> str | None:
    """The database, as libpq takes it: a URL (its driver, as SQLAlchemy has one, left out) or words. None for a file.

    Raises UsageError, which shows nothing of it, for what is neither.
    """
    if not setting:
        return None
    url = _URL.match(setting)
    if url and url[3]:
        return f"postgresql://{setting[url.end() :]}"
    if _WORDS.match(setting):
        return setting
    if url or "://" in setting or _WORD_WITHIN.search(f" {setting}"):  # a file of that name would show the password
        raise UsageError(
            "SHOTLOG_CATALOG is neither a Postgres database's nor a file's: give "
            "postgresql://user:password@host/database, or a path"
        )
    return None
