"""Reconnect storms and lost pushes → findings. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import ComponentId, Finding, Level, Measurement, Remedy, Severity
from tasks.components.base import Samples
from tasks.components.websocket.storms import Storm, storms

_SLOW_MS = 10_000
"""A school's office or kitchen that sees no orders for longer calls for help."""


def recovery(samples: Samples, own: dict[str, Measurement]) -> Finding | None:
    """A storm after which connections stayed away, were refused on their way back, or took long."""
    bad = [storm for storm in storms(samples.tables["connections"]) if _bad(storm)]
    if not bad:
        return None
    worst = max(bad, key=lambda storm: (storm.lost, storm.recovery_ms or 0.0))
    errors = ", ".join(f"{kind} × {number}" for kind, number in worst.errors.items()) or "none"
    back = (
        "none came back" if worst.recovery_ms is None else f"the last to return took {worst.recovery_ms / 1e3:.1f} s"
    )
    return Finding(
        id="websocket.storm:reconnects",
        component=ComponentId.WEBSOCKET,
        kind="storm",
        subject="reconnects",
        title=f"{worst.dropped} WebSocket connections dropped at once, and {worst.lost} never came back",
        detail=(f"Dropped by the {worst.by}; {back}; {worst.attempts} attempts, of which failed: {errors}."),
        severity=Severity.CRITICAL if worst.lost else Severity.WARNING,
        impact=Level.HIGH if worst.lost else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=(own["websocket.recovery.max"], own["websocket.connects.ratio"]),
        remedy=Remedy(
            summary=(
                "Everybody returns at once after a restart: raise the accept queue and the limits of open "
                "connections, make the handshake cheap, restart servers one after the other, and let clients come "
                "back after a random, growing wait."
            ),
        ),
    )


def _bad(storm: Storm) -> bool:
    return bool(storm.lost or storm.errors) or (storm.recovery_ms or 0.0) > _SLOW_MS


def pushes(measured: Sequence[Measurement]) -> Finding | None:
    """Pushes whose numbers have gaps."""
    missing = next((one for one in measured if one.metric == "websocket.pushes.missing"), None)
    if missing is None or not missing.value:
        return None
    return Finding(
        id="websocket.pushes:missing",
        component=ComponentId.WEBSOCKET,
        kind="pushes",
        subject="missing",
        title=f"{missing.value:.0f} WebSocket pushes were lost beside {missing.n} that came",
        detail="Their numbers have gaps on connections that stayed open.",
        severity=Severity.WARNING,
        impact=Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=(missing,),
        remedy=Remedy(
            summary="Look for full outboxes and dropped broadcasts in the server; let clients fetch what they missed."
        ),
    )
