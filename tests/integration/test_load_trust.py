"""Planted faults of the generator, each on a real load, are named; without one the figures are believed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from storage.records import Trust
from tasks.load.http_load import HttpRun
from tasks.load.recording import samples
from tasks.load.trust import calibrate
from tasks.load.trust.calibrate import REQUESTS, Calibrator
from tasks.load.trust.trust import Verdict, judge
from tasks.load.trust.vitals_of import added
from tasks.load.wire.pool import Pool
from tests.load_plans import load
from tests.load_servers import Answer, Received, reply, serving

SPIN = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
print(flush=True)
end = time.time() + 20
while time.time() < end:
    pass
"""
CORE = min(os.sched_getaffinity(0))


def after(delay_s: float) -> Answer:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_s)
        writer.write(reply())

    return answer


def verdict(run: HttpRun) -> Verdict:
    """As if the target were on another machine, which a test cannot have."""
    p99 = samples.percentile(samples.latency_ms(run.table), 0.99)
    return judge(run.vitals(["steady"]), latency_p99_ms=p99, same_machine=False)


@contextmanager
def hogs(number: int) -> Iterator[None]:
    """Processes that want the generator's processor for themselves."""
    # Each in a session of its own: the kernel shares a processor out between sessions, not between processes.
    command = [sys.executable, "-c", SPIN, str(CORE)]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, start_new_session=True, stdout=pipe) for _ in range(number)]
    try:
        for one in running:
            assert one.stdout is not None
            one.stdout.readline()  # it spins from now on
        yield
    finally:
        for one in running:
            one.kill()
            one.communicate()


@pytest.mark.parametrize(
    ("busy", "told"),
    [(True, "it was blocked by work of its own process"), (False, "it stood still, off the processor")],
)
def test_a_blocked_event_loop_is_named(*, busy: bool, told: str) -> None:
    with serving(after(0.005)) as server:
        run = load(server.port, 100, 2.5, fault={"block": {"every_s": 0.255, "for_s": 0.04, "busy": busy}})
    found = verdict(run)
    assert found.trust is Trust.NOT_TRUSTED
    assert "ms late at p99, which adds" in found.reasons[0]
    assert "to p95" in found.reasons[0]
    causes = ("it was blocked by work of its own process", "it waited for a processor") if busy else (told,)
    assert any(cause in reason for cause in causes for reason in found.reasons)
    lag = run.vitals(["steady"]).lag_p99_ms
    assert lag is not None
    assert 30 < lag < 400  # it ticks each 20 ms from the end of a block: the 11th comes 5 ms into the next
    # The kernel stamped the answers: what the server took is true all the same.
    service = samples.percentile(samples.service_ms(run.table), 0.5)
    assert service is not None
    assert 5 <= service < 30


def test_a_hog_on_its_processor_is_named() -> None:
    with serving(after(0.005)) as server, hogs(3):
        run = load(server.port, 200, 3, fault={"processors": [CORE]})
    assert any("waited for a processor" in reason for reason in verdict(run).reasons), run.vitals(["steady"])
    assert (run.vitals(["steady"]).run_queue_share or 0) > 0.02


def test_a_generator_that_was_stopped_for_300_ms_is_named() -> None:
    with serving(after(0.005)) as server:
        run = load(server.port, 100, 3, fault={"stand_still": {"after_s": 1.5, "for_s": 0.3}})
    found = verdict(run)
    assert run.table.num_rows == server.requests == 300  # late, and none left out
    assert found.trust is Trust.NOT_TRUSTED
    assert run.vitals(["steady"]).longest_pause_ms > 250  # of which up to one tick, 20 ms, is not seen
    assert any(reason.startswith("once, for ") and "it stood still" in reason for reason in found.reasons), found


@pytest.mark.parametrize("fails_first", [False, True])
def test_a_slow_name_service_is_named_and_is_in_no_figure(*, fails_first: bool) -> None:
    with serving(after(0.005)) as server:
        run = load(
            server.port, 50, 1, host="localhost", fault={"names": {"takes_s": 0.3, "fails_first": fails_first}}
        )
    (told,) = [reason for reason in verdict(run).reasons if "the name service took" in reason]
    assert ("asked 2 times" in told) == fails_first
    assert run.vitals(["steady"]).lookup_ms >= 300  # type: ignore[operator] # it was measured
    service = samples.percentile(samples.service_ms(run.table), 0.5)
    assert service is not None
    assert service < 100


