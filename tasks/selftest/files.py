"""Ways to damage the files of a component, on a copy of them in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.parquet import Store
from storage.records import SCHEMA_VERSION, Manifest
from storage.runs import RunFolder

MEASUREMENTS = "measurements.parquet"
Damage = Callable[[Path], None]


def damages(manifest: Manifest) -> Iterator[tuple[str, Damage]]:
    """What is done to a component's folder, by name; each must make the component one that was not measured."""
    table = min((name for name in manifest.files if name.endswith(".parquet")), key=lambda n: manifest.files[n].bytes)
    yield "truncated file", lambda folder: _cut(folder / table)
    yield "a flipped bit", lambda folder: _flip(folder / table)
    yield "empty file", lambda folder: _cut(folder / table, keep=0)
    yield "missing file", lambda folder: (folder / table).unlink()
    yield "missing manifest", lambda folder: (folder / "manifest.json").unlink()
    yield "truncated manifest", lambda folder: _cut(folder / "manifest.json")
    yield "manifest of another run", lambda folder: _manifest(folder, {"run": "another"})
    yield "manifest of a future version", lambda folder: _manifest(folder, {"schema_version": SCHEMA_VERSION + 1})
    yield "table of a future version", lambda folder: _rewritten(folder, _from_the_future)
    yield "not a number in a file", lambda folder: _rewritten(folder, _not_a_number)
    yield "unknown unit in a file", lambda folder: _rewritten(folder, _unknown_unit)
    yield "values without samples in a file", lambda folder: _rewritten(folder, _without_samples)


def copied(folder: RunFolder, component_folder: str, manifest: Manifest, to: Path) -> None:
    """Copy the files of one component, from a folder or a bucket."""
    to.mkdir(parents=True)
    for name in (*manifest.files, "manifest.json"):
        (to / name).write_bytes(folder.store.read(f"{component_folder}/{name}"))


def _cut(path: Path, keep: float = 2 / 3) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _manifest(folder: Path, changes: Mapping[str, object]) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def _rewritten(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the measurements and the manifest's checksum with them, as a wrong program would have written both."""
    path = folder / MEASUREMENTS
    pq.write_table(change(pq.read_table(path)), path, compression="zstd")
    stored = Store(folder).write(MEASUREMENTS, path.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][MEASUREMENTS] = stored.model_dump(mode="json")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _from_the_future(table: pa.Table) -> pa.Table:
    metadata = dict(table.schema.metadata or {})
    return table.replace_schema_metadata({**metadata, b"hasivu_schema_version": str(SCHEMA_VERSION + 1).encode()})


def _not_a_number(table: pa.Table) -> pa.Table:
    return _with(table, "value", pa.array([float("nan")] * table.num_rows, pa.float64()))


def _unknown_unit(table: pa.Table) -> pa.Table:
    return _with(table, "unit", pa.array(["furlong"] * table.num_rows, pa.string()))


def _without_samples(table: pa.Table) -> pa.Table:
    return _with(table, "n", pa.array([0] * table.num_rows, pa.int64()))


def _with(table: pa.Table, column: str, values: pa.Array[Any]) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), table.schema.field(column), values)
