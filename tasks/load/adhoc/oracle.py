"""A second opinion: the same load by k6, a load tool of other hands, beside ours.

k6 is looked for on PATH; it is no dependency of this project (its licence is AGPL). Its script reads the plan from a
private file that is gone afterwards, since URL and headers may hold secrets. Both speak HTTP/1.1. k6's
`http_req_duration` runs from sending to the whole answer, so it stands beside our service time; k6 does not count
from the intended start, and drops arrivals where it has no free user: it says how many.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.errors import NotMeasuredError, UsageError
from tasks.load.adhoc.plan import AdhocPlan
from tasks.load.adhoc.text import ms

SCRIPT = """import http from 'k6/http';
const plan = JSON.parse(open('./plan.json'));
export const options = {
  scenarios: { load: plan.scenario },
  summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)', 'p(99.9)', 'max'],
  discardResponseBodies: true,
};
const params = {
  headers: plan.headers,
  timeout: plan.timeout_ms,
  redirects: 0,
  responseCallback: http.expectedStatuses(...plan.expect),
};
export default function () {
  http.request(plan.method, plan.url, plan.body, params);
}
export function handleSummary(data) {
  return { './summary.json': JSON.stringify(data) };
}
"""
"""What k6 runs, whatever the plan."""

_STATS = {"p50": "med", "p95": "p(95)", "p99": "p(99)", "p99_9": "p(99.9)", "max": "max"}
_URL = re.compile(r"[a-z]+://[^\s\"']*")
_INHERITED = frozenset({"PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR"})
_START_S = 30.0
_TIME_UNIT_S = 100


@dataclass(frozen=True)
class Opinion:
    """What k6 measured: counts, `service_ms` in ms from sending, and its processor seconds (its start included)."""

    requests: int
    failed: int
    dropped: int
    service_ms: Mapping[str, float]
    client_cpu_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the command's JSON has it."""
        return asdict(self)


def find_k6() -> str:
    """The program; `UsageError` where PATH has none."""
    found = shutil.which("k6")
    if found is None:
        raise UsageError("--oracle k6: no k6 on PATH; install it from https://k6.io, or leave --oracle out")
    return found


def k6_plan(plan: AdhocPlan) -> dict[str, Any]:
    """The plan as the script reads it."""
    given = {name.lower() for name in plan.headers}
    headers = {} if "user-agent" in given else {"User-Agent": "hasivu-perf"}
    if plan.body is not None and "content-type" not in given:
        headers["Content-Type"] = "application/json"
    return {
        "url": plan.origin + plan.target,
        "method": plan.method,
        "headers": {**headers, **plan.headers},
        "body": None if plan.body is None else _text(plan.body),
        "expect": list(plan.expect),
        "timeout_ms": round(plan.timeout_s * 1e3),
        "scenario": _scenario(plan),
    }


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise UsageError("--oracle k6 takes a body of text: leave --oracle out for one of bytes") from None


def _scenario(plan: AdhocPlan) -> dict[str, Any]:
    """k6's executor of the same model."""
    ramp, steady = f"{round(plan.ramp_up_s * 1e3)}ms", f"{round(plan.steady_s * 1e3)}ms"
    grace = {"gracefulStop": f"{round(plan.timeout_s * 1e3)}ms"}
    if plan.rate is None:
        users = plan.connections
        if not plan.ramp_up_s:
            return {"executor": "constant-vus", "vus": users, "duration": steady, **grace}
        stages = [{"duration": ramp, "target": users}, {"duration": steady, "target": users}]
        return {"executor": "ramping-vus", "startVUs": 0, "stages": stages, **grace}
    rate = round(plan.rate * _TIME_UNIT_S)  # k6 takes whole numbers
    unit = {"timeUnit": f"{_TIME_UNIT_S}s", **_users(plan.rate), **grace}
    if not plan.ramp_up_s:
        return {"executor": "constant-arrival-rate", "rate": rate, "duration": steady, **unit}
    stages = [{"duration": ramp, "target": rate}, {"duration": steady, "target": rate}]
    return {"executor": "ramping-arrival-rate", "startRate": 0, "stages": stages, **unit}


def _users(rate: float) -> dict[str, int]:
    """As many users as answers of 0.2 s take, and ten times that at most, as a stall needs them."""
    ready = max(10, round(rate * 0.2))
    return {"preAllocatedVUs": ready, "maxVUs": ready * 10}


