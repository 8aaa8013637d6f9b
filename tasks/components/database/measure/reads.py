"""The timed reads: percentiles and errors over the steady phase, in all and by statement.

Percentiles are exact, by nearest rank, over client-side samples: never derived from the means of pg_stat_statements,
which keeps no distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deployments.config import RunConfig
from storage.records import Measurement, Unit
from tasks.components.database.measure.data import Data, none
from tasks.load.recording.samples import (
    STEADY,
    Floats,
    column,
    counts,
    endpoints,
    of_endpoint,
    of_phase,
    percentile,
    percentile_interval,
)

_READS = "client-side timing of representative reads, open model, from the intended start to the last row"


def reads(data: Data, _: RunConfig) -> list[Measurement]:
    """Percentiles and error ratio of the timed reads, in all and by statement, over the steady phase."""
    table = data.samples.tables.get("samples")
    steady = None if table is None else of_phase(table, STEADY)
    if steady is None or steady.num_rows == 0:
        reason = data.facts.get("reads_problem") or "no representative read was sent in the steady phase"
        return [
            *(none(data, f"database.query.{name}", Unit.MS, _READS, reason) for name in ("p50", "p95", "p99")),
            none(data, "database.errors.ratio", Unit.RATIO, _READS, reason),
        ]
    found = [*_percentiles(data, steady, {}), _errors(data, steady, {})]
    for name in endpoints(steady):
        part = of_endpoint(steady, name)
        found += [*_percentiles(data, part, {"statement": name}), _errors(data, part, {"statement": name})]
    return found


def _percentiles(data: Data, table: Any, labels: Mapping[str, str]) -> list[Measurement]:
    """A read that timed out took at least its time-out and counts with that: slow reads cannot leave the figure."""
    error = np.array([kind or "" for kind in table.column("error").to_pylist()])
    failed = table.column("failed").to_numpy()
    timed_out = error == "timeout"
    kept = ((error == "") & ~failed) | timed_out
    latency: Floats = ((column(table, "received_ns") - column(table, "intended_ns"))[kept]) / 1e6
    note = ""
    if timed_out.any():
        many = int(timed_out.sum())
        note = f"{many} of {len(latency)} reads timed out and count with the time they took: a lower bound"
    if len(latency) == 0:
        note = "no data: none of the reads was answered with rows"
    return [
        data.measurement(
            f"database.query.{name}",
            percentile(latency, q),
            Unit.MS,
            len(latency),
            _READS,
            interval=percentile_interval(latency, q),
            labels=labels,
            note=note,
        )
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]


def _errors(data: Data, table: Any, labels: Mapping[str, str]) -> Measurement:
    number = counts(table)
    ratio = (number["failed"] + number["errors"]) / number["sent"]
    source = "timed reads: (SQL errors + time-outs + lost connections) ÷ reads sent"
    return data.measurement("database.errors.ratio", ratio, Unit.RATIO, number["sent"], source, labels=labels)
