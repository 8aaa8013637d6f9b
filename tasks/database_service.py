"""The database's performance for Python programs, under the names of the service that this program replaces.

    with DatabasePerformanceService("development") as service:
        service.on("slow-query", print)
        metrics = service.get_performance_metrics()
        print(metrics.table_metrics[0].name, metrics.value("database.query.p95"))
        advice = service.get_optimization_recommendations()
        outcome = service.apply_automatic_optimizations(advice)

What is measured, advised and changed is what the command line measures, advises and changes: docs/database-api.md.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from pydantic import SecretStr

from deployments.config import RunConfig, Target, build_config, load_environment
from storage.errors import UsageError
from storage.records import Measurement, Record, Window
from storage.runs import new_run_name
from tasks.components.base import CollectContext, Samples
from tasks.components.database import usage
from tasks.components.database.advisor.evidence import Advice, Recommendation
from tasks.components.database.advisor.recommend import Options, recommend
from tasks.components.database.change import plan as plans
from tasks.components.database.change.records import ChangePlan, Outcome
from tasks.components.database.component import DATABASE
from tasks.components.database.usage import TableMetrics
from tasks.database_change import Job, allowed_in, carried_out, changeable, owner_of
from tasks.load.database.session import Server, Session, Watchdog, parse
from tasks.monitoring.database_watch import DatabaseWatch, Limits, kind_of

_LOG = logging.getLogger("hasivu.database")
_READ_MS = 15_000


class PerformanceMetrics(Record):
    """What `get_performance_metrics` found: measurements of its window, and tables since their counters began."""

    database: str
    window: Window
    measurements: tuple[Measurement, ...]
    table_metrics: tuple[TableMetrics, ...]
    notes: tuple[str, ...] = ()

    def value(self, metric: str) -> float | None:
        """The whole database's figure, such as `database.query.p95` in ms; None where it was not measured."""
        found = [one for one in self.measurements if one.metric == metric and not one.labels]
        if not found:
            raise UsageError(f"no metric {metric!r}: see `measurements`")
        return found[0].value


@dataclass(frozen=True)
class Approval:
    """Who approved which plan: the first twelve digits of its fingerprint at least, and a name."""

    plan: str
    by: str


@dataclass
class _Memory:
    """Keeps the raw tables of a collection instead of writing them."""

    tables: dict[str, pa.Table] = field(default_factory=dict)

    def write(self, name: str, table: pa.Table) -> None:
        self.tables[name] = table