def run_k6(plan: AdhocPlan, program: str) -> Opinion:
    """Run the plan in k6; `NotMeasuredError` with its last line where it fails."""
    with tempfile.TemporaryDirectory(prefix="hasivu-k6-") as name:
        folder = Path(name)
        (folder / "plan.json").write_text(json.dumps(k6_plan(plan)), encoding="utf-8")
        (folder / "script.js").write_text(SCRIPT, encoding="utf-8")
        errors = folder / "stderr.txt"
        with errors.open("wb") as stderr:
            code, cpu_s = _run(program, folder, stderr, _START_S + plan.duration_s + 3 * plan.timeout_s)
        summary = folder / "summary.json"
        if code != 0 or not summary.exists():
            raise NotMeasuredError(f"k6 ended with code {code}: {_last_line(errors)}")
        return parse(json.loads(summary.read_text(encoding="utf-8")), client_cpu_seconds=cpu_s)


def _run(program: str, folder: Path, stderr: Any, limit_s: float) -> tuple[int, float]:
    """Run k6 within a time limit; its exit code and the processor seconds it used."""
    command = [program, "run", "--quiet", "--no-color", "--no-usage-report", "script.js"]
    kept = {name: value for name, value in os.environ.items() if name in _INHERITED}
    quiet = {**kept, "HOME": str(folder), "GODEBUG": "http2client=0", "K6_NO_USAGE_REPORT": "true"}
    process = subprocess.Popen(
        command, cwd=folder, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
    )
    end = time.monotonic() + limit_s
    try:
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode, used.ru_utime + used.ru_stime
            if time.monotonic() > end:
                raise NotMeasuredError(f"k6 did not end within {limit_s:.0f} s: stopped")
            time.sleep(0.05)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()


def _last_line(path: Path) -> str:
    """The end of what k6 said, without any URL."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return _URL.sub("<url>", lines[-1])[:300] if lines else "it said nothing; `k6 version` must be 0.43 or later"


def parse(summary: Mapping[str, Any], *, client_cpu_seconds: float | None = None) -> Opinion:
    """Read what k6's handleSummary is given."""
    metrics = summary["metrics"]
    try:
        duration = metrics["http_req_duration"]["values"]
        return Opinion(
            requests=int(metrics["http_reqs"]["values"]["count"]),
            failed=int(metrics["http_req_failed"]["values"]["passes"]),
            dropped=int(metrics.get("dropped_iterations", {"values": {"count": 0}})["values"]["count"]),
            service_ms={name: float(duration[stat]) for name, stat in _STATS.items()},
            client_cpu_seconds=client_cpu_seconds,
        )
    except KeyError as missing:
        raise NotMeasuredError(
            f"k6's summary has no {missing}: it sent nothing, or is of an unknown version"
        ) from None


def compare(found: Mapping[str, Any], opinion: Opinion) -> str:
    """Both side by side: ours, k6's, and ours minus k6's."""
    rows = [("", "hasivu-perf", "k6", "difference")]
    rows.append(_row("requests", found["requests"], opinion.requests, "{:,.0f}".format))
    rows.append(_row("errors", found["errors"]["total"], opinion.failed, "{:,.0f}".format))
    if opinion.dropped:
        rows.append(_row("never sent", found["unsent"], opinion.dropped, "{:,.0f}".format))
    ours, theirs = found["service_ms"], opinion.service_ms
    rows += [_row(f"service {name.replace('_', '.')}", ours[name], theirs[name], ms) for name in _STATS]
    cpu = "{:.2f} s".format
    rows.append(_row("CPU", found["client_cpu_seconds"], opinion.client_cpu_seconds, cpu))
    return "\n".join(f"{name:<14}{one:>14}{other:>14}{difference:>14}" for name, one, other, difference in rows)


def _row(name: str, ours: float | None, theirs: float | None, show: Any) -> tuple[str, str, str, str]:
    shown = ["not measured" if value is None else show(value) for value in (ours, theirs)]
    if ours is None or theirs is None:
        return name, shown[0], shown[1], ""
    return name, shown[0], shown[1], f"{'+' if ours >= theirs else '-'}{show(abs(ours - theirs))}"
