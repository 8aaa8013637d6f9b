"""The text of each log event, made when it is read: the formats of Lambda's platform lines and of application lines.

Formats: AWS Lambda Developer Guide, "Understanding Lambda function logs" (text) and "Lambda Telemetry API Event
schema" (JSON). Separators are tabs; a REPORT line ends in a tab and a newline.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache

from deployments.local.aws.corpus import OUT_OF_MEMORY, PROVISIONED, TIMED_OUT, Invocations
from deployments.local.aws.environments import INIT_LIMIT_MS
from deployments.local.aws.functions import Function
from deployments.local.aws.names import ALIAS_VERSION

RUNTIME_VERSION = "nodejs:18.v79"
TRACED_ONE_IN = 20


class Line(IntEnum):
    """The kind of a log event, in the order in which events of one millisecond are written."""

    INIT_START = 0
    INIT_REPORT = 1
    START = 2
    APPLICATION = 3
    SPOOF = 4
    FAILURE = 5
    END = 6
    REPORT = 7
    PROVISIONED_INIT = 8


class Writer:
    """Renders the log events of one function."""

    def __init__(self, function: Function, invocations: Invocations) -> None:
        self.function = function
        self._it = invocations
        self._billed = invocations.billed
        self._json = function.log_format == "JSON"

    def message(self, line: Line, index: int, timestamp_ms: int) -> str:
        """The message of one event about invocation number `index`."""
        render = _JSON[line] if self._json else _TEXT[line]
        return render(self, index, timestamp_ms)

    def request_id(self, index: int) -> str:
        """The request id of an invocation: a UUID that depends on function and start alone."""
        return _uuid(f"{self.function.key}/{self._it.environment[index]}/{self._it.start[index]}")

    def stream(self, index: int) -> str:
        """The log stream: one for each environment, named after the day on which it began."""
        # a custom log group names the function in its streams, as several may share it
        owner = "" if self.function.log_group.startswith("/aws/lambda/") else self.function.name
        return _stream(self.function.key, owner, self._version(index), int(self._it.environment[index]))

    def _version(self, index: int) -> str:
        return ALIAS_VERSION if self._it.flags[index] & PROVISIONED else "$LATEST"

    # --- text ---------------------------------------------------------------------------------------------------

    def text_report(self, index: int, _timestamp_ms: int) -> str:
        """`REPORT RequestId: …`, with Init Duration, Status, Error Type and the trace where they apply."""
        it = self._it
        flags = int(it.flags[index])
        parts = [
            f"REPORT RequestId: {self.request_id(index)}",
            f"Duration: {it.duration[index]:.2f} ms",
            f"Billed Duration: {self._billed[index]} ms",
            f"Memory Size: {it.memory[index]} MB",
            f"Max Memory Used: {it.used[index]} MB",
        ]
        if not math.isnan(it.init[index]):
            parts.append(f"Init Duration: {it.init[index]:.2f} ms")
        if flags & TIMED_OUT:
            parts.append("Status: timeout")
        elif flags & OUT_OF_MEMORY:
            parts += ["Status: error", "Error Type: Runtime.OutOfMemory"]
        return "\t".join(parts) + "\t\n" + self._trace(index)

    def text_start(self, index: int, _timestamp_ms: int) -> str:
        """`START RequestId: … Version: …`."""
        return f"START RequestId: {self.request_id(index)} Version: {self._version(index)}\n"

    def text_end(self, index: int, _timestamp_ms: int) -> str:
        """`END RequestId: …`."""
        return f"END RequestId: {self.request_id(index)}\n"

    def text_init_start(self, _index: int, _timestamp_ms: int) -> str:
        """`INIT_START Runtime Version: …`."""
        arn = hashlib.sha256(self.function.runtime.encode()).hexdigest()
        return (
            f"INIT_START Runtime Version: {RUNTIME_VERSION}\t"
            f"Runtime Version ARN: arn:aws:lambda:ap-south-1::runtime:{arn}\n"
        )

    def text_init_report(self, _index: int, _timestamp_ms: int) -> str:
        """`INIT_REPORT … Status: timeout`: an init that was abandoned, not a cold start that was measured."""
        return f"INIT_REPORT Init Duration: {INIT_LIMIT_MS + 8.37:.2f} ms\tPhase: init\tStatus: timeout\n"

    def text_failure(self, index: int, timestamp_ms: int) -> str:
        """What the runtime writes of a time-out, a killed process or an error that the handler let through."""
        flags = int(self._it.flags[index])
        at, request = _iso(timestamp_ms), self.request_id(index)
        if flags & TIMED_OUT:
            return f"{at} {request} Task timed out after {self.function.timeout_s:.2f} seconds\n\n"
        if flags & OUT_OF_MEMORY:
            return f"RequestId: {request} Error: Runtime exited with error: signal: killed\nRuntime.OutOfMemory\n"
        detail = json.dumps({"errorType": "Error", "errorMessage": "upstream answered 502", "stack": ["Error"]})
        return f"{at}\t{request}\tERROR\tInvoke Error \t{detail}\n"

    def text_application(self, index: int, timestamp_ms: int) -> str:
        """An ordinary line of the handler (console.info of the Node.js runtime)."""
        return f"{_iso(timestamp_ms)}\t{self.request_id(index)}\tINFO\t{_said(index)}\n"

    def text_spoof(self, index: int, timestamp_ms: int) -> str:
        """A line of the handler that looks like a report and is none."""
        fake = _fake_report(self.request_id(index))
        return (
            f"{_iso(timestamp_ms)}\t{self.request_id(index)}\tINFO\t{fake}\n",
            f"REPORT for school {index % 60}: Duration: 99999 ms, Billed Duration: 99999 ms, Init Duration: 9 ms\n",
            f'{_iso(timestamp_ms)}\t{self.request_id(index)}\tWARN\tretrying; last line was "{fake}"\n',
        )[index // 90 % 3]

    def _trace(self, index: int) -> str:
        if not self.function.traced or index % TRACED_ONE_IN:
            return ""
        seed = hashlib.sha256(self.request_id(index).encode()).hexdigest()
        at = int(self._it.start[index]) // 1000
        return f"XRAY TraceId: 1-{at:08x}-{seed[:24]}\tSegmentId: {seed[24:40]}\tSampled: true\t\n"

    # --- JSON ---------------------------------------------------------------------------------------------------

    def json_report(self, index: int, timestamp_ms: int) -> str:
        """`platform.report`."""
        it = self._it
        flags = int(it.flags[index])
        metrics: dict[str, float] = {
            "durationMs": float(it.duration[index]),
            "billedDurationMs": int(self._billed[index]),
            "memorySizeMB": int(it.memory[index]),
            "maxMemoryUsedMB": int(it.used[index]),
        }
        if not math.isnan(it.init[index]):
            metrics["initDurationMs"] = float(it.init[index])
        record: dict[str, object] = {"requestId": self.request_id(index), "metrics": metrics, "status": "success"}
        if flags & TIMED_OUT:
            record["status"] = "timeout"
        elif flags & OUT_OF_MEMORY:
            record |= {"status": "error", "errorType": "Runtime.OutOfMemory"}
        return _platform("report", timestamp_ms, record)

    def json_start(self, index: int, timestamp_ms: int) -> str:
        """`platform.start`."""
        return _platform(
            "start", timestamp_ms, {"requestId": self.request_id(index), "version": self._version(index)}
        )

    def json_end(self, index: int, timestamp_ms: int) -> str:
        """`platform.runtimeDone`."""
        record = {
            "requestId": self.request_id(index),
            "status": "success",
            "metrics": {"durationMs": float(self._it.duration[index]), "producedBytes": 120},
        }
        return _platform("runtimeDone", timestamp_ms, record)

    def json_init_start(self, _index: int, timestamp_ms: int) -> str:
        """`platform.initStart` of an environment that a request started."""
        return _platform("initStart", timestamp_ms, self._init("on-demand"))

    def json_init_report(self, _index: int, timestamp_ms: int) -> str:
        """`platform.initReport` of an init that was abandoned."""
        record = self._init("on-demand") | {"status": "timeout", "metrics": {"durationMs": INIT_LIMIT_MS + 8.37}}
        return _platform("initReport", timestamp_ms, record)

    def json_provisioned_init(self, index: int, timestamp_ms: int) -> str:
        """`platform.initReport` of a provisioned environment: an init for which no caller waited."""
        metrics = {"durationMs": round(700 + float(self._it.duration[index]) / 7, 2)}
        record = self._init("provisioned-concurrency") | {"status": "success", "metrics": metrics}
        return _platform("initReport", timestamp_ms, record)

    def json_failure(self, index: int, timestamp_ms: int) -> str:
        """The application line of an error."""
        flags = int(self._it.flags[index])
        timed_out = f"Task timed out after {self.function.timeout_s:.2f} seconds"
        said = timed_out if flags & TIMED_OUT else "upstream answered 502"
        return self._said("ERROR", said, index, timestamp_ms)

    def json_application(self, index: int, timestamp_ms: int) -> str:
        """An ordinary application line."""
        return self._said("INFO", _said(index), index, timestamp_ms)

    def json_spoof(self, index: int, timestamp_ms: int) -> str:
        """An application line whose text looks like a report and is none."""
        metrics = {"durationMs": 99999.0, "billedDurationMs": 99999, "memorySizeMB": 128, "maxMemoryUsedMB": 128}
        request = self.request_id(index)
        fake = _platform("report", timestamp_ms, {"requestId": request, "metrics": metrics, "status": "success"})
        return self._said("INFO", fake if index // 90 % 2 else _fake_report(request), index, timestamp_ms)

    def _init(self, kind: str) -> dict[str, object]:
        return {"initializationType": kind, "phase": "init", "runtimeVersion": RUNTIME_VERSION}

    def _said(self, level: str, said: str, index: int, timestamp_ms: int) -> str:
        line = {"timestamp": _iso(timestamp_ms), "level": level, "requestId": self.request_id(index), "message": said}
        return json.dumps(line, separators=(",", ":")) + "\n"


_TEXT = {
    Line.INIT_START: Writer.text_init_start,
    Line.INIT_REPORT: Writer.text_init_report,
    Line.START: Writer.text_start,
    Line.APPLICATION: Writer.text_application,
    Line.SPOOF: Writer.text_spoof,
    Line.FAILURE: Writer.text_failure,
    Line.END: Writer.text_end,
    Line.REPORT: Writer.text_report,
}

_JSON = {
    Line.INIT_START: Writer.json_init_start,
    Line.INIT_REPORT: Writer.json_init_report,
    Line.START: Writer.json_start,
    Line.APPLICATION: Writer.json_application,
    Line.SPOOF: Writer.json_spoof,
    Line.FAILURE: Writer.json_failure,
    Line.END: Writer.json_end,
    Line.REPORT: Writer.json_report,
    Line.PROVISIONED_INIT: Writer.json_provisioned_init,
}


@lru_cache(maxsize=4096)
def _stream(key: str, owner: str, version: str, environment: int) -> str:
    day = datetime.fromtimestamp(environment // 100_000 * 86_400, UTC)
    name = hashlib.md5(f"{key}/{environment}".encode(), usedforsecurity=False).hexdigest()
    return f"{day:%Y/%m/%d}/{owner}[{version}]{name}"


def _uuid(seed: str) -> str:
    raw = hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()
    return f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"


def _iso(timestamp_ms: int) -> str:
    at = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{timestamp_ms % 1000:03d}Z"


def _platform(kind: str, timestamp_ms: int, record: Mapping[str, object]) -> str:
    line = {"time": _iso(timestamp_ms), "type": f"platform.{kind}", "record": record}
    return json.dumps(line, separators=(",", ":")) + "\n"


def _fake_report(request: str) -> str:
    return (
        f"REPORT RequestId: {request}\tDuration: 99999.00 ms\tBilled Duration: 99999 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 128 MB\tInit Duration: 99999.00 ms"
    )


def _said(index: int) -> str:
    return (
        "request completed with status 200",
        "cache miss, read from the database",
        f"verified {index % 37 + 1} records",
        "daily report queued",
    )[index // 40 % 4]
