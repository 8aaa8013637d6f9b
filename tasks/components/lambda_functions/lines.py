"""What Lambda's platform writes to a function's log about an invocation or an initialisation, read strictly.

Two formats exist: text (`REPORT RequestId: …`, fields separated by tabs) and JSON (`type` = `platform.report`).
User code writes to the same log, so a line counts only where it is the platform's from its first to its last
character: a line that merely contains such text, adds to it or leaves something out is not one. Tools that copy logs
turn tabs into blanks; such a report is a `LooseReport`, which reading.py believes only in a log that has no other.
Sources: AWS Lambda Developer Guide, "Viewing CloudWatch logs for Lambda functions" and "Lambda Telemetry API Event
schema".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeGuard

_ID = r"[0-9A-Za-z]{8}(?:-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}"
_MS = r"[0-9]{1,9}(?:\.[0-9]{1,6})? ms"

_REQUEST_ID = re.compile(_ID)
_REQUIRED = frozenset({"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB"})
_NUMBERS = frozenset({int, float})
_LARGEST = 1e9
_REPORT = re.compile(
    rf"REPORT RequestId: ({_ID}) {{0,9}}"
    r"\tDuration: ([0-9]{1,9}(?:\.[0-9]{1,6})?) ms {0,9}"
    r"\tBilled Duration: ([0-9]{1,9}(?:\.[0-9]{1,6})?) ms {0,9}"
    r"\tMemory Size: ([1-9][0-9]{0,5}) MB {0,9}"
    r"\tMax Memory Used: ([0-9]{1,6}) MB {0,9}"
    r"((?:[\t\r\n][^\0]*)?)"
)
_KEYS = "Init Duration|Restore Duration|Billed Restore Duration|Status|Error Type|XRAY TraceId|SegmentId|Sampled"
_LOOSE_REPORT = re.compile(
    rf"REPORT RequestId: ({_ID})[ \t]{{1,20}}"
    r"Duration: ([0-9]{1,9}(?:\.[0-9]{1,6})?) ms[ \t]{1,20}"
    r"Billed Duration: ([0-9]{1,9}(?:\.[0-9]{1,6})?) ms[ \t]{1,20}"
    r"Memory Size: ([1-9][0-9]{0,5}) MB[ \t]{1,20}"
    r"Max Memory Used: ([0-9]{1,6}) MB"
    rf"((?:[ \t\r\n]{{1,20}}(?:{_KEYS}): [\w.:-]{{1,200}}(?: ms)?){{0,8}})[ \t\r\n]{{0,20}}"
)
_LOOSE_BLANKS = re.compile(rf"[ \t\r\n]+(?=(?:(?<!Billed )(?:{_KEYS})): )")
_OPTIONAL = {
    "Init Duration": re.compile(_MS),
    "Restore Duration": re.compile(_MS),
    "Billed Restore Duration": re.compile(_MS),
    "Status": re.compile(r"success|timeout|error|failure"),
    "Error Type": re.compile(r"[\w.:-]{1,200}"),
    "XRAY TraceId": re.compile(r"[0-9A-Za-z-]{1,80}"),
    "SegmentId": re.compile(r"[0-9A-Za-z]{1,40}"),
    "Sampled": re.compile(r"true|false"),
}
_SEPARATOR = re.compile(r"[\t\r\n]+")
_PHASE_REPORT = re.compile(
    r"(INIT|RESTORE)_REPORT (?:Init|Restore) Duration: ([0-9]{1,9}(?:\.[0-9]{1,6})?) ms"
    r"(?:\s{1,20}Phase: (init|invoke|restore))?(?:\s{1,20}Status: (success|timeout|error|failure))?"
    r"(?:\s{1,20}Error Type: ([\w.:-]{1,200}))?\s*"
)
_INIT_START = re.compile(r"INIT_START Runtime Version: [^\t\n]+(?:\tRuntime Version ARN: \S+)?\s*")
_TASK_TIMED_OUT = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:.]+Z ({_ID}) Task timed out after ([0-9]{{1,6}}(?:\.[0-9]+)?) seconds\s*"
)
_BOUNDARY = re.compile(rf"(START|END) RequestId: ({_ID})(?: Version: [$\w-]{{1,128}})?\s*")
_JSON_KEYS = frozenset({"time", "type", "record"})
_PROVISIONED = "provisioned-concurrency"
_WARNED = re.compile(r"\s*(?:REPORT RequestId:|INIT_REPORT )|\s*\{.*\"platform\.report\"", re.DOTALL)


class Status(StrEnum):
    """How an invocation or an initialisation ended."""

    SUCCESS = "success"
    TIMEOUT = "timeout"
    ERROR = "error"


class Report(NamedTuple):
    """One invocation as the platform reports it; durations in ms, memory in MB (10^6 bytes in Insights)."""

    request_id: str
    duration_ms: float
    billed_ms: float
    memory_mb: int
    used_mb: int
    init_ms: float | None = None
    restore_ms: float | None = None
    billed_restore_ms: float | None = None
    status: Status = Status.SUCCESS
    error_type: str = ""
    provisioned: bool = False


class LooseReport(Report):
    """A report whose tabs are blanks: copied by a tool, or written by user code."""

    __slots__ = ()


class PhaseReport(NamedTuple):
    """The end of an initialisation or a restore that the platform reports by itself, mostly because it failed."""

    phase: str
    duration_ms: float
    status: Status
    provisioned: bool
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class InitStart:
    """The beginning of an initialisation; `provisioned` is None in text logs, which do not tell its type."""

    provisioned: bool | None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The line by which logs of before 2024 tell a time-out that their REPORT line does not."""

    request_id: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """The platform's word that an invocation begins or has ended."""

    request_id: str
    begins: bool


