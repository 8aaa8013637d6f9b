"""What was collected, by function, as measuring and advising look at it: pure, from the stored tables alone."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from deployments.config import LambdaSettings
from storage.records import Window
from tasks.components.base import Samples
from tasks.components.lambda_functions.aggregates import statistics_from
from tasks.components.lambda_functions.arrivals import Arrivals, arrivals
from tasks.components.lambda_functions.cost import Cost, Prices, Usage, monthly_cost, prices
from tasks.components.lambda_functions.criticality import Criticality, classify, configured
from tasks.components.lambda_functions.money import as_days, dollars_by_day, meals_by_day
from tasks.components.lambda_functions.reading import Refused
from tasks.components.lambda_functions.reports import FunctionStatistics, by_function, statistics_of
from tasks.components.lambda_functions.spread import Day
from tasks.components.lambda_functions.triggers import by_function as by_caller

Floats = npt.NDArray[np.float64]

_FRIDAY = 4

RUNTIMES = Path(__file__).parent / "runtimes.toml"

REPORT_LINES = "REPORT lines (FilterLogEvents)"
INSIGHTS = "REPORT lines (Logs Insights statistics)"
CLOUDWATCH = "CloudWatch AWS/Lambda"


@dataclass(frozen=True)
class FunctionFacts:
    """One function: its set-up (a row of the inventory), CloudWatch's figures, and its log's statistics if any.

    `log_note` says why there are no statistics. `arrivals` and `daily` (dollars by whole day) are known where single
    invocations are. `triggers` are rows of `TRIGGERS`, `optimizer` is Compute Optimizer's row, if any.
    """

    name: str
    setup: Mapping[str, Any]
    metrics: Mapping[tuple[str, str], float]
    statistics: FunctionStatistics | None
    source: str
    log_note: str
    criticality: Criticality
    region: str
    window: Window
    arrivals: Arrivals | None = None
    daily: Floats | None = None
    triggers: tuple[Mapping[str, Any], ...] = ()
    optimizer: Mapping[str, Any] | None = None

    def metric(self, name: str, statistic: str) -> float | None:
        """CloudWatch's figure, None where it has none."""
        return self.metrics.get((name, statistic))

    def count(self, name: str) -> int:
        """A CloudWatch sum as a count; no data point is none of it."""
        return round(self.metric(name, "Sum") or 0)

    @property
    def invocations(self) -> int:
        """Invocations by CloudWatch where it has the metric, else by the log."""
        if ("Invocations", "Sum") in self.metrics:
            return self.count("Invocations")
        return self.statistics.invocations if self.statistics else 0

    @property
    def provisioned(self) -> Mapping[str, int]:
        """Provisioned environments by qualifier."""
        return dict(self.setup["provisioned"])

    @property
    def price(self) -> Prices | None:
        """Prices of the function's region and architecture, None where the table has none."""
        return prices(self.region, self.setup["architecture"])

    @property
    def _snapshots(self) -> int:
        """Published versions with a SnapStart snapshot that is paid for: those that were called, one at least."""
        if not self.setup["snap_start"] or self.setup["runtime"].startswith("java"):
            return 0
        versions: list[str] = [each for each in self.setup.get("aliases") or () if each.isdigit()]
        return max(1, len(versions))

    def cost(self) -> Cost | None:
        """Dollars a month at the rate of the window, None where billed time or prices are not known."""
        if self.statistics is None or self.price is None:
            return None
        scale = self.price.month_s / self.window.seconds
        share = (
            min(1.0, self.count("ProvisionedConcurrencyInvocations") / self.invocations) if self.invocations else 0.0
        )
        billed = self.statistics.billed_gb_s * scale
        usage = Usage(
            requests=max(self.invocations, self.statistics.invocations) * scale,
            gb_s=billed * (1 - share),
            provisioned_gb_s=billed * share,
            provisioned_environments=sum(self.provisioned.values()),
            memory_mb=self.setup["memory_mb"],
            storage_mb=self.setup["storage_mb"],
            snapshots=self._snapshots,
            restores=(self.statistics.restores or 0) * scale if self._snapshots else 0.0,
        )
        return monthly_cost(usage, self.price)


@dataclass(frozen=True)
class Facts:
    """All functions of one run, by name, and whether CloudWatch could be read at all.

    `days` are the whole days of the window with what all functions cost and the meals that were served on them;
    `meals_source` says who counted those (empty: nobody did).
    """

    functions: Mapping[str, FunctionFacts]
    window: Window
    has_metrics: bool
    notes: tuple[str, ...]
    account: Mapping[str, str] = field(default_factory=dict)
    triggers: tuple[Mapping[str, Any], ...] = ()
    days: tuple[Day, ...] = ()
    meals_source: str = ""

    @property
    def concurrency_limit(self) -> int | None:
        """Concurrent executions that the account may have, None where that was not read."""
        limit = self.account.get("concurrency_limit")
        return int(limit) if limit else None

    def note_about(self, what: str) -> str:
        """The note of the collection that speaks of something, or a plain one."""
        return next((note for note in self.notes if note.startswith(what)), f"no data: {what} could not be read")


