"""Asks CloudWatch and Logs Insights for the functions' last hours, seldom: each look costs money.

The figures are those of the lambda component, over a shorter window: `docs/watch.md` says what a day costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from deployments.config import LambdaSettings, Target
from storage.records import Collected, Window
from tasks.components.base import Samples
from tasks.components.lambda_functions.account import Account
from tasks.components.lambda_functions.aggregates import AGGREGATES, read_aggregates
from tasks.components.lambda_functions.collect import LOGS
from tasks.components.lambda_functions.facts import Facts, facts_of
from tasks.components.lambda_functions.inventory import Inventory, read_inventory
from tasks.components.lambda_functions.logs import Scanned
from tasks.components.lambda_functions.measure import measure
from tasks.components.lambda_functions.metrics import MetricsRead, read_metrics
from tasks.components.lambda_functions.rows import REPORTS
from tasks.monitoring.watch import names
from tasks.monitoring.watch.probe import Figures, Looked

WATCHED = frozenset({"lambda.cold_start.p95", "lambda.memory.efficiency"})
STATISTICS = (("Invocations", "Sum"), ("Errors", "Sum"), ("Throttles", "Sum"), ("ConcurrentExecutions", "Maximum"))
INVENTORY_S = 3600.0
"""Seconds for which the list of functions holds."""

_ATTEMPTS = 2


class FunctionsProbe:
    """See the module, and `tasks.monitoring.watch.probe.Probe`."""

    target = "lambda"
    limit_s = 120.0

    def __init__(self, settings: LambdaSettings, target: Target, *, every_s: float, window_s: float) -> None:
        self.every_s = every_s
        self._settings, self._target, self._window_s = settings, target, window_s
        self._inventory: Inventory | None = None
        self._listed = 0.0

    def look(self, now: float) -> Looked:
        """Read the last hours; `NotMeasuredError` where the account does not let us, or does not answer."""
        account = Account(self._target, self.limit_s, attempts=_ATTEMPTS)
        try:
            inventory = self._known(account, now)
            end = datetime.now(UTC).replace(second=0, microsecond=0)
            over = Window(start=end - timedelta(seconds=self._window_s), end=end)
            metrics = read_metrics(account, inventory.names, [], over.start, over.end, statistics=STATISTICS)
            facts = self._facts(account, inventory, metrics, over)
        finally:
            account.close()
        found = [one for one in measure(facts, self._settings) if one.metric in WATCHED and not one.labels]
        return Looked(found, _figures(inventory.names, metrics))

    def _known(self, account: Account, now: float) -> Inventory:
        if self._inventory is None or now - self._listed > INVENTORY_S:
            settings = self._settings
            self._inventory = read_inventory(account, settings.name_prefix, settings.log_group)
            self._listed = now
        return self._inventory

    def _facts(self, account: Account, inventory: Inventory, metrics: MetricsRead, over: Window) -> Facts:
        """What the component makes of a run's tables, with Insights' own statistics in the place of single lines."""
        busy = [row for row in inventory.functions if metrics.get(row["function"], "Invocations", "Sum")]
        start, end = (round(moment.timestamp() * 1000) for moment in (over.start, over.end))
        rows = read_aggregates(account, busy, start, end, Scanned())
        tables = {
            "samples": REPORTS.empty_table(),
            "functions": inventory.table(),
            "metrics": metrics.table(),
            "logs": pa.Table.from_pylist([_log(row) for row in inventory.functions], schema=LOGS),
            "aggregates": pa.Table.from_pylist(rows, schema=AGGREGATES),
        }
        return facts_of(Samples(tables, Collected(window=over)), self._settings)

    def back(self) -> None:
        """See `Probe.back`: each look reads its whole window anew."""

    def close(self) -> None:
        """See `Probe.close`."""


def _log(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "function": row["function"],
        "log_group": row["log_group"],
        "path": "insights",
        "events": 0,
        "duplicates": 0,
        "suspicious": 0,
        "note": "",
    }


def _figures(functions: Sequence[str], metrics: MetricsRead) -> Figures:
    """Sums over all functions; shares alone where anything was invoked."""

    def total(metric: str) -> float:
        return sum(metrics.get(one, metric, "Sum") or 0.0 for one in functions)

    invoked, errors, throttled = total("Invocations"), total("Errors"), total("Throttles")
    most = [metrics.get(one, "ConcurrentExecutions", "Maximum") for one in functions]
    known = [value for value in most if value is not None]
    return {
        names.LAMBDA_INVOCATIONS.name: {(): invoked},
        names.LAMBDA_ERRORS.name: {(): errors / invoked} if invoked else {},
        names.LAMBDA_THROTTLES.name: {(): throttled / (throttled + invoked)} if throttled + invoked else {},
        names.LAMBDA_CONCURRENCY.name: {(): max(known)} if known else {},
    }
