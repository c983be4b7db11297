"""What a Hive catalog (Athena's, Spark's) has to be told of an export's views: their columns, partitions and places."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.types as is_

_TYPES = {
    pa.string(): "string",
    pa.binary(): "binary",
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float64(): "double",
}


def create_table(view: str, columns: pa.Schema, partitions: Mapping[str, str], place: str) -> str:
    """Statements that put a view's table, in `place`, where an earlier export's was. partitions: name → Hive's type."""
    listed = ",\n  ".join(f"`{column.name}` {hive_type(column.type)}" for column in columns)
    cut = ", ".join(f"`{name}` {kind}" for name, kind in partitions.items())
    quoted = place.replace("\\", "\\\\").replace("'", "\\'")
    statements = [
        f"DROP TABLE IF EXISTS `{view}`",
        f"CREATE EXTERNAL TABLE `{view}` (\n  {listed}\n)\n{f'PARTITIONED BY ({cut})' if cut else ''}"
        f"\nSTORED AS PARQUET\nLOCATION '{quoted}'".replace("\n\n", "\n"),
        *([f"MSCK REPAIR TABLE `{view}`"] if cut else []),
    ]
    return "".join(f"{statement};\n\n" for statement in statements)


def hive_type(kind: pa.DataType) -> str:
    """
    >>> hive_type(pa.struct({"low": pa.float64(), "said": pa.list_(pa.string())}))
    'struct<low:double,said:array<string>>'
    """
    if is_.is_timestamp(kind):
        return "timestamp"
    if is_.is_list(kind):
        return f"array<{hive_type(kind.value_type)}>"
    if is_.is_struct(kind):
        return f"struct<{','.join(f'{one.name}:{hive_type(one.type)}' for one in kind)}>"
    return _TYPES[kind]
