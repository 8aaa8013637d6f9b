"""Several runs of one environment, begun at once, each with a Prefect server of its own that knows of no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from deployments.local.platform import Platform
from storage.parquet import Store
from storage.records import MeasuredComponent
from storage.runs import find_run
from tests.e2e.conftest import Ended, run

RUNS = 4
SHORT = ("--set", "load.duration_s=5", "--set", "load.ramp_up_s=1")


@pytest.mark.timeout(600)
def test_four_runs_at_once_are_whole_and_never_load_together(held_platform: Platform, tmp_path: Path) -> None:
    variables = {**held_platform.environment, **held_platform.variables("STAGING")}

    def started(number: int) -> Ended:
        return run(
            "run", "staging", "--components", "api", "--output", str(tmp_path / str(number)), *SHORT,
            cwd=tmp_path, variables=variables, seconds=300,
        )  # fmt: skip

    with ThreadPoolExecutor(RUNS) as pool:
        ended = list(pool.map(started, range(RUNS)))
    windows = []
    for number, one in enumerate(ended):
        assert one.code in (0, 1, 3), one.err  # on a busy machine the generator may doubt itself
        report = find_run(Store(tmp_path / str(number)), "staging/latest").report()
        (api,) = (part for part in report.components if isinstance(part, MeasuredComponent))
        windows.append(api.collected.window)
    assert any("waiting for load-staging: another run measures staging" in one.err for one in ended)
    windows.sort(key=lambda window: window.start)
    assert all(first.end <= second.start for first, second in pairwise(windows)), windows