class DatabasePerformanceService:
    """The database of one environment: measured, advised on, and changed as far as the environment's file allows."""

    def __init__(
        self,
        environment: str = "development",
        *,
        dsn: str | None = None,
        output: str = ".",
        limits: Limits | None = None,
        say: Callable[[str], None] = _LOG.info,
    ) -> None:
        """Nothing is asked of the database yet.

        `dsn` stands for the environment's variables, that of the owner too; `output` is where the ledger lies;
        `limits` are those of events: a query is slow from 100 ms on by default.
        """
        self._environment = load_environment(environment)
        self._dsn = dsn
        self._output = output if "://" in output else str(Path(output).resolve())
        self._say = say
        self._limits = limits or Limits()
        self._watch: DatabaseWatch | None = None

    # --- listen ---

    def on(self, event: str, listener: Callable[[Any], object]) -> None:
        """Have `listener` called with each event of a kind, such as "slow-query"; the first one begins the watch.

        A `UsageError` names the events that there are. The watch ends with `close`.
        """
        kind = kind_of(event)
        if self._watch is None:
            self._watch = DatabaseWatch(self._server(), self._limits)
            self._watch.start()
        self._watch.listeners.add(kind, listener)

    def off(self, event: str, listener: Callable[[Any], object] | None = None) -> None:
        """Call `listener`, or everyone, no more."""
        if self._watch is not None:
            self._watch.listeners.remove(kind_of(event), listener)

    def close(self) -> None:
        """End the watch; what it told already is delivered."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def __enter__(self) -> Self:
        """The service itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the watch."""
        self.close()

    # --- see ---

    def get_performance_metrics(self, seconds: float = 10.0) -> PerformanceMetrics:
        """Sample the database for so long and time the environment's reads; raises `NotMeasuredError` and its kin."""
        config, memory = self._config(seconds), _Memory()
        context = CollectContext(config, Target(database_url=SecretStr(self._address())), memory)
        collected = DATABASE.collect(context)
        samples = Samples(memory.tables, collected)
        watchdog = Watchdog()
        try:
            with Session(self._server(), watchdog, timeout_ms=_READ_MS) as session:
                tables, notes = usage.read(session)
        finally:
            watchdog.close()
        return PerformanceMetrics(
            database=self._server().shown,
            window=collected.window,
            measurements=tuple(DATABASE.measure(samples, config)),
            table_metrics=tables,
            notes=tuple(dict.fromkeys((*collected.notes, *notes))),
        )

    def _config(self, seconds: float) -> RunConfig:
        """The environment's database for so long, without a ramp: all of it counts."""
        given = {"duration_s": f"{seconds:g}", "ramp_up_s": "0", "warmup_s": "0", "database.advice.enabled": "false"}
        return build_config("quick", base=self._environment.name, overrides=given)

    # --- advise ---

    def get_optimization_recommendations(self, **options: Any) -> Advice:
        """Indexes that would help, with evidence; nothing is changed. Options are those of `advisor.recommend`."""
        return recommend(self._server(), Options(**options))

    def plan(self, advice: Advice | Sequence[Recommendation]) -> ChangePlan:
        """What `apply_automatic_optimizations` would do: all that the environment's file allows, the best first."""
        allowed = allowed_in(self._environment)
        recommendations = advice.recommendations if isinstance(advice, Advice) else advice
        rows: list[dict[str, str]] = []
        for one in recommendations:
            row = {"sql": one.sql, "drop": one.drop}
            if one.evidence.table not in allowed.tables:
                self._say(f"left out, for {one.evidence.table} is not in [database.changes] tables: {one.sql}")
            elif len(rows) < allowed.most:
                rows.append(row)
            else:
                self._say(f"left for another run, for max_builds is {allowed.most}: {one.sql}")
        return plans.read(json.dumps({"recommendations": rows}), "the recommendations", allowed)

    # --- change ---

    def apply_automatic_optimizations(
        self, advice: Advice | Sequence[Recommendation] | None = None, *, approval: Approval | None = None
    ) -> Outcome:
        """Build what was recommended, measure, keep what helped, undo the rest; without advice, ask for it first.

        Raises `UsageError` where the environment's file allows no changes, and for production without an `Approval`
        of exactly this plan, so that there the advice must be given, too.
        """
        environment = changeable(self._environment.name)
        made = self.plan(advice if advice is not None else self.get_optimization_recommendations())
        by = self._approved_by(made, approval)
        self._say(f"plan {made.short}, approved by {by}: whether a load test runs beside it is not looked at")
        job = Job(environment, made, owner_of(environment, self._dsn), self._output)
        return carried_out(job, new_run_name(datetime.now(UTC)), by, self._say)

    def _approved_by(self, made: ChangePlan, approval: Approval | None) -> str:
        if approval is None:
            if self._environment.production and made.steps:
                raise UsageError(
                    f"{self._environment.name} is changed by an approved plan alone: look at service.plan(advice), "
                    f'then give approval=Approval(plan="…", by="your name"); nothing was changed'
                )
            return f"the program, as [database.changes] of {self._environment.name} allows"
        if len(approval.plan) < len(made.short) or not made.fingerprint.startswith(approval.plan):
            raise UsageError(f"plan {made.short} was not approved, but {approval.plan[:12]!r}; nothing was changed")
        if not approval.by.strip():
            raise UsageError("an approval needs a name: Approval(plan=…, by=…)")
        return f"{approval.by.strip()} in a program"

    # --- the address ---

    def _address(self) -> str:
        variable = self._environment.variables.database_url
        found = self._dsn or os.environ.get(variable)
        if not found:
            raise UsageError(f"{variable} is not set: set it to postgresql://user:password@host:5432/dbname")
        return found

    def _server(self) -> Server:
        return parse(self._address(), "dsn" if self._dsn else self._environment.variables.database_url)
