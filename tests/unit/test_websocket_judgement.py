"""The plan of a WebSocket load, and measurements and findings from tables with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import SecretStr

from deployments.config import ValueRange, build_config
from storage.clock import Clock
from storage.errors import NotMeasuredError
from storage.records import Collected, Finding, LoadSummary, Measurement, Severity, Trust, Window
from tasks.components.base import Samples
from tasks.components.websocket import WEBSOCKET
from tasks.components.websocket.collect import plan_of
from tasks.components.websocket.storms import storms
from tasks.load.recording.samples import RAMP, STEADY, Recorder
from tasks.load.websocket.address import parse, shown
from tasks.load.websocket.plan import ANSWERS, CONNECTIONS, PHASES, PUSHES, SETUP, STORM, WebsocketPlan, timetable

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9
CONFIG = build_config("development")
KINDS = list(ANSWERS)


def plan(**changes: Any) -> WebsocketPlan:
    settings: dict[str, Any] = {
        "url": SecretStr("ws://h/ws?token=canary"),
        "connections": 10,
        "pace_s": 1.0,
        "ramp_up_s": 5.0,
        "duration_s": 20.0,
        "channel": "orders",
        "orders": ValueRange(template="{n}", last=5),
        "timeout_s": 2.0,
        "error_ratio": 0.5,
        "latency_ms": 5000,
        "after_s": 5,
    }
    return WebsocketPlan(**(settings | changes))


def test_each_connection_sends_once_a_pace_from_its_opening_on() -> None:
    table = timetable(plan())
    assert table.opens_ns.tolist() == [number * 500_000_000 for number in range(10)]
    for number in range(10):
        moments = table.moments_ns[table.connection == number] / 1e9
        assert np.allclose(np.diff(moments), 1.0)
        assert 0.5 <= moments[0] - table.opens_ns[number] / 1e9 < 1.5
        assert moments[-1] < 20
    assert (np.diff(table.moments_ns) >= 0).all()
    assert table.steady.sum() == 150
    assert ((table.moments_ns >= 5e9) == table.steady).all()


def test_messages_spread_over_the_pace_even_without_a_ramp() -> None:
    table = timetable(plan(connections=100, ramp_up_s=0))
    slots = np.histogram((table.moments_ns % 10**9) / 1e9, bins=10, range=(0, 1))[0]
    assert slots.min() > 0.7 * slots.mean()


def test_messages_that_fall_into_a_planned_storm_are_a_phase_of_their_own() -> None:
    own = plan(storm_at_s=10, storm_s=4)
    table = timetable(own)
    within = (table.moments_ns >= 10e9) & (table.moments_ns < 14e9)
    assert ((table.phase == PHASES.index(STORM)) == within).all()
    assert table.steady.sum() == 150 - 40
    assert own.steady_apart_s == 4
    assert (plan(storm_at_s=3, storm_s=4).steady_apart_s, plan(storm_at_s=18, storm_s=4).steady_apart_s) == (2, 2)


def test_the_back_off_grows_to_its_limit_and_is_the_same_at_each_run() -> None:
    own = plan(backoff_s=1, backoff_factor=2, backoff_limit_s=5, backoff_jitter=0)
    assert [own.backoff_ns(0, 2 + failures, failures) / 1e9 for failures in range(5)] == [1, 2, 4, 5, 5]
    spread = [plan(backoff_jitter=0.5).backoff_ns(number, 2, 0) for number in range(200)]
    assert spread == [plan(backoff_jitter=0.5).backoff_ns(number, 2, 0) for number in range(200)]
    assert spread != [plan(backoff_jitter=0.5, seed=2).backoff_ns(number, 2, 0) for number in range(200)]
    assert 0.25e9 <= min(spread) < 0.3e9
    assert 0.7e9 < max(spread) <= 0.75e9


def test_the_plan_keeps_its_secret_and_its_limit() -> None:
    assert "canary" not in repr(plan())
    assert plan().to_json()["url"] == "ws://h/ws?token=canary"
    fast = build_config("development", overrides={"websocket.pace_s": "0.001"}).environment
    assert plan_of(fast, SecretStr("ws://h")).rate == pytest.approx(fast.load.max_rate)


@pytest.mark.parametrize("url", ["http://canary@h", "ws://", "ws://canary:x@h:99999/", "ws://u@h", "ws://h/#canary"])
def test_a_wrong_address_is_an_error_without_its_text(url: str) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        parse(url)
    assert "canary" not in str(caught.value)


def test_what_is_shown_of_an_address_holds_no_secret() -> None:
    assert shown(parse("wss://u:canary@h/ws?token=canary")) == "wss://h:443/ws"


def messages(rows: Sequence[tuple[str, str, float | None, bool]]) -> pa.Table:
    """Rows of (kind, phase, latency in ms or None for a time-out, failed)."""
    recorder = Recorder(KINDS, PHASES)
    for number, (kind, phase, latency, failed) in enumerate(rows):
        at = number * 10_000_000
        ended = at + round((2000 if latency is None else latency) * 1e6)
        error = "timeout" if latency is None else None
        recorder.add((at, at, at, ended), KINDS.index(kind), PHASES.index(phase), error=error, failed=failed)
    return recorder.table(Clock(START_NS))


def connection(number: int, *, opened: bool = True, **changes: Any) -> dict[str, Any]:
    row = {
        "connection": number,
        "attempt": 1,
        "intended_ns": START_NS,
        "started_ns": START_NS,
        "opened_ns": START_NS + 10**7 if opened else None,
        "closed_ns": START_NS + 30 * 10**9,
        "connected_ns": START_NS if opened else None,
        "connect_ms": float(number + 1) if opened else None,
        "handshake_ms": float(number + 1) / 2 if opened else None,
        "ended_by": "client" if opened else "handshake",
        "close_code": 1000 if opened else 1006,
        "status": 0,
        "dropped": False,
        "error": None if opened else "connect",
        "reason": "",
    }
    return row | changes


def samples(
    rows: Sequence[tuple[str, str, float | None, bool]],
    connections: list[dict[str, Any]],
    load: LoadSummary | None = None,
    notes: tuple[str, ...] = (),
    pushes: list[dict[str, Any]] | None = None,
) -> Samples:
    collected = Collected(
        window=Window(start=START, end=START + timedelta(seconds=60)),
        load=load,
        load_plan={"steady_s": "50.000"},
        fingerprint={"target": "ws://h:80/ws"},
        notes=notes,
    )
    tables = {
        "samples": messages(rows),
        "connections": pa.Table.from_pylist(connections, schema=CONNECTIONS),
        "pushes": pa.Table.from_pylist(pushes or [], schema=PUSHES),
    }
    return Samples(tables, collected)


def figures(found: Samples) -> dict[str, Measurement]:
    return {
        m.metric + "".join(f"[{value}]" for value in m.labels.values()): m for m in WEBSOCKET.measure(found, CONFIG)
    }


def advised(found: Samples) -> dict[str, Finding]:
    return {one.kind: one for one in WEBSOCKET.advise(found, WEBSOCKET.measure(found, CONFIG), CONFIG)}


GOOD: list[tuple[str, str, float | None, bool]] = [
    ("subscribe", SETUP, 900.0, False),
    ("ping", RAMP, 800.0, False),
    *(("ping", STEADY, float(number), False) for number in range(1, 81)),
    *(("track_order", STEADY, float(number), False) for number in range(81, 101)),
]


def test_latency_is_that_of_the_steady_phase_by_nearest_rank() -> None:
    found = figures(samples(GOOD, [connection(number) for number in range(20)]))
    assert [found[f"websocket.latency.p{q}"].value for q in (50, 95, 99)] == [50, 95, 99]
    assert found["websocket.latency.p95[ping]"].value == 76
    assert found["websocket.latency.p95[track_order]"].n == 20
    assert found["websocket.messages.throughput"].value == 2
    assert found["websocket.connects.ratio"].value == 1
    assert (found["websocket.connect.p95"].value, found["websocket.connect.p95"].n) == (19, 20)
    assert [found[f"websocket.handshake.p{q}"].value for q in (50, 95, 99)] == [5, 9.5, 10]
    assert found["websocket.closes.count[1000]"].value == 20
    assert (found["websocket.drops.count"].value, found["websocket.errors.ratio"].value) == (0, 0)
    assert {m.metric for m in WEBSOCKET.measure(samples(GOOD, []), CONFIG)} >= WEBSOCKET.metrics


def test_a_dead_target_is_measured_where_it_can_be() -> None:
    found = samples([], [connection(number, opened=False) for number in range(10)])
    answers = figures(found)
    assert (answers["websocket.connects.ratio"].value, answers["websocket.connects.ratio"].n) == (0, 10)
    for metric in WEBSOCKET.metrics - {"websocket.connects.ratio"}:
        assert answers[metric].value is None
        assert answers[metric].note.startswith("no data")
    finding = advised(found)["connects"]
    assert finding.severity is Severity.CRITICAL
    assert finding.remedy.commands[0].endswith("'http://h:80/ws'")


def test_drops_tell_their_close_codes_and_lives() -> None:
    dropped: dict[str, Any] = {"dropped": True, "ended_by": "peer", "close_code": 1001, "error": "closed"}
    rows = [connection(number) for number in range(8)] + [connection(number, **dropped) for number in (8, 9)]
    rows.append(connection(8, attempt=2))
    found = samples(GOOD, rows)
    assert (figures(found)["websocket.drops.count"].value, figures(found)["websocket.drops.count"].n) == (2, 11)
    detail = advised(found)["drops"].detail
    assert "1001" in detail
    assert "30.0 s in the middle" in detail
    assert "1 of 1 reconnects" in detail


def second(value: float) -> int:
    return START_NS + round(value * 1e9)


def test_a_storm_tells_how_long_until_all_were_back_and_what_stood_in_the_way() -> None:
    rows = [
        connection(number, closed_ns=second(10 + number / 10), ended_by="peer", dropped=True, close_code=1012)
        for number in range(4)
    ]
    rows.append(connection(4))
    for number in range(4):
        rows.append(connection(number, opened=False, attempt=2, closed_ns=second(11), error="connect"))
        rows.append(connection(number, attempt=3, opened_ns=second(13 + number), closed_ns=second(30)))
    found = samples(GOOD, rows)
    (storm,) = storms(found.tables["connections"])
    assert (storm.by, storm.dropped, storm.lost, storm.attempts) == ("server", 4, 0, 8)
    assert storm.recovery_ms == 6000
    assert storm.errors == {"connect": 4}
    assert figures(found)["websocket.recovery.max"].value == 6000
    assert figures(found)["websocket.closes.count[1012]"].value == 4
    assert "connect × 4" in advised(found)["storm"].detail


def test_who_never_came_back_from_a_storm_leaves_the_recovery_unknown() -> None:
    rows = [connection(number, closed_ns=second(5), ended_by="storm", error="aborted") for number in range(3)]
    rows += [connection(number, attempt=2, opened_ns=second(6)) for number in range(2)]
    found = samples(GOOD, rows)
    figure = figures(found)["websocket.recovery.max"]
    assert (figure.value, figure.n) == (None, 3)
    assert "1 connections never came back" in figure.note
    assert advised(found)["storm"].severity is Severity.CRITICAL
    assert figures(found)["websocket.drops.count"].value == 0, "what the plan dropped is no drop of the target's"


def test_single_drops_are_no_storm() -> None:
    rows = [
        connection(number, ended_by="peer", dropped=True, closed_ns=second(5 + 2 * number)) for number in range(3)
    ]
    rows += [connection(number) for number in range(3, 20)]
    assert storms(samples(GOOD, rows).tables["connections"]) == []
    assert "websocket.recovery.max" not in figures(samples(GOOD, rows))


def push(sequence: int | None, *, number: int = 0, attempt: int = 1, kind: str = "stats") -> dict[str, Any]:
    return {
        "connection": number,
        "attempt": attempt,
        "kind": kind,
        "sequence": sequence,
        "received_ns": START_NS,
        "seen_ns": START_NS,
        "bytes": 10,
    }


def test_gaps_in_the_numbers_of_pushes_are_lost_pushes() -> None:
    rows = [push(sequence) for sequence in (3, 4, 7, 9, 9)]  # 5, 6 and 8 are missing
    rows += [push(sequence, number=1) for sequence in (1, 2, 3)]
    rows += [push(sequence, attempt=2) for sequence in (20, 22)]  # 21; what came before the reconnect is unknown
    rows += [push(sequence, kind="news") for sequence in (1, 2)] + [push(None)]
    found = samples(GOOD, [connection(0)], pushes=rows)
    figure = figures(found)["websocket.pushes.missing"]
    assert (figure.value, figure.n) == (4, 12)
    assert figures(found)["websocket.pushes.throughput"].value == pytest.approx(13 / 60)
    assert "4 WebSocket pushes were lost" in advised(found)["pushes"].title


def test_pushes_without_numbers_say_nothing_about_losses() -> None:
    found = figures(samples(GOOD, [connection(0)], pushes=[push(None), push(None)]))
    assert "websocket.pushes.missing" not in found
    assert found["websocket.pushes.throughput"].n == 2


def test_errors_and_unexpected_answers_count_against_what_was_sent() -> None:
    rows = [*GOOD, ("ping", STEADY, None, False), ("ping", STEADY, None, False), ("ping", STEADY, 5.0, True)]
    found = samples(rows, [connection(0)], notes=("answers of an unexpected type: ORDER_NOT_FOUND × 1",))
    assert figures(found)["websocket.errors.ratio"].value == pytest.approx(3 / 105)
    assert figures(found)["websocket.latency.p50"].n == 101
    detail = advised(found)["errors"].detail
    assert "timeout 2" in detail
    assert "ORDER_NOT_FOUND" in detail


@pytest.mark.parametrize(("factor", "severity"), [(1, Severity.WARNING), (10, Severity.CRITICAL)])
def test_slow_answers_name_the_slow_message(factor: int, severity: Severity) -> None:
    rows = [("ping", STEADY, 5.0, False)] * 80 + [("track_order", STEADY, 60.0 * factor, False)] * 20
    finding = advised(samples(rows, [connection(0)]))["latency"]
    assert (finding.subject, finding.severity) == ("track_order", severity)
    assert "ping is fast" in finding.remedy.summary


def test_a_generator_that_does_not_trust_itself_says_so_beside_the_figures() -> None:
    load = LoadSummary(
        planned=105, sent=102, unsent=3, answered=102, failed=0, target_rate=1, achieved_rate=1,
        trust=Trust.NOT_TRUSTED, reasons=("the generator was late",),
    )  # fmt: skip
    found = figures(samples(GOOD, [connection(0)], load))
    assert found["websocket.latency.p95"].note == "not trusted: the generator was late"
    assert found["websocket.errors.ratio"].note.startswith("3 planned messages were never sent")


def test_a_healthy_run_has_no_findings() -> None:
    rows = [("ping", STEADY, 5.0, False)] * 100
    assert advised(samples(rows, [connection(number) for number in range(10)])) == {}
