"""What SHOTLOG_CATALOG names: a Postgres database, or a SQLite file."""

from __future__ import annotations

import re

from pipeline.errors import UsageError

_URL = re.compile(r"postgres(ql)?(\+\w+)?://", re.IGNORECASE)
_WORD = r"(host|hostaddr|port|dbname|user|password|passfile|service|options|sslmode)\s*="
"""Such as libpq takes in the place of a URL: host=db dbname=lake."""


def database_of(setting: str | None) -> str | None:
    """The database, as libpq takes it: a URL (its driver, as SQLAlchemy has one, left out) or words. None for a file.

    Raises UsageError, which shows nothing of it, for what is neither.
    """
    if not setting:
        return None
    if _URL.match(setting):
        return f"postgresql://{setting.partition('://')[2]}"
    if re.match(rf"\s*{_WORD}", setting):
        return setting
    if "://" in setting or re.search(rf"\b{_WORD}", setting):  # a file of that name would show the password
        raise UsageError(
            "SHOTLOG_CATALOG is neither a Postgres database's nor a file's: give "
            "postgresql://user:password@host/database, or a path"
        )
    return None
