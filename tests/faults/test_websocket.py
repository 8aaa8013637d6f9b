"""Hostile WebSocket servers: each ends on time, with its kind of error and every message accounted for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import SecretStr

from deployments.config import ValueRange
from tasks.load.process import WorkerOutput, run_worker
from tasks.load.recording.samples import counts, errors_by_kind
from tasks.load.websocket.plan import WebsocketPlan
from tests.faults.websocket_faults import FAULTS, hostile

SECONDS = 1.5
AT_ONCE = 4


def load(way: str) -> tuple[WorkerOutput, float]:
    with hostile(way) as server:
        plan = WebsocketPlan(
            url=SecretStr(f"ws://127.0.0.1:{server.port}/ws"),
            connections=2,
            pace_s=0.2,
            ramp_up_s=0.1,
            duration_s=SECONDS,
            channel="orders",
            orders=ValueRange(template="{n}", last=5),
            timeout_s=0.5,
            reconnects=2,
            error_ratio=1,
            latency_ms=30_000,
            after_s=60,
        )
        began = time.monotonic()
        output = run_worker("tasks.load.websocket.worker", plan.to_json(), deadline_s=plan.deadline_s)
        return output, time.monotonic() - began


def judged(way: str) -> dict[str, Any]:
    """What is wrong with how a behaviour was taken; empty where nothing is."""
    output, took = load(way)
    fault = FAULTS[way]
    rows = output.tables["connections"].to_pylist()
    messages = output.tables["samples"]
    number = counts(messages)
    kinds = {row["error"] for row in rows if row["error"]} | set(errors_by_kind(messages))
    wrong: dict[str, Any] = {}
    if any(row["opened_ns"] is not None for row in rows) is not fault.opens:
        wrong["opened"] = not fault.opens
    if not kinds or not kinds <= fault.kinds | {"aborted", "timeout", "closed"} or not kinds & fault.kinds:
        wrong["kinds"] = kinds
    if number["sent"] != number["answered"] + number["errors"] or number["sent"] > output.facts["planned"]:
        wrong["counts"] = number
    if took > SECONDS + 15:
        wrong["took"] = took
    return wrong


def test_each_behaviour_ends_on_time_with_its_kind_and_whole_accounts() -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(FAULTS, pool.map(judged, FAULTS), strict=True))
    assert {way: wrong for way, wrong in found.items() if wrong} == {}
