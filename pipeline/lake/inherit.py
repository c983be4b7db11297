"""Copies inherit: what was found in one media object is written again for another with the same bytes.

Their rows are their own, so that forgetting one never empties the other (DESIGN.md §5.5), and cost no tokens.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from pipeline.lake.tables import TABLES

HEIRS = pa.schema(
    [
        ("tagging_id", pa.string()),
        ("inherited_from", pa.string()),
        *((name, TABLES["taggings"].field(name).type) for name in ("media_id", "uri", "etag", "last_modified")),
    ]
)
"""One row a copy: its new tagging, the tagging that it inherits, and the object itself."""

DETAILS = tuple(name for name, schema in TABLES.items() if "tagging_id" in schema.names and "uri" in schema.names)
# as pipeline/lake/order.py says
_NOW = """
greatest(now(), (
    SELECT max(earlier.tagged_at) + INTERVAL 1 MICROSECOND
    FROM log.taggings AS earlier
    WHERE earlier.media_id = heirs.media_id
))
"""
_PAID = ("prompt_tokens", "completion_tokens", "bytes_read", "decode_s", "model_s")


def inherit(con: duckdb.DuckDBPyConnection, heirs: str, *, run_id: str, batch_id: str) -> None:
    """Write the taggings of `heirs` (a relation with the columns of HEIRS), inside the caller's transaction.

    One whose source the lake has no more is left out.
    """
    told = {"run_id": f"'{run_id}'", "batch": f"'{batch_id}'", "tagged_at": _NOW}
    for name in DETAILS:
        taken = HEIRS.names if name == "taggings" else ("tagging_id", "media_id", "uri")
        values = {column: f"heirs.{column}" for column in taken}
        values |= {column: "0" for column in _PAID if column in TABLES[name].names}
        values |= told if name == "taggings" else {}
        replaced = ", ".join(f"{value} AS {column}" for column, value in values.items())
        con.execute(
            f"INSERT INTO log.{name} BY NAME SELECT {name}.* REPLACE ({replaced}) "
            f"FROM log.{name} JOIN {heirs} AS heirs ON {name}.tagging_id = heirs.inherited_from"
        )
