"""Guards on real loads: a rate that cannot be reached, the breaker, the target's wish for a pause, `max_rate`."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from tasks.load import figures
from tasks.load.recording import samples
from tests.load_plans import LOAD, load
from tests.load_servers import Answer, Received, reply, serving

QUICK = LOAD.model_copy(update={"abort_after_s": 2})


def after(delay_s: float) -> Answer:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_s)
        writer.write(reply())

    return answer


def test_a_rate_that_cannot_be_reached_stops_the_load() -> None:
    with serving(after(0.4)) as server:
        begun = time.monotonic()
        run = load(server.port, 100, 12, connections=8, limits=QUICK)  # 8 connections manage 20/s
        took = time.monotonic() - begun
    assert run.stopped is not None
    assert run.stopped.startswith("stopped: target rate not reached, ")
    assert run.stopped.endswith("(limit 95%)")
    assert took < 10
    summary = run.summary(steady=("steady",), judged=("steady",), rate=100, seconds=12, same_machine=False)
    assert summary.sent == run.table.num_rows == server.requests < 150
    assert summary.unsent == 1200 - summary.sent
    assert summary.reasons[0].startswith("the load was stopped: target rate not reached")


def test_the_breaker_opens_within_a_second_of_its_time() -> None:
    async def failing(received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(500 if received.requests % 4 == 0 else 200))

    limits = QUICK.model_copy(update={"abort_error_ratio": 0.1})
    with serving(failing) as server:
        run = load(server.port, 50, 10, limits=limits)
    assert run.stopped is not None
    assert run.stopped.endswith("of requests failing (limit 10%)")
    assert 80 <= server.requests <= 200  # 2 s, and a second at most until the next look


@pytest.mark.parametrize("status", [429, 503])
def test_a_target_that_asks_for_a_pause_gets_it(status: int) -> None:
    arrived: list[float] = []

    async def asking(received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        arrived.append(time.monotonic())
        pause = received.requests == 40
        writer.write(reply(status, head="Retry-After: 1\r\n") if pause else reply())

    with serving(asking) as server:
        run = load(server.port, 50, 3)
    vitals = run.vitals(["steady"])
    assert max(np.diff(arrived)) > 0.9
    assert 35 <= vitals.withheld <= 65
    assert run.table.num_rows == server.requests == 150 - vitals.withheld == vitals.due
    summary = run.summary(steady=("steady",), judged=("steady",), rate=50, seconds=3, same_machine=False)
    assert summary.unsent == vitals.withheld
    assert any("were withheld, since the target asked for a pause" in reason for reason in summary.reasons)
    assert not any("that were due were sent" in reason for reason in summary.reasons)


def test_refusals_without_a_pause_are_counted_apart_from_failures() -> None:
    async def refusing(received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply((200, 429, 500, 503)[received.requests % 4]))

    with serving(refusing) as server:
        run = load(server.port, 100, 1)
    assert samples.statuses(run.table) == {200: 25, 429: 25, 500: 25, 503: 25}
    assert run.vitals(["steady"]).withheld == 0
    errors = figures.errors("api.errors.ratio", run.table)
    assert (errors.value, errors.note) == (0.75, "25 refused as too many (429), 50 failed in the server (5xx)")


def test_max_rate_is_never_passed_and_what_it_holds_back_is_sent_later() -> None:
    limits = LOAD.model_copy(update={"max_rate": 50})
    with serving(after(0)) as server:
        run = load(server.port, 100, 2, limits=limits)
    sent = np.sort(samples.column(run.table, "sent_ns"))
    windows = np.searchsorted(sent, sent + 1_000_000_000, side="left") - np.arange(len(sent))
    assert windows.max() <= 79 + 5  # 50 + 4 · √50; the first few leave late, since their connections must be opened
    assert run.table.num_rows == server.requests == 200
    assert run.vitals(["steady"]).held_back > 100
    assert (sent[-1] - sent[0]) / 1e9 > 2
