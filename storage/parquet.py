"""Parquet and JSON files of a run: explicit schemas, zstd, written whole or not at all, read by checksum.

Files live under an output root, a folder or a bucket (`s3://…`); `pyarrow.fs` serves both.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from storage.errors import DamagedFileError, StorageError, UsageError
from storage.records import SCHEMA_VERSION, Measurement, StoredFile, Unit, Window

_LABELS: pa.DataType = pa.map_(pa.string(), pa.string())
_MOMENT: pa.DataType = pa.timestamp("us", tz="UTC")

_COLUMNS: dict[str, pa.DataType] = {
    "metric": pa.string(),
    "value": pa.float64(),
    "unit": pa.string(),
    "n": pa.int64(),
    "source": pa.string(),
    "window_start": _MOMENT,
    "window_end": _MOMENT,
    "interval_low": pa.float64(),
    "interval_high": pa.float64(),
    "labels": _LABELS,
    "note": pa.string(),
}
MEASUREMENTS = pa.schema(_COLUMNS)
"""Schema of measurements.parquet, the rows of history."""


class Store:
    """Whole files under one root; a file appears complete or not at all, and never replaces another by accident."""

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        scheme, separator, _ = self.root.partition("://")
        if separator:
            if "@" in self.root:
                raise UsageError(
                    f"output {scheme}://…@…: credentials do not belong there; set AWS_ACCESS_KEY_ID and such"
                )
            try:
                self._fs, self._base = fs.FileSystem.from_uri(self.root)
            except (pa.ArrowInvalid, OSError):
                raise UsageError(
                    f"output {scheme}://… cannot be opened; use a folder or s3://bucket/prefix"
                ) from None
            self._shown = f"{scheme}://{self._base}"
        else:
            self._fs = fs.LocalFileSystem()
            self._base = self._shown = str(Path(self.root).resolve())

    @property
    def local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return isinstance(self._fs, fs.LocalFileSystem)

    def path(self, name: str) -> str:
        """The full name of a file, as a message or a reader shows it."""
        return f"{self._shown}/{name}"

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        return bool(self._fs.get_file_info(self._at(name)).type != fs.FileType.NotFound)

    def names(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, sorted; empty where there is no such folder."""
        selector = fs.FileSelector(self._at(folder), allow_not_found=True)
        return sorted(info.base_name for info in self._fs.get_file_info(selector))

    def write(self, name: str, content: bytes) -> StoredFile:
        """Write a file whole: a temporary beside it, then a rename (a bucket's PUT is whole by itself)."""
        target = self._at(name)
        try:
            if self.local:
                _write_whole(Path(target), content)
            else:
                with self._fs.open_output_stream(target) as stream:
                    stream.write(content)
        except OSError as error:
            raise StorageError(f"{self.path(name)} could not be written: {error}") from error
        return StoredFile(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    def remove(self, name: str) -> None:
        """Remove one file, if it is there."""
        if self.exists(name):
            self._fs.delete_file(self._at(name))

    def read(self, name: str, expected: StoredFile | None = None) -> bytes:
        """Read a file; where `expected` is given, another checksum is a `DamagedFileError` that names the file."""
        try:
            with self._fs.open_input_stream(self._at(name), compression=None) as stream:
                content: bytes = stream.read()
        except FileNotFoundError as error:
            raise DamagedFileError(f"{self.path(name)} is missing") from error
        except OSError as error:
            raise StorageError(f"{self.path(name)} could not be read: {error}") from error
        if expected is not None and hashlib.sha256(content).hexdigest() != expected.sha256:
            raise DamagedFileError(f"{self.path(name)} is not what was written: its checksum differs")
        return content

    def write_table(self, name: str, table: pa.Table) -> StoredFile:
        """Write a table as zstd Parquet with the schema version in its metadata."""
        metadata = {**(table.schema.metadata or {}), b"hasivu_schema_version": str(SCHEMA_VERSION).encode()}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
        stored = self.write(name, sink.getvalue().to_pybytes())
        return stored.model_copy(update={"rows": table.num_rows})

    def read_table(self, name: str, expected: StoredFile | None = None) -> pa.Table:
        """Read a Parquet file; a damaged one is an error that names it."""
        content = self.read(name, expected)
        try:
            table = pq.read_table(pa.BufferReader(content))
        except (pa.ArrowInvalid, OSError) as error:
            raise DamagedFileError(f"{self.path(name)} is not a readable Parquet file: {error}") from error
        version = int((table.schema.metadata or {}).get(b"hasivu_schema_version", b"0"))
        if version > SCHEMA_VERSION:
            raise DamagedFileError(
                f"{self.path(name)} has schema version {version}; this program reads {SCHEMA_VERSION}"
            )
        return table

    def write_json(self, name: str, value: Any) -> StoredFile:
        """Write a JSON file, keys as given, two spaces."""
        return self.write(name, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def read_json(self, name: str, expected: StoredFile | None = None) -> Any:
        """Read a JSON file; a damaged one is an error that names it."""
        try:
            return json.loads(self.read(name, expected))
        except ValueError as error:
            raise DamagedFileError(f"{self.path(name)} is not JSON: {error}") from error


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def measurements_table(measurements: tuple[Measurement, ...] | list[Measurement]) -> pa.Table:
    """Measurements as rows of `MEASUREMENTS`."""
    rows = [
        {
            "metric": m.metric,
            "value": m.value,
            "unit": m.unit.value,
            "n": m.n,
            "source": m.source,
            "window_start": m.window.start if m.window else None,
            "window_end": m.window.end if m.window else None,
            "interval_low": m.interval[0] if m.interval else None,
            "interval_high": m.interval[1] if m.interval else None,
            "labels": list(m.labels.items()),
            "note": m.note,
        }
        for m in measurements
    ]
    return pa.Table.from_pylist(rows, schema=MEASUREMENTS)


def measurements_from(table: pa.Table) -> list[Measurement]:
    """The inverse of `measurements_table`."""
    return [
        Measurement(
            metric=row["metric"],
            value=row["value"],
            unit=Unit(row["unit"]),
            n=row["n"],
            source=row["source"],
            window=Window(start=row["window_start"], end=row["window_end"]) if row["window_start"] else None,
            interval=None if row["interval_low"] is None else (row["interval_low"], row["interval_high"]),
            labels=dict(row["labels"]),
            note=row["note"],
        )
        for row in table.to_pylist()
    ]
