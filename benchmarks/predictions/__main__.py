"""Predicted, really mended, measured again: `python -m benchmarks.predictions [SETS] [SECONDS] [SEED]`, half an hour.

The embedded platform gets some two dozen reads, each of which needs an index that is not there. The first run
measures and advises. Then for each of some random sets of the advised indexes: a run without any of them, the
indexes are really built, a run with them, and they are taken away again. The score of the component and the p95 of
all reads stand beside what the first run's advice predicted of that set, applied to the run just before: so a user
meets it, and what a machine does differently from one half-hour to the next is no error of the advice. What the
first run alone predicts is told as well.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.alone import measured_alone
from benchmarks.predictions.defects import reads, toml
from deployments.config import ENVIRONMENTS, OWN_ENVIRONMENTS
from deployments.local.platform import platform
from storage.records import ComponentId, Finding, MeasuredComponent, Report, Score
from tasks.judge.rescore import rescored, rescored_with, wholes

METRIC = "database.query.p95"
NEAR = 3.0
"""Points within which a predicted score counts as met."""

Ends = tuple[float, float, float]
"""A value, and the pessimistic and optimistic end of its interval."""


def run(output: str, seconds: float, *, advise: bool) -> Report:
    """Measure the database once."""
    overrides = {
        "database.advice.enabled": "true" if advise else "false",
        "database.advice.deadline_s": "300",
        "database.advice.budget_mb": "1000",
    }
    return measured_alone(ComponentId.DATABASE, overrides, seconds, output)[1]


def measured(report: Report) -> list[MeasuredComponent]:
    """What was measured: the database, or nothing."""
    return [one for one in report.components if isinstance(one, MeasuredComponent)]


def score_of(report: Report) -> float:
    """Score of the database component."""
    return next(part.score or 0.0 for part in report.score.components if part.component is ComponentId.DATABASE)


def p95_of(report: Report) -> float:
    """Measured p95 of all timed reads."""
    (component,) = measured(report)
    return next(one.value or 0.0 for one in component.measurements if one.metric == METRIC and not one.labels)


@contextmanager
def mended(connection: psycopg.Connection[object], findings: Sequence[Finding]) -> Iterator[None]:
    """The indexes of some findings, built for as long as the block lasts."""
    for finding in findings:
        for command in finding.remedy.commands:
            connection.execute(command.encode())
    connection.execute("ANALYZE")
    try:
        yield
    finally:
        for finding in findings:
            for command in finding.remedy.rollback:
                connection.execute(command.encode())


def database(score: Score) -> float:
    """Score of the database in the score of a run."""
    return next(part.score or 0.0 for part in score.components if part.component is ComponentId.DATABASE)


@dataclass(frozen=True)
class Result:
    """One set of indexes: what was predicted, and what was measured."""

    size: int
    score: tuple[float, float, float]
    p95: tuple[float, float, float]
    measured: Report
    stale: float
    """The score that the first run alone predicts."""

    @property
    def error_of_stale(self) -> float:
        """Points between the score that the first run predicted and the measured one."""
        return abs(self.stale - score_of(self.measured))

    @property
    def error(self) -> float:
        """Points between the predicted score and the measured one."""
        return abs(self.score[0] - score_of(self.measured))

    @property
    def inside(self) -> bool:
        """Whether the p95 lies within its interval."""
        return self.p95[1] <= p95_of(self.measured) <= self.p95[2]

    def row(self) -> str:
        """One line of the table."""
        (score, worst, best), (p95, low, high) = self.score, self.p95
        return (
            f"| {self.size} | {score:.1f} | {worst:.1f} to {best:.1f} | {score_of(self.measured):.1f} "
            f"| {p95:.2f} ms | {low:.2f} to {high:.2f} | {p95_of(self.measured):.2f} ms |"
        )


def predicted(before: Report, chosen: Sequence[Finding]) -> tuple[Ends, Ends]:
    """Score and p95 of a set, each with the ends of its interval, as the run before it would have them."""
    (component,) = measured(before)
    changes = [change for one in chosen for change in one.remedy.predicted]
    made = rescored_with(before.score, changes, wholes(component.measurements))
    patch = made.patches[METRIC]
    low, high = patch.interval or (patch.value, patch.value)
    ends = [database(rescored(before.score, {METRIC: end})) for end in (high, low)]
    return (database(made.score), ends[0], ends[1]), (patch.value, low, high)


def size(rng: random.Random, advised: int) -> int:
    """How many of them are mended: p95 moves only where few are left, so most sets leave few."""
    return rng.randint(max(1, advised - 4), advised) if rng.random() < 0.75 else rng.randint(1, advised)


def main(sets: int, seconds: float, seed: int) -> None:
    """Print a table of all sets."""
    rng = random.Random(seed)  # noqa: S311 - which indexes are built is no secret
    with tempfile.TemporaryDirectory() as folder, platform() as running:
        text = (ENVIRONMENTS / "development.toml").read_text(encoding="utf-8")
        (Path(folder) / "development.toml").write_text(toml(text), encoding="utf-8")
        os.environ.update({**running.environment, OWN_ENVIRONMENTS: folder})
        first = run(folder, seconds, advise=True)
        advised = [one for one in first.findings if any(c.metric == METRIC for c in one.remedy.predicted)]
        if not advised:
            problems = "; ".join(note for part in measured(first) for note in part.collected.notes)
            raise SystemExit(f"no index was advised, so nothing can be mended: {problems or 'no reason was given'}")
        print(f"{len(reads())} reads, {len(advised)} advised indexes with a prediction; before: ", end="")
        print(f"p95 {p95_of(first):.1f} ms, score of the database {score_of(first):.1f}\n")
        print("| indexes | score predicted | interval | measured | p95 predicted | interval | measured |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        found: list[Result] = []
        with psycopg.connect(running.owner_database_url, autocommit=True) as connection:
            for number in range(sets):
                chosen = rng.sample(advised, len(advised) if number == 0 else size(rng, len(advised)))
                score, p95 = predicted(run(folder, seconds, advise=False), chosen)
                stale = predicted(first, chosen)[0][0]
                with mended(connection, chosen):
                    found.append(Result(len(chosen), score, p95, run(folder, seconds, advise=False), stale))
                print(found[-1].row(), flush=True)
        near, stale_near = (sum(error <= NEAR for error in errors) for errors in _errors(found))
        print(f"\nScore within 3 points: {near} of {sets} ({stale_near} by the first run alone); ", end="")
        print("p95 within its 80 % interval: ", end="")
        print(f"{sum(one.inside for one in found)} of {sets}; ", end="")
        print(f"median error of the score {statistics.median(one.error for one in found):.2f} points")


def _errors(found: Sequence[Result]) -> tuple[list[float], list[float]]:
    return [one.error for one in found], [one.error_of_stale for one in found]


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    asked, each, drawn = given + [20.0, 30.0, 5.0][len(given) :]
    main(int(asked), each, int(drawn))