Line = Report | PhaseReport | InitStart | TimedOut | Boundary


def parse(message: str) -> Line | None:
    """Read one log message; None where it is not the platform's word about an invocation or initialisation."""
    if message.startswith("REPORT "):
        return _text_report(message)
    if message.startswith(("INIT_REPORT ", "RESTORE_REPORT ")):
        return _text_phase(message)
    if message.startswith(("INIT_START ", "START RequestId: ", "END RequestId: ")):
        return _text_boundary(message)
    if '"platform.' in message and message.lstrip()[:1] == "{":
        return _json_line(message)
    if " Task timed out after " in message and (found := _TASK_TIMED_OUT.fullmatch(message)):
        return TimedOut(found[1], float(found[2]))
    return None


def looks_like_report(message: str) -> bool:
    """Whether a message that `parse` refused begins as a report: spoofed, cut off, or of a format unknown here."""
    return _WARNED.match(message) is not None


def _status(name: str | None) -> Status:
    if name is None or name == "success":
        return Status.SUCCESS
    return Status.TIMEOUT if name == "timeout" else Status.ERROR


def _text_report(message: str) -> Report | None:
    found = _REPORT.fullmatch(message)
    if found is None:
        return _loose_report(message)
    request_id, duration, billed, memory, used, rest = found.groups()
    if not rest or rest.isspace():
        return Report(request_id, float(duration), float(billed), int(memory), int(used))
    fields = _optional_fields(rest)
    if fields is None:
        return None
    return Report(
        request_id,
        float(duration),
        float(billed),
        int(memory),
        int(used),
        _ms(fields.get("Init Duration")),
        _ms(fields.get("Restore Duration")),
        _ms(fields.get("Billed Restore Duration")),
        _status(fields.get("Status")),
        fields.get("Error Type", ""),
    )


def _loose_report(message: str) -> LooseReport | None:
    """A report whose separators are blanks, read as if they were tabs."""
    found = _LOOSE_REPORT.fullmatch(message)
    if found is None:
        return None
    head = "\t".join(
        f"{key}: {value}"
        for key, value in zip(
            ("REPORT RequestId", "Duration", "Billed Duration", "Memory Size", "Max Memory Used"),
            (found[1], f"{found[2]} ms", f"{found[3]} ms", f"{found[4]} MB", f"{found[5]} MB"),
            strict=True,
        )
    )
    report = _text_report(head + _LOOSE_BLANKS.sub("\t", found[6]))
    return None if report is None else LooseReport(*report)


