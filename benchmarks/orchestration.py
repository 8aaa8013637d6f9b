"""What a run costs beside its measuring: wall time − time in which something was measured, against a running server.

`make bench` runs it. The embedded platform and a Prefect server are held; `hasivu-perf run` is timed as a user starts
it, from the command to its exit: imports, tasks, storage, judging and every rendering are in it. The limit is 15 s.
The ratio says how much of a nightly run of 600 s that is.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deployments.hosting.guardian import Guardian
from deployments.local.orchestrator import start_server
from deployments.local.platform import platform
from storage.parquet import Store
from storage.runs import find_run
from tasks.report.attempts import measuring_s, orchestration_s

ROUNDS = 3
SECONDS = 10
LIMIT_S = 15.0
NIGHTLY_S = 600.0


def main() -> None:
    """Print each round and the medians."""
    program = Path(sys.executable).with_name("hasivu-perf")
    with platform() as running, Guardian(Path(tempfile.mkdtemp(prefix="hasivu-bench-"))) as guardian:
        output = guardian.folder / "output"
        variables = {
            **os.environ,
            **running.environment,
            "PREFECT_API_URL": start_server(guardian),
            "PREFECT_HOME": str(guardian.folder / "client"),
        }
        command = [str(program), "run", "development", "--duration", str(SECONDS), "--ramp-up", "2"]
        rows = [one_round([*command, "--output", str(output)], variables, output) for _ in range(ROUNDS)]
    outside, inside = (statistics.median(row[column] for row in rows) for column in (0, 1))
    print(
        f"median: {outside:.1f} s of the command's wall time, {inside:.1f} s of it in the flow (limit {LIMIT_S:g} s)"
    )
    print(f"ratio to a run of {NIGHTLY_S:g} s: {outside / NIGHTLY_S:.1%}")
    assert outside <= LIMIT_S


def one_round(command: list[str], variables: dict[str, str], output: Path) -> tuple[float, float]:
    """Seconds beside measuring: of the whole command, and of the flow until it was judged."""
    began = time.monotonic()
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=200, check=False)
    wall = time.monotonic() - began
    assert done.returncode in (0, 1), done.stderr
    report = find_run(Store(output), "latest").report()
    measured = [part for part in report.components if part.status == "measured"]
    (attempt,) = report.attempts
    inside = orchestration_s(attempt, measured)
    assert inside is not None
    measuring = measuring_s(attempt, measured)
    beside = wall - measuring
    print(f"wall {wall:.1f} s, measuring {measuring:.1f} s, beside it {beside:.1f} s, in the flow {inside:.1f} s")
    return beside, inside


if __name__ == "__main__":
    main()
