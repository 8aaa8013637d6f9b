"""How each function behaves: how often it is called, how long it takes, what it uses and how it fails.

Durations follow `wait + cpu x max(1, 1769 / memory)`: Lambda gives one full vCPU at 1,769 MB, and these
single-threaded handlers gain nothing beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from deployments.local.aws.functions import Function
from deployments.local.aws.planted import planted

Shape = Literal["lunch", "ordering", "office", "flat"]

FULL_VCPU_MB = 1769
"""The memory at which a function holds one whole vCPU (AWS Lambda Developer Guide, "Memory")."""

SHAPES: dict[Shape, tuple[float, ...]] = {
    # the share of a day's calls by hour of Asia/Kolkata, 00 to 23; need not add up to one
    "lunch": (0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 6, 14, 26, 20, 8, 4, 2, 1, 1, 1, 0, 0, 0, 0),
    "ordering": (0, 0, 0, 0, 0, 1, 6, 14, 16, 8, 4, 8, 12, 6, 2, 2, 2, 3, 5, 8, 9, 5, 1, 0),
    "office": (0, 0, 0, 0, 0, 0, 0, 1, 4, 8, 10, 10, 6, 5, 8, 9, 8, 5, 2, 1, 0, 0, 0, 0),
    "flat": (1,) * 24,
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What traffic and resources a function shows; milliseconds, MB, shares of 0..1."""

    daily: float  # calls on a school day, bursts and schedules apart
    weekend: float = 0.08  # share of that on Saturday and Sunday
    shape: Shape = "office"
    wait_ms: float = 30.0
    cpu_ms: float = 20.0
    spread: float = 0.35  # sigma of the log-normal factor on the duration
    init_ms: float = 520.0
    init_spread: float = 0.18
    used_mb: float = 95.0
    used_spread_mb: float = 6.0
    keep_alive_s: float = 600.0  # an idle environment lives so long
    failures: float = 0.001  # handled errors
    timeouts: float = 0.0
    init_timeouts: float = 0.0  # share of inits that exceed Lambda's 10 s
    burst: int = 0  # calls within 30 s of each bell
    every_s: int = 0  # a monitor calls it at this interval, day and night


_FAMILIES: tuple[tuple[str, Behaviour], ...] = (
    ("rfid-", Behaviour(60, shape="lunch", wait_ms=22, cpu_ms=14)),
    ("orders-", Behaviour(150, shape="ordering", wait_ms=48, cpu_ms=26)),
    ("menus-", Behaviour(40, shape="ordering", wait_ms=36, cpu_ms=18)),
    ("auth-", Behaviour(60, shape="ordering", weekend=0.15, wait_ms=24, cpu_ms=44)),
    ("users-", Behaviour(40, shape="office", wait_ms=30, cpu_ms=12)),
    ("mobile-", Behaviour(180, shape="lunch", weekend=0.1, wait_ms=34, cpu_ms=12)),
    ("monitoring-", Behaviour(24, shape="flat", weekend=0.6, wait_ms=26, cpu_ms=10)),
    ("payments-", Behaviour(60, shape="ordering", wait_ms=120, cpu_ms=20, used_mb=104)),
    ("nutrition-", Behaviour(26, wait_ms=180, cpu_ms=900, used_mb=310, used_spread_mb=25, init_ms=900)),
    ("analytics-", Behaviour(18, wait_ms=420, cpu_ms=520, used_mb=330, used_spread_mb=30, init_ms=840)),
    ("extra-", Behaviour(3)),
    ("", Behaviour(30, wait_ms=90, cpu_ms=60, used_mb=130, used_spread_mb=10)),
)

_DAILY: dict[str, float] = {
    "auth-login": 520,
    "auth-refresh-token": 460,
    "users-get": 360,
    "payments-create-order": 260,
    "payments-verify": 250,
    "payments-webhook-handler": 250,
    "payments-webhook": 30,
    "payments-status": 190,
    "orders-create": 640,
    "orders-get": 520,
    "orders-list": 420,
    "orders-history": 150,
    "orders-update": 110,
    "menus-daily": 900,
    "menus-list-plans": 120,
    "rfid-verify-card": 540,
    "rfid-delivery-verification": 460,
    "rfid-parent-dashboard": 150,
    "rfid-mobile-tracking": 160,
    "mobile-delivery-tracking": 420,
    "mobile-parent-notifications": 360,
    "mobile-device-registration": 60,
    "pdf-generator": 150,
    "analytics-executive-dashboard": 60,
    "nutrition-analyzer": 90,
    "analytics-strategic-insights": 60,
    "menus-approve": 6,
    "users-bulk-import": 3,
    "rfid-bulk-import-cards": 2,
    "auth-verify-email": 12,
}

_SPECIAL: dict[str, dict[str, float | int]] = {
    "health": {"daily": 0, "every_s": 300, "wait_ms": 3, "cpu_ms": 2},
    "monitoring-status": {"every_s": 900},
    "rfid-verify-card": {"burst": 45, "wait_ms": 30, "init_ms": 780, "keep_alive_s": 420},
    "rfid-bulk-verification": {"wait_ms": 240, "cpu_ms": 160},
    "invoice-mailer": {"wait_ms": 900},
    "billing-automation": {"wait_ms": 2400, "cpu_ms": 300},
    "nutrition-meal-optimization": {"wait_ms": 60, "cpu_ms": 2600},  # CPU-bound: its memory buys speed
    planted("memory-oversized").function: {"wait_ms": 1900, "cpu_ms": 60, "used_mb": 205, "used_spread_mb": 12},
    planted("memory-undersized").function: {"used_mb": 988, "used_spread_mb": 14.5, "wait_ms": 700, "cpu_ms": 1100},
    # a large bundle, and environments that are taken away soon after each peak
    planted("cold-starts").function: {
        "init_ms": 2500,
        "init_spread": 0.22,
        "keep_alive_s": 100,
        "init_timeouts": 0.01,
        "wait_ms": 95,
        "cpu_ms": 60,
    },
    planted("throttles").function: {"burst": 40, "wait_ms": 620, "cpu_ms": 90},
    planted("errors").function: {"failures": 0.03, "timeouts": 0.012, "wait_ms": 800},
    planted("memory-history").function: {"wait_ms": 160, "cpu_ms": 1500, "used_mb": 340},
    planted("no-traffic").function: {"daily": 0},
}


def behaviour(function: Function) -> Behaviour:
    """The behaviour of `function`: that of its family, varied by its name, with what is planted in it."""
    base = next(family for prefix, family in _FAMILIES if function.key.startswith(prefix))
    vary = [0.7 + 0.6 * byte / 255 for byte in function.digest[:4]]
    varied = replace(
        base,
        daily=_DAILY.get(function.key, base.daily * vary[0]),
        wait_ms=base.wait_ms * vary[1],
        cpu_ms=base.cpu_ms * vary[2],
        used_mb=base.used_mb * (0.9 + 0.2 * function.digest[4] / 255),
        init_ms=base.init_ms * vary[3],
    )
    return replace(varied, **_SPECIAL.get(function.key, {}))  # type: ignore[arg-type]  # every key is a field


def mean_duration_ms(behaviour: Behaviour, memory_mb: int) -> float:
    """The median duration at `memory_mb`: waiting, plus computing slowed by the share of a vCPU it gets."""
    return behaviour.wait_ms + behaviour.cpu_ms * max(1.0, FULL_VCPU_MB / memory_mb)
