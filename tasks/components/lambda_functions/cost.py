"""What functions cost a month: requests, GB-seconds by tier, /tmp above 512 MB, and provisioned concurrency.

A GB is 1,024 MB and a month 730 hours, as AWS bills. `Billed Duration` of a REPORT line already holds what is billed
of an init (all of it for managed ZIP functions since August 2025) and of a SnapStart restore: nothing is added.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

PRICES = Path(__file__).parent / "prices.toml"

MB_PER_GB = 1024
FREE_STORAGE_MB = 512


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one region and architecture in dollars; `duration` by tier, each tier up to `tiers` GB-seconds.

    `snapstart_cache` is for a GB-second of a published version's snapshot, `snapstart_restore` for a GB restored;
    Java pays neither.
    """

    region: str
    architecture: str
    as_of: date
    request: float
    duration: tuple[float, ...]
    tiers: tuple[float, ...]
    storage_gb_s: float
    provisioned: float
    provisioned_duration: float
    month_hours: float
    snapstart_cache: float
    snapstart_restore: float

    @property
    def month_s(self) -> float:
        """Seconds of a month as AWS counts it."""
        return self.month_hours * 3600

    @property
    def break_even(self) -> float:
        """Utilisation above which provisioned concurrency is cheaper than paying on demand."""
        return self.provisioned / (self.duration[0] - self.provisioned_duration)


@dataclass(frozen=True, slots=True)
class Usage:
    """A month of one function: `gb_s` billed on demand, `provisioned_gb_s` billed in provisioned environments.

    `snapshots` are published versions whose SnapStart snapshot is kept all month, `restores` environments started
    from one; both 0 for Java, which pays for neither.
    """

    requests: float
    gb_s: float
    provisioned_gb_s: float = 0.0
    provisioned_environments: float = 0.0
    memory_mb: int = 0
    storage_mb: int = FREE_STORAGE_MB
    snapshots: float = 0.0
    restores: float = 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Dollars a month by what they are for."""

    requests: float
    duration: float
    storage: float
    provisioned: float
    snapstart: float = 0.0

    @property
    def total(self) -> float:
        """Dollars a month in all."""
        return self.requests + self.duration + self.storage + self.provisioned + self.snapstart

    @property
    def standing(self) -> float:
        """The part of it that is paid whatever is called."""
        return self.storage + self.provisioned + self.snapstart


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads(PRICES.read_text(encoding="utf-8"))


def prices(region: str, architecture: str = "x86_64") -> Prices | None:
    """The bundled prices of a region, None where the table has none: then nothing is priced, never guessed."""
    table = _table()
    place = table["region"].get(region)
    if place is None or architecture not in place:
        return None
    rates = place[architecture]
    return Prices(
        region=region,
        architecture=architecture,
        as_of=table["as_of"],
        request=table["request"],
        duration=tuple(rates["duration"]),
        tiers=tuple(table["tiers_gb_s"][architecture]),
        storage_gb_s=place["storage_gb_s"],
        provisioned=rates["provisioned"],
        provisioned_duration=rates["provisioned_duration"],
        month_hours=table["month_hours"],
        snapstart_cache=table["snapstart"]["cache_gb_s"],
        snapstart_restore=table["snapstart"]["restore_gb"],
    )


def duration_cost(gb_s: float, price: Prices) -> float:
    """Dollars for GB-seconds of one month, each tier at its own price."""
    bounds = (*price.tiers, float("inf"))
    total, below = 0.0, 0.0
    for bound, rate in zip(bounds, price.duration, strict=True):
        total += max(0.0, min(gb_s, bound) - below) * rate
        below = bound
    return total


def monthly_cost(usage: Usage, price: Prices) -> Cost:
    """Dollars of one function's month by the price table, free tier not counted."""
    memory_gb = usage.memory_mb / MB_PER_GB
    standing_gb_s = usage.provisioned_environments * memory_gb * price.month_s
    seconds = (usage.gb_s + usage.provisioned_gb_s) / memory_gb if memory_gb else 0.0
    storage_gb = max(0, usage.storage_mb - FREE_STORAGE_MB) / MB_PER_GB
    return Cost(
        requests=usage.requests * price.request,
        duration=duration_cost(usage.gb_s, price),
        storage=seconds * storage_gb * price.storage_gb_s,
        provisioned=standing_gb_s * price.provisioned + usage.provisioned_gb_s * price.provisioned_duration,
        snapstart=memory_gb
        * (usage.snapshots * price.month_s * price.snapstart_cache + usage.restores * price.snapstart_restore),
    )


def analysis_cost(metrics: int, bytes_scanned: float) -> float:
    """Dollars that an analysis itself cost: metrics asked of GetMetricData, bytes scanned by Logs Insights."""
    rates = _table()["analysis"]
    return float(metrics * rates["metric"] + bytes_scanned / 1e9 * rates["scanned_gb"])
