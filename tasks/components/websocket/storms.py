"""Reconnect storms: most connections were dropped at once, by the plan or by the server; how they came back. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

_TOGETHER_NS = 1_000_000_000
_SHARE = 0.5
_FEW = 3

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Storm:
    """One storm; `by` is `plan` or `server`.

    `recovery_ms`: from the first drop to the moment at which the last of the connections that came back was open;
    None where none came back. `lost` never did. `attempts` were needed in all, and failed by `errors`.
    """

    by: str
    start_ns: int
    dropped: int
    lost: int
    recovery_ms: float | None
    attempts: int
    errors: Mapping[str, int]


def storms(connections: pa.Table) -> list[Storm]:
    """The storms of a load, in order: drops less than a second apart that hit at least half of what was open."""
    rows = connections.to_pylist()
    drops = sorted((row for row in rows if row["dropped"] or row["ended_by"] == "storm"), key=_closed)
    later: defaultdict[int, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["attempt"])):
        later[row["connection"]].append(row)
    return [_storm(cluster, later) for cluster in _clusters(drops) if _is_storm(cluster, rows)]


def _closed(row: Row) -> int:
    return int(row["closed_ns"])


def _clusters(drops: Iterable[Row]) -> list[list[Row]]:
    clusters: list[list[Row]] = []
    for row in drops:
        if clusters and _closed(row) - _closed(clusters[-1][-1]) <= _TOGETHER_NS:
            clusters[-1].append(row)
        else:
            clusters.append([row])
    return clusters


def _is_storm(cluster: Sequence[Row], rows: Sequence[Row]) -> bool:
    if any(row["ended_by"] == "storm" for row in cluster):
        return True
    start = _closed(cluster[0])
    were_open = sum(row["opened_ns"] is not None and row["opened_ns"] <= start <= _closed(row) for row in rows)
    hit = len({row["connection"] for row in cluster})
    return bool(hit >= max(_FEW, _SHARE * were_open))


def _storm(cluster: Sequence[Row], later: Mapping[int, Sequence[Row]]) -> Storm:
    """Follow each connection that was hit to its next attempt that opened."""
    last = {row["connection"]: row for row in cluster}
    start, attempts, backs, errors = _closed(cluster[0]), 0, list[int](), Counter[str]()
    for connection, drop in last.items():
        for row in later[connection]:
            if row["attempt"] <= drop["attempt"]:
                continue
            attempts += 1
            if row["opened_ns"] is not None:
                backs.append(int(row["opened_ns"]))
                break
            errors[f"HTTP {row['status']}" if row["status"] else row["error"] or "unknown"] += 1
    return Storm(
        by="plan" if any(row["ended_by"] == "storm" for row in cluster) else "server",
        start_ns=start,
        dropped=len(last),
        lost=len(last) - len(backs),
        recovery_ms=(max(backs) - start) / 1e6 if backs else None,
        attempts=attempts,
        errors=dict(errors.most_common()),
    )