def facts_of(samples: Samples, settings: LambdaSettings) -> Facts:
    """Put the tables of a run together by function."""
    tables = samples.tables
    logs = {row["function"]: row for row in tables["logs"].to_pylist()}
    refused = {name: Refused(row["duplicates"], row["suspicious"]) for name, row in logs.items()}
    statistics = statistics_of(tables["samples"], refused, timezone=settings.timezone)
    by_insights = statistics_from(tables["aggregates"])
    metrics: dict[str, dict[tuple[str, str], float]] = {}
    for row in tables["metrics"].to_pylist():
        metrics.setdefault(row["function"], {})[row["metric"], row["statistic"]] = row["value"]
    setups = [
        {**row, "tags": dict(row["tags"]), "provisioned": dict(row["provisioned"])}
        for row in tables["functions"].to_pylist()
    ]
    triggers = by_caller(_rows(tables, "triggers"))
    critical = classify(setups, statistics, settings, triggers)
    advised = {row["function"]: row for row in _rows(tables, "recommendations")}
    region = samples.collected.fingerprint.get("region", "")
    window = samples.collected.window
    rows = by_function(tables["samples"])
    functions = {}
    for setup in setups:
        name = setup["function"]
        log = logs.get(name, {"path": "none", "note": "its log was not read"})
        known = statistics.get(name) if log["path"] == "events" else by_insights.get(name)
        functions[name] = FunctionFacts(
            name=name,
            setup=setup,
            metrics=metrics.get(name, {}),
            statistics=known if known is not None and known.invocations + (known.failed_inits or 0) else None,
            source=INSIGHTS if log["path"] == "insights" else REPORT_LINES,
            log_note=log["note"] or "no invocation is in its log",
            criticality=critical[name],
            region=region,
            window=window,
            arrivals=arrivals(rows[name], window, settings.timezone) if name in rows else None,
            daily=_daily(setup, region, rows.get(name), window, settings.timezone),
            triggers=tuple(triggers.get(name, ())),
            optimizer=advised.get(name),
        )
    meals, meals_source = _meals(rows, settings, window)
    return Facts(
        functions=functions,
        window=window,
        has_metrics=bool(metrics),
        notes=samples.collected.notes,
        account={row["key"]: row["value"] for row in _rows(tables, "account")},
        triggers=tuple(_rows(tables, "triggers")),
        days=tuple(_days(functions, meals, window, settings)),
        meals_source=meals_source,
    )


def _rows(tables: Mapping[str, pa.Table], name: str) -> list[dict[str, Any]]:
    """The rows of a table that runs of before it was collected do not have."""
    return tables[name].to_pylist() if name in tables else []


def _daily(
    setup: Mapping[str, Any], region: str, rows: pa.Table | None, window: Window, timezone: str
) -> Floats | None:
    price = prices(region, setup["architecture"])
    return None if rows is None or price is None else dollars_by_day(rows, price, window, timezone)


def _meals(
    rows: Mapping[str, pa.Table], settings: LambdaSettings, window: Window
) -> tuple[Callable[[int, int], int], str]:
    """Meals by number and weekday of the day, and who says so: the function that serves them, or the file."""
    counter = configured(list(rows), settings.model_copy(update={"critical": (settings.meals_function,)}))
    if settings.meals_function and counter:
        (name,) = counter
        counted = meals_by_day(rows[name], window, settings.timezone)
        if counted is not None and counted.sum():
            return lambda number, _: int(counted[number]), f"successful calls of {name}"
    if settings.meals_per_school_day is not None:
        served = settings.meals_per_school_day
        source = "meals_per_school_day of the environment's file"
        return lambda _, weekday: served if weekday <= _FRIDAY else 0, source
    return lambda *_: 0, ""


def _days(
    functions: Mapping[str, FunctionFacts], meals: Callable[[int, int], int], window: Window, settings: LambdaSettings
) -> list[Day]:
    known = [each.daily for each in functions.values() if each.daily is not None]
    return as_days(np.sum(known, axis=0), meals, window, settings.timezone) if known else []


@dataclass(frozen=True, slots=True)
class Runtime:
    """A managed runtime: the day its support ends, and the one to move to."""

    name: str
    end: date
    successor: str


@cache
def runtimes() -> Mapping[str, Runtime]:
    """The dated table of managed runtimes, by name."""
    table = tomllib.loads(RUNTIMES.read_text(encoding="utf-8"))["runtime"]
    return {name: Runtime(name, row["end"], row["next"]) for name, row in table.items()}
