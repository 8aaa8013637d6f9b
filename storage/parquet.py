"""Parquet and JSON files of a run: explicit schemas, zstd, written whole or not at all, read by checksum.

Files live under an output root, a folder or a bucket (`s3://…`): `storage.folder` and `storage.bucket`.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import DamagedFileError, UsageError
from storage.folder import Folder
from storage.moments import packed, unpacked
from storage.place import Place, PlacedFile
from storage.records import SCHEMA_VERSION, Measurement, StoredFile, Unit, Window

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")

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
    "idle": pa.bool_(),
}
MEASUREMENTS = pa.schema(_COLUMNS)
"""Schema of measurements.parquet, the rows of history."""


def in_arrow(content: bytes) -> pa.NativeFile:
    """A copy in Arrow's own memory, for Arrow to read.

    Its threads may hold what they read a moment longer than the program lives, and giving back memory of Python then
    aborts the process after all its work is done (apache/arrow#34314; one in seven of processes that read 20 files).
    """
    sink = pa.BufferOutputStream()
    sink.write(content)
    return pa.BufferReader(sink.getvalue())  # noqa: TID251 - not of Python's memory


class Store:
    """Whole files under one root; a file appears complete or not at all, and never replaces another by accident."""

    def __init__(self, root: str | Path) -> None:
        self.root = str(root)
        self._place = open_place(self.root)

    @property
    def local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return isinstance(self._place, Folder)

    def path(self, name: str) -> str:
        """The full name of a file, as a message or a reader shows it."""
        return f"{self._place.shown}/{name}"

    def exists(self, name: str) -> bool:
        """Whether a file or folder of that name is there."""
        return self._place.exists(name)

    def names(self, folder: str) -> list[str]:
        """Names of what lies directly in a folder, sorted; empty where there is no such folder."""
        return self._place.names(folder)

    def local_path(self, name: str) -> Path | None:
        """Where a file or folder lies on this machine; None where the root is a bucket."""
        return Path(self.path(name)) if self.local else None

    def folders(self, folder: str) -> list[str]:
        """The same for folders alone."""
        return self._place.folders(folder)

    def files(self, folder: str) -> list[PlacedFile]:
        """Every file in a folder, at any depth, with its size and when it was written; links are not followed."""
        return self._place.files(folder)

    def write(self, name: str, content: bytes) -> StoredFile:
        """Write a file whole, in place of one that is there."""
        self._place.write(name, content)
        return StoredFile(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    def create(self, name: str, content: bytes) -> bool:
        """Write a file whole where none is; of several writers at once exactly one gets True."""
        return self._place.create(name, content)

    def check_usable(self) -> None:
        """Raise `StorageError` where what is seen now says that nothing can be stored; leave nothing."""
        self._place.check_usable()

    def remove(self, name: str) -> None:
        """Remove one file, if it is there."""
        self._place.remove(name)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and all that lies in it, never what a symbolic link points to."""
        self._place.remove_folder(folder)

    def read(self, name: str, expected: StoredFile | None = None) -> bytes:
        """Read a file; where `expected` is given, another checksum is a `DamagedFileError` that names the file."""
        try:
            content = self._place.read(name)
        except FileNotFoundError as error:
            raise DamagedFileError(f"{self.path(name)} is missing") from error
        if expected is not None and hashlib.sha256(content).hexdigest() != expected.sha256:
            raise DamagedFileError(f"{self.path(name)} is not what was written: its checksum differs")
        return content

    def write_table(self, name: str, table: pa.Table) -> StoredFile:
        """Write a table as zstd Parquet with the schema version in its metadata; moments by `storage.moments`."""
        metadata = {**(table.schema.metadata or {}), b"hasivu_schema_version": str(SCHEMA_VERSION).encode()}
        sink = pa.BufferOutputStream()
        content, options = packed(table.replace_schema_metadata(metadata))
        pq.write_table(content, sink, compression="zstd", **options)
        stored = self.write(name, sink.getvalue().to_pybytes())
        return stored.model_copy(update={"rows": table.num_rows})

    def read_table(self, name: str, expected: StoredFile | None = None) -> pa.Table:
        """Read a Parquet file; a damaged one is an error that names it."""
        content = self.read(name, expected)
        try:
            table = unpacked(pq.read_table(in_arrow(content)))
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
        return self.write(name, _json(value))

    def create_json(self, name: str, value: Any) -> bool:
        """Write a JSON file where none is; see `create`."""
        return self.create(name, _json(value))

    def read_json(self, name: str, expected: StoredFile | None = None) -> Any:
        """Read a JSON file; a damaged one is an error that names it."""
        try:
            return json.loads(self.read(name, expected))
        except (ValueError, RecursionError) as error:  # the latter of brackets in brackets
            raise DamagedFileError(f"{self.path(name)} is not JSON: {error}") from error


def open_place(root: str) -> Place:
    """The place that an output names: a folder, or `s3://bucket/prefix`; `UsageError` for anything else."""
    scheme, separator, rest = root.partition("://")
    if not separator:
        return Folder(Path(root))
    if "@" in rest:
        raise UsageError(f"output {scheme}://…@…: credentials do not belong there; set AWS_ACCESS_KEY_ID and such")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not _BUCKET.match(bucket) or "?" in rest:
        raise UsageError(
            f"output {scheme}://… cannot be opened; use a folder or s3://bucket/prefix (and AWS_ENDPOINT_URL_S3 for"
            " another address than Amazon's)"
        )
    from storage.bucket import Bucket  # noqa: PLC0415 - boto3 takes half a second that a folder need not pay

    return Bucket(bucket, prefix.strip("/"))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


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
            "idle": m.idle,
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
            idle=bool(row.get("idle")),  # runs of earlier versions do not tell
        )
        for row in table.to_pylist()
    ]
