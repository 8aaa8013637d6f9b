"""What was seen of the cache → measurements. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from deployments.config import RunConfig
from storage.records import Measurement, Unit, Window
from tasks.components.base import Samples
from tasks.components.cache.estimate import MIN_EVIDENCE, Family, estimate
from tasks.load.figures import wilson
from tasks.load.measured import percentile_of, trust_note
from tasks.load.recording.samples import STEADY, answered, column, latency_ms, of_endpoint, of_phase
from tasks.load.redis.probe import HIT, MISS, REFUSALS, WRONG_TYPE
from tasks.load.redis.worker import CLIENT, RAW

METRICS = frozenset(
    {
        "cache.hits.ratio",
        "cache.latency.p50",
        "cache.latency.p95",
        "cache.client.p95",
        "cache.evictions.count",
        "cache.memory.utilisation",
    }
)
"""What `measurements` always answers without labels."""

_TOP = 20
_COUNTERS = "the server's keyspace_hits and keyspace_misses (INFO), less this tool's own lookups"
_RAW = "GET over a raw socket: what the server does, from the intended moment, steady phase"
_CLIENT = "GET by redis-py: what the application sees, from the intended moment, steady phase"
_ESTIMATE = "estimate from SCAN, PTTL, OBJECT IDLETIME and the server's misses by the second"


def measurements(samples: Samples, config: RunConfig) -> list[Measurement]:
    """Every metric of `METRICS`, and the key families with the most keys or misses."""
    window = samples.collected.window
    rows = samples.tables["info"].to_pylist()
    probe = samples.tables["samples"]
    return [
        _hit_ratio(lookups(rows, probe), window),
        *_latencies(probe, samples, window),
        _evictions(rows, window),
        _memory(rows, window),
        *_families(samples, config, window),
    ]


@dataclass(frozen=True)
class Lookups:
    """What everyone but this tool looked up between the first and the last reading of the counters.

    `reason` is set where they cannot be known. `uncertain`: GETs of ours without an answer, which the server may or
    may not have counted.
    """

    hits: int = 0
    misses: int = 0
    own: int = 0
    uncertain: int = 0
    window: Window | None = None
    reason: str = ""


def lookups(info: Sequence[Mapping[str, Any]], probe: pa.Table) -> Lookups:
    """Differences of the server's counters, less what this tool itself looked up."""
    if len(info) < 2:  # noqa: PLR2004 - a difference needs two readings
        return Lookups(reason="no data: the server's counters were not read at both ends (see the notes)")
    if reason := broken_off(info):
        return Lookups(reason=f"no data: {reason}, so that its counters do not span the window")
    first, last = info[0], info[-1]
    if None in (first["hits"], last["hits"], first["misses"], last["misses"]):
        return Lookups(reason="no data: the server tells no keyspace_hits and keyspace_misses")
    statuses = column(probe, "status")
    got = answered(probe)
    own_hits = int(np.isin(statuses, (HIT, WRONG_TYPE)).sum()) + last["own_hits"] - first["own_hits"]
    own_misses = int((statuses == MISS).sum()) + last["own_misses"] - first["own_misses"]
    return Lookups(
        hits=max(0, last["hits"] - first["hits"] - own_hits),
        misses=max(0, last["misses"] - first["misses"] - own_misses),
        own=own_hits + own_misses,
        uncertain=int((~got).sum()),
        window=Window(start=_moment(first["at_ns"]), end=_moment(last["at_ns"])),
    )


def broken_off(info: Sequence[Mapping[str, Any]]) -> str:
    """Why the counters do not run through: a restart, or a reset of the statistics; empty where they do."""
    for earlier, later in pairwise(info):
        if earlier["run_id"] != later["run_id"] or (later["uptime_s"] or 0) < (earlier["uptime_s"] or 0):
            return f"the server was restarted (or another one answers) at {_moment(later['at_ns']):%H:%M:%S} UTC"
        if any((later[name] or 0) < (earlier[name] or 0) for name in ("hits", "misses", "evicted")):
            return f"the server's statistics were reset at {_moment(later['at_ns']):%H:%M:%S} UTC"
    return ""


def _hit_ratio(found: Lookups, window: Window) -> Measurement:
    n = found.hits + found.misses
    reason = found.reason or ("" if n else "no data: nobody but this tool looked up a key within the window")
    return Measurement(
        metric="cache.hits.ratio",
        value=None if reason else found.hits / n,
        unit=Unit.RATIO,
        n=0 if reason else n,
        source=f"{_COUNTERS} ({found.own})",
        window=found.window or window,
        interval=None if reason else wilson(found.hits, n),
        note=reason or (f"{found.uncertain} lookups of this tool may be in it" if found.uncertain else ""),
        idle=not found.reason and not n,
    )


