"""The JSON Schema of report.json, made from the records and published as docs/schema/report.schema.json."""

from __future__ import annotations

import json
from typing import Any

from storage.records import SCHEMA_VERSION, Report

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema() -> dict[str, Any]:
    """What every report.json of this version holds: JSON Schema, draft 2020-12."""
    return {
        "$schema": DIALECT,
        "$comment": f"schema version {SCHEMA_VERSION}; durations in ms, ratios 0 to 1, times in UTC",
        **Report.model_json_schema(mode="serialization"),
    }


def schema_json() -> bytes:
    """The schema as it is published."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False).encode() + b"\n"
