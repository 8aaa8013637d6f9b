"""The report as JSON: the truth on disk, loaded back equal."""

from __future__ import annotations

import json
import re

from pydantic import ValidationError

from storage.errors import DamagedFileError
from storage.records import SCHEMA_VERSION, Report

_HIDDEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")


def to_json(report: Report) -> bytes:
    r"""The report as indented UTF-8 JSON, the same bytes for the same report.

    Characters that a terminal could obey, or that turn text around, are spelt `\uXXXX`: the value is the same.
    """
    text = report.model_dump_json(indent=2)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def from_json(data: bytes, where: str = "report.json") -> Report:
    """Load a report; `DamagedFileError` names the file where it is none, or was written by a newer version."""
    try:
        version = json.loads(data).get("schema_version")
    except (ValueError, AttributeError) as error:
        raise DamagedFileError(f"{where} is not the JSON of a report: {error}") from None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise DamagedFileError(
            f"{where} has schema version {version}, this tool reads up to {SCHEMA_VERSION}: use a newer version"
        )
    try:
        return Report.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "(whole file)"
        raise DamagedFileError(
            f"{where} is not a report of schema version {SCHEMA_VERSION}: {field}: {first['msg']} "
            f"({error.error_count()} in all)"
        ) from None
