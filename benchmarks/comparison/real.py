"""Two-run tests on real load: `python -m benchmarks.comparison.real [SECONDS]`, some five minutes.

The embedded application is measured by the API component: three baselines, the same again (A/A), then with a delay
that it was told to add to every answer. What the comparison finds of p50 and p95 stands beside that delay.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime

import httpx

from deployments.local.app import service
from deployments.local.platform import Part, platform
from deployments.parameters import ValidationParams
from storage.records import ComponentId
from storage.runs import RunFolder, new_run_name
from tasks.comparing import compare_runs
from tasks.judging import judge
from tasks.results import stored_manifests
from tasks.validation import measure_component, open_run

PARTS = {Part.DATABASE, Part.CACHE, Part.APPLICATION}
BASELINES = 3
DELAYS_MS = (0, 0, 1, 2, 5, 20)
METRICS = ("api.latency.p50", "api.latency.p95")


def run(output: str, seconds: float) -> RunFolder:
    """Measure the API once."""
    started = datetime.now(UTC)
    overrides = {"load.duration_s": f"{seconds:g}", "load.ramp_up_s": "1"}
    params = ValidationParams(profile="development", components=("api",), overrides=overrides, output=output)
    folder = open_run(params, new_run_name(started), started)
    measure_component(folder, ComponentId.API, 1)
    judge(folder, stored_manifests(folder), {})
    return folder


def main(seconds: float) -> None:
    """Print what is found of each delay."""
    with (
        tempfile.TemporaryDirectory() as output,
        platform(parts=PARTS, application_env={"PLATFORM_FAULTS": "1"}) as running,
    ):
        os.environ.update(running.environment)
        baselines = [run(output, seconds) for _ in range(BASELINES)]
        print(f"{BASELINES} baselines, {seconds:g} s each\n")
        print("| planted delay | figure | baseline | now | more by | verdict | would see |")
        print("|---|---|---|---|---|---|---|")
        for delay in DELAYS_MS:
            httpx.post(running.api_url + service.FAULTS_PATH, json={"*": {"latencyMs": delay}} if delay else {})
            found = {one.metric: one for one in compare_runs(run(output, seconds), baselines) if not one.labels}
            for one in (found[metric] for metric in METRICS):
                print(
                    f"| {delay} ms | {one.metric} | {one.baseline:.2f} ms | {one.value:.2f} ms "
                    f"| {one.value - one.baseline:+.2f} ms | {one.verdict} | {one.smallest:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
