"""WebSocket samples and measurements → findings. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deployments.config import RunConfig
from storage.records import (
    ComponentId,
    Finding,
    Level,
    Measurement,
    Remedy,
    Severity,
    Threshold,
)
from tasks.components.base import Samples
from tasks.components.websocket import advise_storms
from tasks.load.recording.samples import counts, errors_by_kind

_KEY = "aGFzaXZ1LXBlcmYtY2hlY2s="
_CONNECT_CAUSES = {
    "refused": "nobody accepts connections there: start the service, or correct the port",
    "unreachable": "there is no route: correct the address, or open the network",
    "connect_timeout": "no connection came about in time: look at firewalls and at the accept queue",
    "connect": "nothing accepts connections there: start the service, open the port, or correct the address",
    "certificate": "its certificate cannot be trusted: check its name, chain and expiry",
    "timeout": "the handshake did not end in time: look at the accept queue, the proxy in front and its upstreams",
    "tls": "the TLS handshake failed: check the versions and ciphers that it offers",
    "protocol": "the answer was no upgrade: check the path, and that proxies pass Upgrade and Connection on",
    "reset": "the connection was torn during the handshake: look at the server's limits of open connections",
    "closed": "the server closed during the handshake: look at its log and its limits of open connections",
}
_CODES = {
    1000: "1000 (closed in order)",
    1001: "1001 (going away: a restart or a deployment)",
    1006: "1006 (no close frame: a crash, a proxy's time-out or the network)",
    1008: "1008 (policy: authentication or a rate limit)",
    1009: "1009 (message too big)",
    1011: "1011 (an error in the server)",
    1012: "1012 (service restart)",
    1013: "1013 (try again later: overloaded)",
}


def findings(samples: Samples, measured: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """Findings of one run, each with its evidence."""
    own = {m.metric: m for m in measured if not m.labels}
    limits = {threshold.metric: threshold for threshold in config.thresholds}
    candidates = (
        _connects(samples, own, limits.get("websocket.connects.ratio")),
        _drops(samples, own),
        _latency(samples, measured, limits.get("websocket.latency.p95")),
        _errors(samples, own),
        advise_storms.recovery(samples, own),
        advise_storms.pushes(measured),
        _stopped(samples, own),
    )
    return [finding for finding in candidates if finding is not None]


def _connects(samples: Samples, own: dict[str, Measurement], limit: Threshold | None) -> Finding | None:
    ratio = own["websocket.connects.ratio"]
    if ratio.value is None or ratio.value >= (limit.good if limit else 1.0):
        return None
    failed = [row for row in samples.tables["connections"].to_pylist() if row["opened_ns"] is None]
    kinds = Counter(f"HTTP {row['status']}" if row["status"] else row["error"] or "unknown" for row in failed)
    common = kinds.most_common(1)[0][0]
    cause = _CONNECT_CAUSES.get(
        common, f"the server refuses the upgrade with {common}: check path, rights and limits"
    )
    critical = ratio.value < (limit.poor if limit else 1.0)
    return Finding(
        id=f"websocket.connects:{common.lower().replace(' ', '_')}",
        component=ComponentId.WEBSOCKET,
        kind="connects",
        subject=common,
        title=f"{len(failed)} of {ratio.n} WebSocket connections failed",
        detail=f"Failures by kind: {_listed(kinds)}. Most likely {cause}.",
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=(ratio, own["websocket.connect.p95"]),
        remedy=Remedy(summary=cause[0].upper() + cause[1:] + ".", commands=(_curl(samples),)),
    )


def _drops(samples: Samples, own: dict[str, Measurement]) -> Finding | None:
    drops = own["websocket.drops.count"]
    if not drops.value:
        return None
    dropped = [row for row in samples.tables["connections"].to_pylist() if row["dropped"]]
    codes = Counter(_CODES.get(row["close_code"], str(row["close_code"])) for row in dropped)
    lives = sorted((row["closed_ns"] - row["opened_ns"]) / 1e9 for row in dropped)
    share = drops.value / drops.n
    return Finding(
        id="websocket.drops:connections",
        component=ComponentId.WEBSOCKET,
        kind="drops",
        subject="connections",
        title=f"{len(dropped)} of {drops.n} open WebSocket connections were dropped",
        detail=(
            f"Close codes: {_listed(codes)}. They had lived {lives[0]:.1f} to {lives[-1]:.1f} s, "
            f"{lives[len(lives) // 2]:.1f} s in the middle. {_come_back(samples)}"
        ),
        severity=Severity.WARNING,
        impact=Level.HIGH if share >= 0.1 else Level.MEDIUM,  # noqa: PLR2004 - a tenth of all users is many
        effort=Level.MEDIUM,
        evidence=(drops,),
        remedy=Remedy(
            summary=(
                "Lives of equal length point to an idle or maximum time-out of a proxy or load balancer: raise it "
                "above the heartbeat's interval. Scattered ones point to crashes or restarts: look for their "
                "moments (table connections, closed_ns) in the server's log."
            ),
            commands=(_curl(samples),),
        ),
    )


def _come_back(samples: Samples) -> str:
    again = [row for row in samples.tables["connections"].to_pylist() if row["attempt"] > 1]
    opened = sum(row["opened_ns"] is not None for row in again)
    return f"{opened} of {len(again)} reconnects succeeded." if again else "Nobody reconnected before the end."


def _latency(samples: Samples, measured: Sequence[Measurement], limit: Threshold | None) -> Finding | None:
    of = {m.labels.get("message", ""): m for m in measured if m.metric == "websocket.latency.p95"}
    whole = of.get("")
    if limit is None or whole is None or whole.value is None or whole.value <= limit.good:
        return None
    parts = {kind: m for kind, m in of.items() if kind and m.value is not None} or {"messages": whole}
    kind, slowest = max(parts.items(), key=lambda pair: pair[1].value or 0.0)
    figures = ", ".join(f"{name} {m.value:.1f} ms (n {m.n})" for name, m in sorted(parts.items()))
    only = kind != "ping" and "ping" in parts and (slowest.value or 0) > 2 * (parts["ping"].value or 0)
    return Finding(
        id=f"websocket.latency:{kind}",
        component=ComponentId.WEBSOCKET,
        kind="latency",
        subject=kind,
        title=f"WebSocket answers take {whole.value:.0f} ms at p95 (good: {limit.good:.0f} ms)",
        detail=f"p95 by message: {figures}.",
        severity=Severity.CRITICAL if whole.value > limit.poor else Severity.WARNING,
        impact=Level.HIGH if whole.value > limit.fair else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=(whole, slowest),
        remedy=Remedy(
            summary=(
                f"ping is fast, {kind} is not: look at what {kind} asks of the database and the cache."
                if only
                else "ping is slow as well, and it does no work: the server's event loop is blocked or its processes "
                "are too few. Profile the loop, move blocking work off it, or add processes."
            ),
            commands=(_curl(samples),),
        ),
    )


def _errors(samples: Samples, own: dict[str, Measurement]) -> Finding | None:
    ratio = own["websocket.errors.ratio"]
    if not ratio.value:
        return None
    messages = samples.tables["samples"]
    number, kinds = counts(messages), errors_by_kind(messages)
    parts = [f"{kind} {times}" for kind, times in kinds.items()]
    if number["failed"]:
        parts.append(f"unexpected answer {number['failed']}")
    notes = [note for note in samples.collected.notes if note.startswith("answers of an unexpected type")]
    critical = ratio.value > 0.05  # noqa: PLR2004 - the limit of the platform's own error rates
    return Finding(
        id="websocket.errors:messages",
        component=ComponentId.WEBSOCKET,
        kind="errors",
        subject="messages",
        title=f"{number['errors'] + number['failed']} of {number['sent']} WebSocket messages had no good answer",
        detail="; ".join([f"By kind: {', '.join(parts)}", *notes]) + ".",
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        impact=Level.HIGH if critical else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=(ratio,),
        remedy=Remedy(
            summary=(
                "For time-outs: look for handlers that wait for the database without a limit. For unexpected "
                "answers: the error codes above come from the server; its log has the same moments."
            ),
            commands=(_curl(samples),),
        ),
    )


def _stopped(samples: Samples, own: dict[str, Measurement]) -> Finding | None:
    reason = samples.collected.load_plan.get("stopped")
    load = samples.collected.load
    if reason is None or load is None or not load.sent:  # without a message sent, the failed connects say it all
        return None
    return Finding(
        id="websocket.stopped:load",
        component=ComponentId.WEBSOCKET,
        kind="stopped",
        subject="load",
        title="The WebSocket load was stopped early",
        detail=f"Reason: {reason}; {load.unsent} of {load.planned} messages were not sent.",
        severity=Severity.CRITICAL,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=(own["websocket.errors.ratio"], own["websocket.latency.p95"]),
        remedy=Remedy(
            summary="Find out what broke at this load (see drops, errors and slow messages), then measure again.",
            commands=(_curl(samples),),
        ),
    )


def _listed(numbers: Counter[str]) -> str:
    return ", ".join(f"{name} × {number}" for name, number in numbers.most_common())


def _curl(samples: Samples) -> str:
    """A handshake by hand: 101 is the good answer (the address is shown without user and query)."""
    target = samples.collected.fingerprint.get("target", "").replace("ws", "http", 1)
    return (
        "curl --silent --show-error --include --no-buffer --max-time 5 --http1.1 "
        "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' "
        f"-H 'Sec-WebSocket-Key: {_KEY}' '{target}'"
    )
