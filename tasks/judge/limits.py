"""Whether the gate has every limit that its profile asks for: a limit that someone removed must not be a pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from storage.records import GateCheck, GatePolicy, GateVerdict, Score, Threshold, Unit

LIMITS = "limits"
"""Id of the gate's check."""


def limits(
    policy: GatePolicy, thresholds: Sequence[Threshold], score: Score, off: Collection[str]
) -> GateCheck | None:
    """The gate's row; None where the profile requires nothing. Switched-off components need no limits."""
    if not policy.required:
        return None
    limited = {threshold.metric for threshold in thresholds if threshold.gate is not None}
    weighted = {part.component.value for part in score.components}
    missing = [
        metric
        for metric in policy.required
        if metric.partition(".")[0] not in off and (metric not in limited or metric.partition(".")[0] not in weighted)
    ]
    return GateCheck(
        id=LIMITS,
        title="Limits that the gate lacks",
        value=None if missing else 0,
        limit=0,
        unit=Unit.COUNT,
        comparison="==",
        verdict=GateVerdict.NO_DATA if missing else GateVerdict.PASS,
        detail=f"no limit or no weight: {', '.join(missing)}" if missing else f"all {len(policy.required)} are there",
    )
