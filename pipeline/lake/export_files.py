"""Rows into Parquet files by partition: no file and no row group beyond a size, no more memory than a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DEFAULT = "__HIVE_DEFAULT_PARTITION__"
"""What every engine reads as null in a partition's folder."""

FILE_BYTES = 128 << 20
"""A file is closed once it is as large: what Athena and Spark read best, and what goes up in one piece."""

GROUP_BYTES = 32 << 20
"""Of rows in memory, before they are a row group; they take a tenth of it in the file."""

HELD_BYTES = 256 << 20
"""Of all rows in memory: beyond it the partition with most of them becomes a row group early."""

Send = Callable[[str, bytes], None]
"""Takes a finished file: its path from the view's folder on, and its bytes."""


@dataclass
class Written:
    """What one view came to."""

    rows: int = 0
    bytes: int = 0
    files: Counter[str] = field(default_factory=Counter)
    """By partition."""

    def told(self) -> dict[str, int]:
        return {"rows": self.rows, "files": self.files.total(), "bytes": self.bytes}


class PartitionedFiles:
    """Write tables whose last column, `_folder`, says where each row belongs. Leaving the context sends the rest.

    A view without a row becomes one file without a row, so that whoever opens it finds its columns.
    """

    def __init__(self, schema: pa.Schema, scratch: Path, send: Send, *, empty: str) -> None:
        """empty: the folder of that file."""
        self.written = Written()
        self._empty = empty
        self.columns = schema.remove(len(schema) - 1)
        self._scratch, self._send = scratch, send
        self._held: dict[str, list[pa.Table]] = {}
        self._held_bytes: Counter[str] = Counter()
        self._open: dict[str, pq.ParquetWriter] = {}

    def add(self, rows: pa.Table) -> None:
        """Raises what `send` raises."""
        folders = rows["_folder"]
        for folder in pc.unique(folders).to_pylist():
            some = rows.filter(pc.equal(folders, folder)).drop_columns("_folder")
            self._held.setdefault(folder, []).append(some)
            self._held_bytes[folder] += some.nbytes
            if self._held_bytes[folder] >= GROUP_BYTES:
                self._flush(folder)
        self.written.rows += rows.num_rows
        while self._held_bytes.total() > HELD_BYTES:
            self._flush(self._held_bytes.most_common(1)[0][0])

    def _flush(self, folder: str) -> None:
        """What is held of a partition becomes a row group."""
        rows = pa.concat_tables(self._held.pop(folder, [self.columns.empty_table()]))
        del self._held_bytes[folder]
        if folder not in self._open:
            path = self._path(folder)
            self._open[folder] = pq.ParquetWriter(path, self.columns, compression="zstd")
        self._open[folder].write_table(rows, row_group_size=max(1, rows.num_rows))
        if self._path(folder).stat().st_size >= FILE_BYTES:
            self._finish(folder)

    def _finish(self, folder: str) -> None:
        self._open.pop(folder).close()
        path = self._path(folder)
        data = path.read_bytes()
        path.unlink()
        name = f"part-{self.written.files[folder]:05}.parquet"
        self._send(f"{folder}/{name}" if folder else name, data)
        self.written.files[folder] += 1
        self.written.bytes += len(data)

    def _path(self, folder: str) -> Path:
        return self._scratch / f"{folder.replace('/', ',') or 'all'}.parquet"

    def __enter__(self) -> PartitionedFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind:
            for writer in self._open.values():
                writer.close()
            return
        for folder in list(self._held):
            self._flush(folder)
        if not self.written.rows:
            self._flush(self._empty)
        for folder in list(self._open):
            self._finish(folder)
