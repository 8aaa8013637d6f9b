"""A short HTTP load for tests, with a planted fault in its worker where one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from deployments.config import Endpoint
from deployments.load import Load
from tasks.load import http_load
from tasks.load.http_load import HttpPlan, HttpRun, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.schedule import Jitter, Phase

LOAD = Load(users=1, duration_s=10, ramp_up_s=1, max_rate=1000, abort_after_s=60)


@dataclass(frozen=True)
class Faulty(HttpPlan):
    """A plan for `tests.load_faulty_worker`."""

    fault: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"fault": dict(self.fault)}


def load(
    port: int,
    rate: float,
    seconds: float,
    *,
    connections: int = 256,
    timeout_s: float = 5,
    jitter: Jitter = "none",
    limits: Load = LOAD,
    host: str = "127.0.0.1",
    fault: Mapping[str, Any] | None = None,
) -> HttpRun:
    """Ask one endpoint at a steady rate, and give every row the phase `steady`."""
    plan = Faulty(
        url=f"http://{host}:{port}",
        variable="TEST_API_URL",
        endpoints=[endpoint_plan(Endpoint(path="/a"))],
        values={},
        stages=[schedule_stage([Phase("steady", rate, rate, seconds)], [0], jitter=jitter)],
        load=limits,
        timeout_s=timeout_s,
        max_connections=connections,
        fault=fault or {},
    )
    if fault is None:
        return run_http(plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_load, "_WORKER", "tests.load_faulty_worker")
        return run_http(plan)
