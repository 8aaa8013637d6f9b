"""Truth and cost of the load engine beside its rivals: `python -m benchmarks.load [--quick]`, about ten minutes.

It writes REPORT.md beside this file. Programs of others come from PATH, or from the folder that HASIVU_PERF_RIVALS
names; one that is missing is "not measured". Client and server run on cores of their own where there are two.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load import targets, truth
from benchmarks.load.places import CLIENT_CORE, CORES, SERVER_CORE, Certificate, fast_server
from benchmarks.load.throughput import CONNECTIONS, one
from benchmarks.load.truth import Compared, compare, medians

REPORT = Path(__file__).with_name("REPORT.md")
_BUSY = 2.5
TOOLS = {"raw wire": truth.engine, "httpx API": truth.api, "k6": truth.k6}


def main(*, quick: bool) -> None:
    """Measure, print and write."""
    rounds, seconds = (1, 4.0) if quick else (3, 10.0)
    began, load = datetime.now(UTC), [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="hasivu-bench-") as folder:
        plain = measure_truth(rounds, seconds)
        load.append(os.getloadavg()[0])
        http = measure_throughput(2 * rounds + 1, seconds * 0.3)
        certificate = Certificate.of(Path(folder))  # from here on the authority of the test is the trusted one
        secure = measure_tls(seconds, certificate)
        https = measure_throughput(2 * rounds + 1, seconds * 0.3, certificate)
        load.append(os.getloadavg()[0])
    stall, late_ms = truth.stall(seconds * 2), truth.lateness(seconds)
    load.append(os.getloadavg()[0])
    rows = {**plain, **secure}
    found = [
        targets.within("raw wire, undisturbed", rows["undisturbed", "raw wire"], 0.1),
        targets.cost("raw wire, undisturbed", rows["undisturbed", "raw wire"], rows["undisturbed", "k6"], 0.5),
        targets.within("httpx API, undisturbed", rows["undisturbed", "httpx API"], 0.15),
        targets.cost("httpx API, undisturbed", rows["undisturbed", "httpx API"], rows["undisturbed", "k6"], 0.8),
        targets.disturbed("CPU hog on the generator's core", rows["CPU hog", "raw wire"]),
        targets.disturbed("event loop blocked 40 ms every 240 ms", rows["blocked loop", "raw wire"]),
        targets.disturbed("CPU hog, httpx API", rows["CPU hog", "httpx API"]),
        targets.disturbed("event loop blocked, httpx API", rows["blocked loop", "httpx API"]),
        targets.within("raw wire, TLS", rows["TLS", "raw wire"], 0.1),
        targets.cost("raw wire, TLS", rows["TLS", "raw wire"], rows["TLS", "k6"], 0.5),
        *targets.stall(stall),
        targets.lateness(late_ms),
        *(
            targets.ratio(f"{ours} ÷ {theirs}", [(line[ours], line[theirs]) for line in http], least)
            for ours, theirs, least in (
                ("callbacks", "wrk", 0.85),
                ("httpx API", "wrk", 0.45),
                ("httpx API", "k6", 4.0),
                ("httpx API", "Locust FastHttpUser", 10.0),
            )
        ),
        targets.ratio("httpx API ÷ k6, TLS", [(line["httpx API"], line["k6"]) for line in https], 2.0),
    ]
    text = report(describe(began, load, rounds, seconds), found, rows, http, https)
    REPORT.write_text(text, encoding="utf-8")
    print(text)


Rows = dict[tuple[str, str], Compared | str]


def measure_truth(rounds: int, seconds: float) -> Rows:
    """All tools undisturbed, in turn; then with a hog on the core, and with a blocked event loop."""
    rows: Rows = {}
    lines = [{name: compare(name, tool, seconds=seconds) for name, tool in TOOLS.items()} for _ in range(rounds)]
    for name in TOOLS:
        rows["undisturbed", name] = medians([line[name] for line in lines])
        say(f"truth, undisturbed, {name}: {rows['undisturbed', name]}")
    for name, tool in TOOLS.items():
        rows["CPU hog", name] = compare(name, tool, seconds=seconds, hog=True)
        say(f"truth, CPU hog, {name}: {rows['CPU hog', name]}")
    for name, tool in (("raw wire", truth.blocked), ("httpx API", truth.api_blocked)):
        rows["blocked loop", name] = compare(name, tool, seconds=seconds)
        say(f"truth, blocked loop, {name}: {rows['blocked loop', name]}")
    return rows


def measure_tls(seconds: float, certificate: Certificate) -> Rows:
    """All tools over TLS."""
    rows: Rows = {}
    for name, tool in TOOLS.items():
        rows["TLS", name] = compare(name, tool, seconds=seconds, certificate=certificate)
        say(f"truth, TLS, {name}: {rows['TLS', name]}")
    return rows


def measure_throughput(
    rounds: int, seconds: float, certificate: Certificate | None = None
) -> list[dict[str, targets.Figure]]:
    """All tools in turn, as often as there are rounds; over TLS without Locust."""
    names = ["callbacks", "httpx API", "wrk", "k6", *([] if certificate else ["Locust FastHttpUser"])]
    lines = []
    with fast_server(certificate) as url:
        for _ in range(rounds):
            lines.append({name: one(name, url, seconds) for name in names})
            say(f"throughput{', TLS' if certificate else ''}: {lines[-1]}")
    return lines


def report(
    head: str,
    found: list[targets.Target],
    rows: Rows,
    http: list[dict[str, targets.Figure]],
    https: list[dict[str, targets.Figure]],
) -> str:
    """The whole of it as Markdown."""
    met = sum(target.met is True for target in found)
    return f"""# Load engine: truth and cost beside its rivals

{head} {met} of {len(found)} targets met.

{targets.target_table(found)}

## Truth: what a tool reports minus what the server knows, ms

1,000 requests/s; the server answers 20 ms after the kernel took a request in, each 50th one 200 ms after. Every tool
has the time from sending; where one counts from the intended start too, that stands beside it. Processor seconds are
without the tool's own start.

{targets.truth_table([(situation, one) for (situation, _), one in rows.items()])}

## Requests per client CPU-second, {CONNECTIONS} connections, 1 KB of JSON from nginx

{targets.throughput_table(http)}

Over TLS:

{targets.throughput_table(https)}
"""


def describe(began: datetime, load: list[float], rounds: int, seconds: float) -> str:
    """When, on what, and how quiet it was."""
    cores = f"Client on core {CLIENT_CORE}, server on core {SERVER_CORE}"
    if len(CORES) == 1:
        cores += " (the same: there is but one)"
    busy = "; other work ran beside it, so these are figures of a busy machine" if max(load) > _BUSY else ""
    loads = " → ".join(f"{one:.1f}" for one in load)
    system = f"Linux {platform.release().partition('-')[0]}"
    return f"""{began:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({_processor()}), {system},
Python {platform.python_version()}. {cores}. Load average of the machine: {loads}{busy}.
Made by `python -m benchmarks.load`; {rounds} round(s) of {seconds:g} s, medians."""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def say(text: str) -> None:
    """A sign of life."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
