"""One collection of the database component against a server of a test, judged as a run would judge it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from deployments.config import IndexAdviceSettings, ReadStatement, RunConfig, Target, build_config
from storage.records import Finding, Measurement
from tasks.components.base import CollectContext, Samples
from tasks.components.database import DATABASE
from tests.sinks import Sink


@dataclass(frozen=True)
class Outcome:
    """What was collected, measured and found."""

    samples: Samples
    figures: list[Measurement]
    findings: list[Finding]

    @property
    def facts(self) -> dict[str, str]:
        """Facts of the server by name."""
        return {row["name"]: row["value"] for row in self.rows("facts")}

    @property
    def values(self) -> dict[str, float | None]:
        """The component's own figures by metric."""
        return {one.metric: one.value for one in self.figures if not one.labels}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of one raw table."""
        rows: list[dict[str, Any]] = self.samples.tables[table].to_pylist()
        return rows

    def notes(self, *words: str) -> list[str]:
        """Notes of the collection that hold one of these words."""
        return [note for note in self.samples.collected.notes if any(word in note for word in words)]


def config(read: str, *, seconds: float, advice: bool = False, **settings: Any) -> RunConfig:
    """Development with one timed read, without application and pool unless they are given."""
    built = build_config("development", overrides={"duration_s": str(seconds), "ramp_up_s": "0"})
    given: dict[str, Any] = {
        "statements": (ReadStatement(name="read", sql=read),),
        "values": {},
        "application": None,
        "pool_size": None,
        "advice": IndexAdviceSettings(enabled=advice, deadline_s=60),
        **settings,
    }
    changed = built.environment.database.model_copy(update=given)
    return built.model_copy(update={"environment": built.environment.model_copy(update={"database": changed})})


def target(url: str, pooler: str | None = None, *, local: bool = True) -> Target:
    """The address of a server, and of PgBouncer's console."""
    console = None if pooler is None else SecretStr(pooler)
    return Target(database_url=SecretStr(url), pooler_url=console, local=local)


def measured(asked: RunConfig, of: Target) -> Outcome:
    """Collect, measure and advise."""
    sink = Sink()
    samples = Samples(sink, DATABASE.collect(CollectContext(asked, of, sink)))
    figures = DATABASE.measure(samples, asked)
    return Outcome(samples, figures, DATABASE.advise(samples, figures, asked))
