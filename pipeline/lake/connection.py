"""DuckDB with a lake attached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import duckdb

from pipeline.errors import LakeError
from pipeline.lake.base import Catalog
from pipeline.lake.patience import patiently
from pipeline.store.base import Store

EXTENSIONS = ("ducklake", "httpfs")


def connect(uri: str, store: Store, catalog: Catalog, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the lake attached as `lake` and in use; one that writes works with one thread."""
    try:
        return patiently(_connected)(uri, store, catalog, read_only=read_only)
    except duckdb.Error as error:
        raise LakeError(f"the catalog '{catalog.name}' can't be opened ({error}): {catalog.advice}") from error


def _connected(uri: str, store: Store, catalog: Catalog, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """One that is new at each try: an attachment whose last question fails is there, but of no use."""
    # No rows in the catalog itself: when they are moved into files, a reader of a SQLite catalog in the middle of a
    # transaction misses them. A commit takes as long either way.
    options = f"DATA_PATH {_quote(uri.rstrip('/') + '/data/')}, OVERRIDE_DATA_PATH true, DATA_INLINING_ROW_LIMIT 0"
    with ExitStack() as undo:
        con = undo.enter_context(closing(open_duckdb(catalog.extension)))
        if not read_only:
            con.execute("SET threads = 1")  # DuckLake's dozen small queries behind each statement take half the time
        if "://" in uri:
            store.prepare(con)
        catalog.attach(con, "lake", plain=False, options=f"{options}{', READ_ONLY' if read_only else ''}")
        con.execute("USE lake")  # which asks the catalog, too
        undo.pop_all()
    return con


def open_duckdb(*further: str) -> duckdb.DuckDBPyConnection:
    """A DuckDB with what a lake needs, from the wheels where they fit it, else by INSTALL, which wants a network once.

    further: extensions beside EXTENSIONS, for the lake's catalog.
    Raises LakeError where an extension can't be had.
    """
    # whoever could change those wheels could change DuckDB's own beside them: their signatures, which take 0.3 s to
    # check each time, protect from nobody
    con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    missing = [name for name in (*EXTENSIONS, *further) if not _load_from_wheel(con, name)]
    con.execute("SET allow_unsigned_extensions = false")
    con.execute("SET python_enable_replacements = false")  # a Ctrl-C that meets it among Python's variables is lost
    for name in missing:
        try:
            con.execute(f"INSTALL {name}; LOAD {name}")
        except duckdb.Error as error:
            package = f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
            raise LakeError(f"DuckDB's extension {name} is missing: pip install {package}") from error
    for setting in ("s3_access_key_id", "s3_secret_access_key", "s3_session_token"):
        con.execute(f"SET {setting} = ''")  # httpfs takes them from the environment, and any query can read settings
    return con


MEMORY_MB = 256
"""What DuckDB may take for statements over millions of rows; what doesn't fit is spilled to files."""


@contextmanager
def bounded(con: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[None]:
    """Keep a connection's memory within MEMORY_MB, whatever the count; it spills into this folder.

    The folder has to stay as long as tables made meanwhile are wanted.
    """
    with suppress(duckdb.Error):  # one that has spilled before stays with its first folder
        con.execute(f"SET temp_directory = {_quote(str(folder / 'spilled'))}")
    before = con.execute("SELECT current_setting('memory_limit')").fetchone() or ("",)
    con.execute(f"SET memory_limit = '{MEMORY_MB}MB'")
    try:
        yield
    finally:
        con.execute(f"SET memory_limit = '{before[0]}'")  # RESET changes what the setting says, not the limit itself
        with suppress(duckdb.Error):
            con.execute("RESET temp_directory")


def _load_from_wheel(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Straight from there: its own import_extension copies it to ~/.duckdb, and never again a newer one."""
    wheel = find_spec(f"duckdb_extension_{name}")
    folder = next(iter((wheel and wheel.submodule_search_locations) or [""]))
    try:
        con.execute(f"LOAD {_quote(f'{folder}/extensions/v{duckdb.__version__}/{name}.duckdb_extension')}")
    except duckdb.Error:
        return False
    return True


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