def test_a_full_pool_is_named() -> None:
    with serving(after(0.1)) as server:
        run = load(server.port, 100, 1.5, connections=8)
    found = verdict(run)
    assert found.trust is Trust.NOT_TRUSTED
    assert any("requests found all connections busy and waited for one" in reason for reason in found.reasons)
    assert run.vitals(["steady"]).pool_full > 50


def test_without_a_fault_the_figures_are_believed_unless_the_machine_gave_no_time() -> None:
    with serving(after(0.02)) as server:
        run = load(server.port, 100, 2)
    latency = samples.latency_ms(run.table)
    vitals = run.vitals(["steady"])
    times = [samples.column(run.table, f"{name}_ns") for name in ("intended", "taken", "received")]
    timely = (times[2] - times[1]) / 1e6
    harmed = False
    for q, floor, share in ((50, 0.5, 0.025), (95, 1.0, 0.05), (99, 1.0, 0.05)):
        figure = np.percentile(latency, q, method="inverted_cdf")
        low, high = samples.percentile_interval(latency, q / 100) or (figure, figure)
        by = figure - np.percentile(timely, q, method="inverted_cdf")
        harmed = harmed or bool(by > max(floor, share * figure, (high - low) / 2))
    robbed = (vitals.steal_share or 0) > 0.05 or (vitals.cpu_share or 0) > 0.7 or (vitals.bunched_p99 or 0) > 5
    assert (verdict(run).trust is Trust.TRUSTED) == (not harmed and not robbed), verdict(run).reasons
    assert vitals.stamps == "kernel" if sys.platform == "linux" else "loop"
    assert (vitals.due, vitals.sent, vitals.pool_full) == (200, 200, 0)
    assert vitals.uncalibrated == "the load takes 2 s, less than 10 s"


def test_one_machine_is_seen_by_itself() -> None:
    with serving(after(0)) as server:
        run = load(server.port, 20, 0.5)
    assert run.same_machine
    facts = {**run.facts, "ends": ["192.0.2.1", "192.0.2.2"]}
    assert HttpRun(run.table, facts).same_machine  # by the target's address alone
    elsewhere = [{**share, "own_target": False} for share in run.facts["shares"]]
    assert not HttpRun(run.table, {**facts, "shares": elsewhere}).same_machine


async def calibrated() -> Calibrator:
    async with Calibrator(60, 200) as calibrator:
        await calibrator.take()
        await calibrator.take(time.monotonic_ns() + 1_000_000)  # a load that starts in a moment: no time for it
    return calibrator


def test_a_known_server_is_measured_as_it_knows_itself() -> None:
    found = asyncio.run(calibrated())
    assert found.why_not == ""
    (one,) = found.found
    assert one.n == REQUESTS
    assert 0 <= one.median_ms < 1
    assert one.median_ms <= one.p90_ms


def test_a_generator_whose_times_are_wrong_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def late_pool(*args: Any, ended: Callable[..., None], **kwargs: Any) -> Pool:
        return Pool(*args, ended=lambda pending, at, *rest: ended(pending, at + 3_000_000, *rest), **kwargs)

    monkeypatch.setattr(calibrate, "Pool", late_pool)
    told = asyncio.run(calibrated()).to_json()
    with serving(after(0)) as server:
        vitals = load(server.port, 20, 0.5).vitals(["steady"])
    found = judge(replace(vitals, **told), latency_p99_ms=None, same_machine=False)
    assert found.trust is Trust.NOT_TRUSTED
    assert any(
        "calibration: the median was 3." in reason and "off a known server's truth" in reason
        for reason in found.reasons
    )


def test_what_cannot_be_calibrated_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "DELAY_MS", "no number")
    found = asyncio.run(calibrated())
    assert found.found == []
    assert found.why_not.startswith("the calibration's server did not start")
    assert asyncio.run(too_short()).why_not == "the load takes 3 s, less than 10 s"


async def too_short() -> Calibrator:
    async with Calibrator(3, 200) as calibrator:
        await calibrator.take()
    return calibrator


def test_what_lateness_adds_is_computed_from_the_rows() -> None:
    with serving(after(0.005)) as server:
        run = load(server.port, 100, 1)
    found = added(run.table)
    assert set(found) == {"p50", "p95", "p99"}
    for q, (by, figure, _) in zip((0.5, 0.95, 0.99), found.values(), strict=True):
        assert figure == samples.percentile(samples.latency_ms(run.table), q)
        assert 0 <= by < figure