def _optional_fields(rest: str) -> dict[str, str] | None:
    """The fields after `Max Memory Used`, each known, well-formed and given once; None where one is not."""
    fields: dict[str, str] = {}
    for part in _SEPARATOR.split(rest):
        if not part or part.isspace():
            continue
        key, _, value = part.partition(": ")
        form = _OPTIONAL.get(key)
        if form is None or key in fields or not form.fullmatch(value.rstrip(" ")):
            return None
        fields[key] = value.rstrip(" ")
    return fields


def _ms(text: str | None) -> float | None:
    return None if text is None else float(text.removesuffix(" ms"))


def _text_boundary(message: str) -> InitStart | Boundary | None:
    if message.startswith("INIT_START "):
        return InitStart(None) if _INIT_START.fullmatch(message) else None
    found = _BOUNDARY.fullmatch(message)
    return Boundary(found[2], found[1] == "START") if found else None


def _text_phase(message: str) -> PhaseReport | None:
    found = _PHASE_REPORT.fullmatch(message)
    if found is None:
        return None
    kind, duration, phase, status, error_type = found.groups()
    default = "init" if kind == "INIT" else "restore"
    return PhaseReport(
        phase or default, float(duration), _status(status), provisioned=False, error_type=error_type or ""
    )


def _json_line(message: str) -> Line | None:
    try:
        event = json.loads(message)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not event.keys() <= _JSON_KEYS or not isinstance(event.get("record"), dict):
        return None
    record = event["record"]
    match event.get("type"):
        case "platform.report":
            return _json_report(record)
        case "platform.initReport" | "platform.restoreReport" as kind:
            return _json_phase(record, "init" if kind == "platform.initReport" else "restore")
        case "platform.start" | "platform.runtimeDone" | "platform.initStart" as kind:
            return _json_boundary(kind, record)
        case _:
            return None


def _json_boundary(kind: str, record: dict[str, Any]) -> InitStart | Boundary | None:
    if kind == "platform.initStart":
        return InitStart(record.get("initializationType") == _PROVISIONED)
    request_id = record.get("requestId")
    known = isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id)
    return Boundary(str(request_id), kind == "platform.start") if known else None


def _json_report(record: dict[str, Any]) -> Report | None:
    metrics, request_id = record.get("metrics"), record.get("requestId")
    status = record.get("status", "success")
    if not (isinstance(metrics, dict) and isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id)):
        return None
    if not _is_status(status) or not metrics.keys() >= _REQUIRED or not all(map(_is_number, metrics.values())):
        return None
    if metrics["memorySizeMB"] < 1:
        return None
    return Report(
        request_id,
        metrics["durationMs"],
        metrics["billedDurationMs"],
        int(metrics["memorySizeMB"]),
        int(metrics["maxMemoryUsedMB"]),
        metrics.get("initDurationMs"),
        metrics.get("restoreDurationMs"),
        metrics.get("billedRestoreDurationMs"),
        _status(status),
        _plain(record.get("errorType", "")),
        record.get("initializationType") == _PROVISIONED,
    )


def _json_phase(record: dict[str, Any], default: str) -> PhaseReport | None:
    metrics = record.get("metrics")
    duration = metrics.get("durationMs") if isinstance(metrics, dict) else None
    status = record.get("status", "success")
    if not _is_number(duration) or not _is_status(status):
        return None
    return PhaseReport(
        _plain(record.get("phase", default)),
        float(duration),
        _status(status),
        record.get("initializationType") == _PROVISIONED,
        _plain(record.get("errorType", "")),
    )


def _plain(value: object) -> str:
    """A value as text that can be stored: JSON may spell halves of a character (a lone surrogate), UTF-8 may not."""
    return str(value).encode("utf-8", "replace").decode()


def _is_status(status: object) -> bool:
    return isinstance(status, str) and _OPTIONAL["Status"].fullmatch(status) is not None


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a plausible figure: a finite number from 0 to 10^9."""
    return type(value) in _NUMBERS and 0 <= value <= _LARGEST  # type: ignore[operator]  # a number by its type
