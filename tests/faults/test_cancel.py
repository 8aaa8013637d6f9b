"""A run of the command line at a shared Prefect server is cancelled there, and hears it without a worker."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from storage.records import Report
from tests.faults.kills import INTERRUPTED_S, cancelled, left_over, reached, started
from tests.prefect_servers import full_server
from tests.processes import load_per_core


def test_cancel_ends_a_run_without_a_worker_and_frees_its_environment(tmp_path: Path) -> None:
    with full_server() as api, started(tmp_path, 0, variables={"PREFECT_API_URL": api}) as run:
        assert reached(run, "load") == ""
        (cancelled_run,) = cancelled(api)
        began = time.monotonic()
        code = run.process.wait(60)
        assert code == 130, run.log
        assert time.monotonic() - began < INTERRUPTED_S * load_per_core()
        assert left_over(run)[0] == []
        (report,) = run.stored("report.json")
        assert Report.model_validate_json(report.read_bytes()).gate.verdict != "pass"
        with httpx.Client(base_url=api, trust_env=False) as client:
            assert client.get(f"/flow_runs/{cancelled_run}").json()["state_type"] == "CANCELLED"
            limit = client.get("/v2/concurrency_limits/load-development").json()
            assert limit["active_slots"] == 0
