"""How columns of moments are stored small: as whole microseconds, and as the difference to an earlier moment.

A field of integer nanoseconds says so in its metadata: `stored` is `us`, `after` names the column that it comes
after, or is empty. 500,000 requests with five moments each are 3.5 MB that way, 8 MB as nanoseconds: what lies below
a microsecond is noise of the clock that zstd cannot take out. A reader of the Parquet file alone finds
`intended_us` (since 1970, UTC), `taken_after_intended_us`, …; `Store.read_table` gives the nanoseconds back.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NS = 1000
_COLUMN, _AFTER = b"hasivu_column", b"hasivu_after"


def packed(table: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """The table as it is stored, and how pyarrow is to write it; without marked columns, the table as it is."""
    marked = {field.name: after for field in table.schema if (after := _after(field, table)) is not None}
    if not marked:
        return table, {}
    encodings: dict[str, str] = {}
    columns, fields = [], []
    for field in table.schema:
        column = table.column(field.name)
        if field.name in marked:
            after = marked[field.name]
            column, field = _packed(table, field, after)  # noqa: PLW2901 - the field as it is stored
            encodings[field.name] = "BYTE_STREAM_SPLIT" if after else "DELTA_BINARY_PACKED"
        columns.append(column)
        fields.append(field)
    stored = pa.Table.from_arrays(columns, schema=pa.schema(fields).with_metadata(table.schema.metadata or {}))
    plain = [field.name for field in fields if field.name not in encodings]
    return stored, {"use_dictionary": plain, "column_encoding": encodings, "compression_level": 1}


def unpacked(table: pa.Table) -> pa.Table:
    """The inverse of `packed`, but for what lay below a microsecond."""
    found: dict[str, pa.ChunkedArray[Any]] = {}
    fields = []
    for field in table.schema:
        column, metadata = table.column(field.name), field.metadata or {}
        if _COLUMN in metadata:
            after = metadata[_AFTER].decode()
            column = pc.multiply(column, _NS)
            column = pc.add(column, found[after]) if after else column
            field = _field(metadata[_COLUMN].decode(), field, {b"stored": b"us", b"after": after.encode()})  # noqa: PLW2901 - as it was given
        found[field.name] = column
        fields.append(field)
    return pa.Table.from_arrays(
        list(found.values()), schema=pa.schema(fields).with_metadata(table.schema.metadata or {})
    )


def _after(field: pa.Field[Any], table: pa.Table) -> str | None:
    """Which moment a marked column comes after, empty where it is alone; None where the column is not marked."""
    metadata = field.metadata or {}
    after = metadata.get(b"after", b"").decode()
    return (after if after in table.column_names else "") if metadata.get(b"stored") == b"us" else None


def _packed(table: pa.Table, field: pa.Field[Any], after: str) -> tuple[pa.ChunkedArray[Any], pa.Field[Any]]:
    """Both moments are cut to microseconds before they are subtracted, so that their sum is exact."""
    values = pc.divide(table.column(field.name), _NS)
    name = field.name.removesuffix("_ns")
    if after:
        values = pc.subtract(values, pc.divide(table.column(after), _NS))
        name = f"{name}_after_{after.removesuffix('_ns')}"
    return values, _field(f"{name}_us", field, {_COLUMN: field.name.encode(), _AFTER: after.encode()})


def _field(name: str, like: pa.Field[Any], metadata: dict[bytes, bytes]) -> pa.Field[Any]:
    return pa.field(name, like.type, nullable=like.nullable, metadata=metadata)