def _latencies(probe: pa.Table, samples: Samples, window: Window) -> list[Measurement]:
    note = trust_note(samples.collected.load)
    steady = of_phase(probe, STEADY)
    looked = steady.filter(pa.array(~np.isin(column(steady, "status"), REFUSALS)))
    refused = steady.num_rows - looked.num_rows
    why = f"no data: {_why(samples, steady.num_rows, refused)}"
    raw, client = latency_ms(of_endpoint(looked, RAW)), latency_ms(of_endpoint(looked, CLIENT))
    return [
        percentile_of("cache.latency.p50", raw, 0.50, source=_RAW, window=window, why_none=why, note=note),
        percentile_of("cache.latency.p95", raw, 0.95, source=_RAW, window=window, why_none=why, note=note),
        percentile_of("cache.latency.p99", raw, 0.99, source=_RAW, window=window, why_none=why, note=note),
        percentile_of("cache.client.p95", client, 0.95, source=_CLIENT, window=window, why_none=why, note=note),
    ]


def _why(samples: Samples, sent: int, refused: int) -> str:
    failed = [note for note in samples.collected.notes if note.startswith("the latency probe")]
    if refused:
        return f"the cache refused {refused} of {sent} GETs of the probe"
    return "; ".join(failed) or f"none of {sent} GETs was answered"


def _evictions(info: Sequence[Mapping[str, Any]], window: Window) -> Measurement:
    reason = broken_off(info) if len(info) > 1 else "the server's counters were not read at both ends"
    known = not reason and info[0]["evicted"] is not None and info[-1]["evicted"] is not None
    return Measurement(
        metric="cache.evictions.count",
        value=float(info[-1]["evicted"] - info[0]["evicted"]) if known else None,
        unit=Unit.COUNT,
        n=len(info),
        source="the server's evicted_keys (INFO), difference over the window",
        window=window,
        note="" if known else f"no data: {reason or 'the server tells no evicted_keys'}",
    )


def _memory(info: Sequence[Mapping[str, Any]], window: Window) -> Measurement:
    shares = [row["used_memory"] / row["maxmemory"] for row in info if row["maxmemory"] and row["used_memory"]]
    unlimited = any(row["maxmemory"] == 0 for row in info)
    return Measurement(
        metric="cache.memory.utilisation",
        value=max(shares) if shares else None,
        unit=Unit.RATIO,
        n=len(shares),
        source="the server's used_memory ÷ maxmemory (INFO), highest of the window",
        window=window,
        note=""
        if shares
        else "no data: the server has no memory limit (maxmemory 0)"
        if unlimited
        else "no data: the server does not tell its memory",
    )


def families_of(samples: Samples, config: RunConfig) -> list[Family]:
    """What is known of each key family; those that the probe's own GETs touched have no ratio."""
    probe = samples.tables["samples"]
    missed = column(probe, "received_ns")[column(probe, "status") == MISS]
    found = estimate(samples.tables["scans"], samples.tables["keys"], missed)
    if samples.collected.load_plan.get("access_times_untouched") != "no":
        return found
    touched = {family.name for family in config.environment.cache.families if family.keys is not None}
    everything = not touched  # the probe asked for keys that SCAN found, whatever their family
    return [family.without_looks() if everything or family.name in touched else family for family in found]


def _families(samples: Samples, config: RunConfig, window: Window) -> list[Measurement]:
    found = families_of(samples, config)
    shown = sorted(found, key=lambda family: (-family.misses, -family.keys))[:_TOP]
    return [row for family in shown for row in _family(family, window)]


def _family(family: Family, window: Window) -> list[Measurement]:
    labels = {"family": family.name}
    rows = [
        Measurement(
            metric="cache.hits.ratio",
            value=family.ratio,
            unit=Unit.RATIO,
            n=family.n,
            source=_ESTIMATE,
            window=window,
            interval=family.interval,
            labels=labels,
            note="estimate" if family.ratio is not None else why_no_ratio(family),
        ),
        Measurement(
            metric="cache.keys.count",
            value=family.keys,
            unit=Unit.COUNT,
            n=family.rounds,
            source="SCAN, mean over the rounds",
            window=window,
            labels=labels,
        ),
    ]
    if family.miss_share is not None and family.fills_seen:
        rows.append(
            Measurement(
                metric="cache.misses.ratio",
                value=family.miss_share,
                unit=Unit.RATIO,
                n=family.fills_seen,
                source=f"{_ESTIMATE}: the family's share of all misses",
                window=window,
                labels=labels,
                note="estimate",
            )
        )
    return rows


def why_no_ratio(family: Family) -> str:
    """Why a family has no estimated hit ratio."""
    if family.looks == 0:
        return "not measured: no look could tell whether its keys are read"
    if family.n < MIN_EVIDENCE:
        return f"not measured: {family.n} observations are too few"
    if family.fills_seen:
        return "not measured: its keys are written and were not read, but no misses go with the writes"
    return "not measured: its keys were neither read nor written"


def _moment(utc_ns: int) -> datetime:
    return datetime.fromtimestamp(utc_ns / 1e9, UTC)
