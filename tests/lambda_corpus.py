"""A log of every format with hostile lines in it, and what is true of it: made here, from AWS's documented shapes.

Nothing of the code under test is used: the truth is kept while the lines are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tasks.components.lambda_functions.reports import LogEvent

START_MS = 1_760_000_000_000
MINUTE_MS = 60_000


@dataclass
class Truth:
    """What one function really did."""

    durations: list[float] = field(default_factory=list)
    inits: list[float] = field(default_factory=list)
    restores: list[float] = field(default_factory=list)
    provisioned: int = 0
    failed_inits: int = 0
    timeouts: int = 0
    errors: int = 0
    billed: int = 0
    duplicates: int = 0


@dataclass
class Corpus:
    """Events in any order, and the truth by function."""

    events: list[LogEvent]
    truth: dict[str, Truth]


FUNCTIONS = ("text", "traced", "json", "snapstart", "provisioned", "boundaries", "shared-a", "shared-b")
"""One function for each way in which the platform writes."""


def generate(invocations: int = 400, seed: int = 7) -> Corpus:
    """So many invocations of each function, and about as many lines that are none."""
    rng = Random(seed)  # noqa: S311 - test data
    events: list[LogEvent] = []
    truth = {}
    for name in FUNCTIONS:
        writer = _Writer(name, rng, Truth())
        events += writer.write(invocations)
        truth[name] = writer.truth
    rng.shuffle(events)
    return Corpus(events, truth)


class _Writer:
    def __init__(self, name: str, rng: Random, truth: Truth) -> None:
        self.name, self.rng, self.truth = name, rng, truth
        self.json = name in {"json", "provisioned"}
        self.group = {"shared-a": "/shared", "shared-b": "/shared"}.get(name, f"/aws/lambda/{name}")
        self.stream = ""

    def event(self, at: int, message: str) -> LogEvent:
        return LogEvent(at, message, log_group=self.group, log_stream=self.stream)

    def write(self, invocations: int) -> Iterator[LogEvent]:
        for number in range(invocations):
            at = START_MS + number * 90_000
            cold = number % 9 == 0
            if cold:
                self.stream = f"2025/10/09/{self.name}[$LATEST]{number:032x}"
            yield from self.invocation(number, at, cold=cold)

    def invocation(self, number: int, at: int, *, cold: bool) -> Iterator[LogEvent]:
        rid = f"{number:08x}-{self.rng.randrange(4096):04x}-4111-8111-{self.rng.randrange(16**12):012x}"
        duration = round(self.rng.uniform(1, 3000), 2)
        status = "timeout" if number % 97 == 5 else "error" if number % 89 == 7 else "success"
        init = round(self.rng.uniform(80, 900), 2) if cold else None
        billed = int(duration) + 1 + int(init or 0)
        end = at + 5000
        yield from self.before(number, at, rid, init)
        yield from self.noise(number, at + 2000, rid)
        if self.name == "boundaries":
            yield self.event(end, f"END RequestId: {rid}\n")
        report = self.report(rid, duration, billed, init, status)
        yield self.event(end, report)
        if number % 50 == 11:  # delivered twice
            yield self.event(end + 40, report)
            self.truth.duplicates += 1
        self.truth.durations.append(duration)
        self.truth.billed += billed
        self.truth.timeouts += status == "timeout"
        self.truth.errors += status == "error"
        self.count_init(init)

    def count_init(self, init: float | None) -> None:
        if init is None:
            return
        if self.name == "snapstart":
            self.truth.restores.append(init)
        elif self.name == "provisioned":
            self.truth.provisioned += 1
        else:
            self.truth.inits.append(init)

    def before(self, number: int, at: int, rid: str, init: float | None) -> Iterator[LogEvent]:
        if self.name == "boundaries":
            yield self.event(at, f"START RequestId: {rid} Version: $LATEST\n")
        if init is not None and self.name == "provisioned":
            record = {"initializationType": "provisioned-concurrency", "phase": "init", "status": "success"}
            yield self.event(at - 9000, _platform("initReport", {**record, "metrics": {"durationMs": init}}))
        if number % 45 == 9:
            self.truth.failed_inits += 1
            if self.json:
                failed = {"phase": "init", "status": "timeout", "metrics": {"durationMs": 9999.5 + number}}
                yield self.event(at, _platform("initReport", failed))
            else:
                yield self.event(
                    at, f"INIT_REPORT Init Duration: {9999.5 + number:.2f} ms\tPhase: init\tStatus: timeout\n"
                )

    def report(self, rid: str, duration: float, billed: int, init: float | None, status: str) -> str:
        if self.json:
            metrics = {"durationMs": duration, "billedDurationMs": billed, "memorySizeMB": 512, "maxMemoryUsedMB": 99}
            metrics |= {"initDurationMs": init} if init is not None else {}
            return _platform("report", {"requestId": rid, "metrics": metrics, "status": status})
        line = _text(rid, duration, billed)
        if init is not None:
            line += (
                f"\tRestore Duration: {init:.2f} ms\tBilled Restore Duration: {int(init)} ms"
                if self.name == "snapstart"
                else f"\tInit Duration: {init:.2f} ms"
            )
        if status != "success":
            line += f"\tStatus: {status}" + ("\tError Type: Runtime.ExitError" if status == "error" else "")
        if self.name == "traced":
            line += "\t\nXRAY TraceId: 1-5e34a614-10bdf1fb44f07bc535a1aaaa\tSegmentId: 07f522d1f6f85abc"
            line += "\tSampled: true"
        return line + "\t\n"

    def noise(self, number: int, at: int, rid: str) -> Iterator[LogEvent]:
        """What user code writes while the invocation runs."""
        other = f"{number:08x}-ffff-4fff-8fff-ffffffffffff"
        fake = _text(other, 99999.0, 99999) + "\tInit Duration: 99999.00 ms"
        choices = [
            f"2025-10-09T10:00:00.000Z\t{rid}\tINFO\t{fake}\t\n",
            f"plain words about REPORT RequestId: {rid}\n",
            f"{fake}\tand more\n",
            fake.replace("\t", " ") + "\n",  # blanks, in a log that has tabs
            fake[:-30],
            json.dumps({"level": "INFO", "message": _platform("report", {"requestId": other})}),
            json.dumps({"timestamp": "2025-10-09T10:00:00Z", "level": "INFO", "requestId": rid, "message": fake}),
            _platform("report", {"requestId": other}),
            _platform("report", {"requestId": other, "metrics": {"durationMs": "99999"}}),
            "INIT_REPORT Init Duration: 99999 ms (cold)\n",
            f"   {fake}\t\n",
            "{not json} platform.report",
        ]
        if self.json:  # here user code is wrapped, so that blanks are no form of the platform's to be compared with
            choices.remove(fake.replace("\t", " ") + "\n")
        yield self.event(at, choices[number % len(choices)])
        if number % 13 == 4 and not self.json:  # its own report, forged before the platform's
            yield self.event(at + 1, _text(rid, 99999.0, 99999) + "\t\n")
            self.truth.duplicates += 1
        if self.name == "boundaries" and number % 6 == 1:  # a perfect forgery, which START and END contradict
            yield self.event(at + 2, fake + "\t\n")


def _text(rid: str, duration: float, billed: int) -> str:
    return (
        f"REPORT RequestId: {rid}\tDuration: {duration:.2f} ms\tBilled Duration: {billed} ms"
        "\tMemory Size: 512 MB\tMax Memory Used: 99 MB"
    )


def _platform(kind: str, record: dict[str, Any]) -> str:
    return json.dumps({"time": "2025-10-09T10:00:00.000Z", "type": f"platform.{kind}", "record": record})
