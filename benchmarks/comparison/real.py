"""Two-run tests on real load: `python -m benchmarks.comparison.real [SECONDS]`, some five minutes.

The embedded application is measured by the API component: three baselines, the same again (A/A), then with a delay
that it was told to add to every answer. What the comparison finds of p50 and p95 stands beside that delay.
"""

from __future__ import annotations

import os
import sys
import tempfile

import httpx

from benchmarks.alone import measured_alone
from deployments.local.app import service
from deployments.local.platform import Part, platform
from storage.records import ComponentId
from tasks.comparing import compare_runs

PARTS = {Part.DATABASE, Part.CACHE, Part.APPLICATION}
BASELINES = 3
DELAYS_MS = (0, 0, 1, 2, 5, 20)
METRICS = ("api.latency.p50", "api.latency.p95")


def main(seconds: float) -> None:
    """Print what is found of each delay."""
    with (
        tempfile.TemporaryDirectory() as output,
        platform(parts=PARTS, application_env={"PLATFORM_FAULTS": "1"}) as running,
    ):
        os.environ.update(running.environment)
        baselines = [measured_alone(ComponentId.API, {}, seconds, output)[0] for _ in range(BASELINES)]
        print(f"{BASELINES} baselines, {seconds:g} s each\n")
        print("| planted delay | figure | baseline | now | more by | verdict | would see |")
        print("|---|---|---|---|---|---|---|")
        for delay in DELAYS_MS:
            httpx.post(running.api_url + service.FAULTS_PATH, json={"*": {"latencyMs": delay}} if delay else {})
            now, _ = measured_alone(ComponentId.API, {}, seconds, output)
            found = {one.metric: one for one in compare_runs(now, baselines) if not one.labels}
            for one in (found[metric] for metric in METRICS):
                print(
                    f"| {delay} ms | {one.metric} | {one.baseline:.2f} ms | {one.value:.2f} ms "
                    f"| {one.value - one.baseline:+.2f} ms | {one.verdict} | {one.smallest:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
