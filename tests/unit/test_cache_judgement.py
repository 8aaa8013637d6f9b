"""Measurements and findings of the cache from tables whose answers are known by construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.config import RunConfig, build_config
from storage.clock import Clock
from storage.records import Collected, Finding, Measurement, Severity, Window
from tasks.components.base import Samples
from tasks.components.cache import CACHE
from tasks.components.cache.tables import table_of
from tasks.load.recording.samples import STEADY, WARMUP, Recorder
from tasks.load.redis.probe import HIT, MISS, REFUSED, WRONG_TYPE
from tasks.load.redis.worker import CLIENT, RAW

START = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9
SECOND = 10**9

CONFIG: RunConfig = build_config("development")


def info(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "at_ns": START_NS + number * SECOND,
        "run_id": "r1",
        "uptime_s": 100 + number,
        "hits": 1000 + 90 * number,
        "misses": 100 + 10 * number,
        "own_hits": 0,
        "own_misses": 0,
        "evicted": 0,
        "expired": 0,
        "rejected": 0,
        "clients": 10,
        "blocked": 0,
        "maxclients": 10_000,
        "used_memory": 64 << 20,
        "maxmemory": 256 << 20,
        "policy": "allkeys-lru",
        "keys": 10,
    }
    return row | changes


def probe(rows: Sequence[tuple[int, int, float, str | None]], phase: str = STEADY) -> Any:
    """Rows of (0 raw or 1 redis-py, status, latency in ms, error)."""
    recorder = Recorder([RAW, CLIENT], [phase])
    for number, (which, status, latency_ms, error) in enumerate(rows):
        at = number * SECOND // 100
        ended = at + round(latency_ms * 1e6)
        recorder.add((at, at, at, ended), which, 0, status=status, error=error, failed=status > MISS)
    return recorder.table(Clock(START_NS))


def samples(
    rows: Sequence[Mapping[str, Any]],
    gets: Any = None,
    *,
    notes: tuple[str, ...] = (),
    **tables: list[dict[str, Any]],
) -> Samples:
    made = {name: table_of(name, tables.get(name, [])) for name in ("scans", "keys", "commands", "slowlog")}
    made |= {"info": table_of("info", [dict(row) for row in rows]), "samples": probe([]) if gets is None else gets}
    window = Window(start=START, end=START + timedelta(seconds=60))
    return Samples(made, Collected(window=window, load_plan={}, notes=notes))


def own(measured: Sequence[Measurement], metric: str) -> Measurement:
    return next(m for m in measured if m.metric == metric and not m.labels)


def measured(found: Samples) -> list[Measurement]:
    return CACHE.measure(found, CONFIG)


def advised(found: Samples) -> dict[str, Finding]:
    return {one.id: one for one in CACHE.advise(found, measured(found), CONFIG)}


def test_every_metric_is_answered_without_any_data() -> None:
    answers = measured(samples([]))
    for metric in CACHE.metrics:
        answer = own(answers, metric)
        assert answer.value is None
        assert answer.note.startswith("no data")
        assert answer.n == 0


def test_the_hit_ratio_is_the_servers_less_our_own_lookups() -> None:
    gets = probe([(0, HIT, 1, None)] * 30 + [(1, MISS, 1, None)] * 20 + [(0, WRONG_TYPE, 1, None)] * 5)
    rows = [
        info(0),
        info(5),
        info(10, hits=1000 + 900 + 35 + 40, misses=100 + 100 + 20 + 3, own_hits=40, own_misses=3),
    ]
    ratio = own(measured(samples(rows, gets)), "cache.hits.ratio")
    assert (ratio.value, ratio.n) == (0.9, 1000)
    assert ratio.interval is not None
    assert ratio.interval[0] < 0.9 < ratio.interval[1]
    assert ratio.window is not None
    assert ratio.window.seconds == 10


def test_nobody_but_us_is_no_ratio() -> None:
    gets = probe([(0, HIT, 1, None)] * 8 + [(0, MISS, 1, None)] * 4)
    ratio = own(measured(samples([info(0), info(1, hits=1008, misses=104)], gets)), "cache.hits.ratio")
    assert ratio.value is None
    assert "nobody but this tool" in ratio.note


@pytest.mark.parametrize(
    ("second", "word"),
    [
        ({"run_id": "r2", "uptime_s": 1, "hits": 5, "misses": 1}, "restarted"),
        ({"uptime_s": 3}, "restarted"),
        ({"hits": 0, "misses": 0}, "reset"),
    ],
)
def test_counters_that_break_off_give_no_ratio(second: dict[str, Any], word: str) -> None:
    found = samples([info(0), info(1, **second), info(2)])
    ratio = own(measured(found), "cache.hits.ratio")
    assert ratio.value is None
    assert word in ratio.note
    assert advised(found)["cache.restart:server"].severity is Severity.CRITICAL


def test_latency_is_the_raw_one_and_the_clients_stands_beside() -> None:
    gets = probe([(0, HIT, float(number), None) for number in range(1, 101)] + [(1, HIT, 7.0, None)] * 10)
    answers = measured(samples([info(0), info(1)], gets))
    assert (own(answers, "cache.latency.p50").value, own(answers, "cache.latency.p95").value) == (50, 95)
    assert own(answers, "cache.client.p95").value == 7
    assert "raw" in own(answers, "cache.latency.p95").source
    assert "redis-py" in own(answers, "cache.client.p95").source


def test_warm_up_and_refused_gets_are_no_latency() -> None:
    assert own(measured(samples([info(0)], probe([(0, HIT, 9, None)], WARMUP))), "cache.latency.p95").value is None
    refused = own(measured(samples([info(0)], probe([(0, REFUSED, 0.1, None)] * 3))), "cache.latency.p95")
    assert refused.value is None
    assert "refused 3 of 3" in refused.note


def test_a_failed_probe_says_why() -> None:
    latency = own(
        measured(samples([info(0), info(1)], notes=("the latency probe failed: gone",))), "cache.latency.p95"
    )
    assert latency.value is None
    assert "the latency probe failed: gone" in latency.note


def test_evictions_and_memory() -> None:
    rows = [info(0), info(1, used_memory=192 << 20), info(2, evicted=12)]
    found = samples(rows)
    answers = measured(found)
    assert own(answers, "cache.evictions.count").value == 12
    assert own(answers, "cache.memory.utilisation").value == 0.75
    remedy = advised(found)["cache.evictions:server"].remedy
    assert remedy.commands == (f'redis-cli -u "$DEVELOPMENT_REDIS_URL" CONFIG SET maxmemory {384 << 20}',)
    assert remedy.rollback == (f'redis-cli -u "$DEVELOPMENT_REDIS_URL" CONFIG SET maxmemory {256 << 20}',)


def test_a_server_without_a_limit_has_no_utilisation() -> None:
    found = samples([info(0, maxmemory=0, policy="noeviction"), info(1, maxmemory=0, policy="noeviction")])
    share = own(measured(found), "cache.memory.utilisation")
    assert share.value is None
    assert "no memory limit" in share.note
    remedy = advised(found)["cache.memory:server"].remedy
    assert len(remedy.commands) == len(remedy.rollback) == 2
    assert remedy.rollback[1].endswith("CONFIG SET maxmemory-policy noeviction")


def test_other_findings_of_the_server() -> None:
    commands = [
        {"end": "start", "command": "keys", "calls": 3},
        {"end": "end", "command": "keys", "calls": 5},
        {"end": "end", "command": "get", "calls": 50},
    ]
    slow = [
        {"id": 1, "at_s": 1, "usec": 25_000, "command": "HGETALL", "family": "menu_item"},
        {"id": 2, "at_s": 1, "usec": 1, "command": "SCAN", "family": "(other)"},
    ]
    rows = [info(0, policy="noeviction"), info(1, policy="noeviction", rejected=4, used_memory=250 << 20)]
    found = advised(samples(rows, commands=commands, slowlog=slow))
    assert {"cache.policy:server", "cache.memory:server", "cache.connections:server", "cache.heavy:KEYS"} <= set(
        found
    )
    assert "25.0 ms" in found["cache.slow:HGETALL menu_item"].title
    assert not any("SCAN" in one for one in found)


def test_a_healthy_cache_has_no_findings() -> None:
    rows = [info(number, hits=1000 + 99 * number, misses=100 + number) for number in range(10)]
    assert advised(samples(rows, probe([(0, HIT, 0.4, None), (1, HIT, 0.8, None)] * 50))) == {}


def family_rows(name: str, rounds: int = 60, **changes: Any) -> list[dict[str, Any]]:
    return [
        {"round": number, "at_ns": START_NS + number * SECOND, "family": name, "seen": 1, "new": int(number > 0)}
        | {"came": int(number > 0), "gone": int(number > 0), "scanned": 300, "keys": 300, "misses": 1}
        | changes
        for number in range(rounds)
    ]


def life(number: int, *, ttl_ms: int = 20, idle_s: int = 1) -> dict[str, Any]:
    """A look just before the end of a life of one second that began 0.6 s into a second."""
    end_ms = START_NS // 10**6 + 1000 * number + 600
    row = {"round": number, "family": "payment_analytics", "marker": number, "server_ms": end_ms - ttl_ms}
    return row | {"ttl_ms": ttl_ms, "idle_s": idle_s, "first": True, "absent_ms": end_ms - 2000, "bytes": 64}


def test_the_family_with_the_poor_hit_ratio_is_named() -> None:
    scans = family_rows("payment_analytics") + family_rows("menu_item", seen=299, new=0, came=0, gone=0)
    first = [life(number, ttl_ms=700, idle_s=0) for number in range(1, 60)]
    found = samples([info(0), info(60)], scans=scans, keys=[*map(life, range(1, 60)), *first])
    estimate = next(m for m in measured(found) if m.metric == "cache.hits.ratio" and m.labels)
    assert (estimate.labels["family"], estimate.value) == ("payment_analytics", 0)
    assert "estimate" in estimate.source + estimate.note
    finding = advised(found)["cache.hit_ratio:payment_analytics"]
    assert finding.severity is Severity.WARNING
    assert "payment_analytics" in finding.title
    assert "payment_analytics:*" in finding.detail
    assert "1 s to live" in finding.detail
    assert finding.evidence
    assert finding.remedy.predicted[0].value == pytest.approx((5400 + 59) / 6000, abs=0.002)


def test_a_family_that_our_own_probe_touched_has_no_ratio() -> None:
    scans = family_rows("rfid_card", seen=100, new=0, came=0, gone=0, misses=0)
    looks = [
        {"round": second, "family": "rfid_card", "marker": number, "server_ms": START_NS // 10**6 + 5000 * second}
        | {"ttl_ms": 600_000 - 5000 * second, "idle_s": 0, "first": False}
        for number in range(10)
        for second in range(5)
    ]
    rows = [info(0), info(1)]
    touched = samples(rows, scans=scans, keys=looks)
    assert next(m for m in measured(touched) if m.labels).value == 1
    plan = {"load_plan": {"access_times_untouched": "no"}}
    touched = Samples(touched.tables, touched.collected.model_copy(update=plan))
    estimate = next(m for m in measured(touched) if m.labels)
    assert estimate.value is None
    assert "no look could tell" in estimate.note


def test_keys_that_never_expire_and_big_keys_are_named() -> None:
    scans = family_rows("session", seen=100, new=0, came=0, gone=0, misses=0)
    looks = [
        {"round": 1, "family": "session", "marker": number, "server_ms": 1, "ttl_ms": -1, "first": True}
        | {"type": "hash", "bytes": (2 << 20) if number == 3 else 100}
        for number in range(20)
    ]
    found = advised(samples([info(0), info(1)], scans=scans, keys=looks))
    assert found["cache.no_expiry:session"].severity is Severity.INFO
    assert "2048 KiB" in found["cache.big_keys:session"].title


def test_every_finding_has_evidence_and_no_command_without_its_undoing() -> None:
    rows = [info(0, maxmemory=0), info(1, maxmemory=0, rejected=1, evicted=1, hits=1001, misses=400)]
    for finding in advised(samples(rows, probe([(0, HIT, 60, None)] * 50))).values():
        assert finding.evidence, finding.id
        changes = [command for command in finding.remedy.commands if " SET " in command]
        assert len(finding.remedy.rollback) >= len(changes), finding.id
