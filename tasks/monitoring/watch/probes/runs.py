"""Reads the newest reports of the environment: the last whole run's score and gate, and what only a load can measure.

How many children the readers could serve is found by a load alone; between two runs the newest run's figure holds,
for `FRESH_S` at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from storage.errors import StorageError, TargetUnreachableError
from storage.parquet import Store
from storage.records import GateVerdict, Measurement, Report, Severity, Unit
from storage.runs import ANALYSIS, RunFolder
from tasks.judge.gate import is_release_gate
from tasks.monitoring.watch import names
from tasks.monitoring.watch.probe import Figures, Looked

FRESH_S = 36 * 3600.0
"""How old a run may be whose figures still hold: a nightly one, and half a day for its own troubles."""

LOOK_BACK = 10
"""Runs that are looked through, from the newest on, for one that has a report, and one that loaded the readers."""

WATCHED = {"rfid.throughput": Unit.PER_SECOND, "rfid.latency.p95": Unit.MS}
"""Metrics that only a load can measure."""

_NONE = "no data: no run of the last 36 hours measured it; runs lie under --output"


class RunsProbe:
    """See the module, and `tasks.monitoring.watch.probe.Probe`."""

    target = "runs"
    limit_s = 60.0

    def __init__(self, environment: str, output: str, *, every_s: float) -> None:
        self.every_s = every_s
        self._environment = environment
        self._store = Store(output)
        self._read: dict[str, Report] = {}

    def look(self, now: float) -> Looked:
        """The newest reports; each is read once."""
        del now
        try:
            reports = list(self._reports())
        except StorageError as error:
            raise TargetUnreachableError(f"the stored runs cannot be read: {error}") from None
        whole = next((report for report in reports if is_release_gate(report.info, report.score)), None)
        figures = {name: {} for name in _FAMILIES} if whole is None else _figures(whole)
        return Looked([_newest(reports, metric) for metric in WATCHED], figures)

    def _reports(self) -> Iterator[Report]:
        """Reports of the newest runs, the newest first."""
        runs = sorted(self._store.folders(f"{ANALYSIS}/{self._environment}"), reverse=True)[:LOOK_BACK]
        self._read = {run: report for run, report in self._read.items() if run in runs}
        for run in runs:
            folder = RunFolder(self._store, self._environment, run)
            if run not in self._read and self._store.exists(folder.orchestration("report.json")):
                self._read[run] = folder.report()
            if run in self._read:
                yield self._read[run]

    def back(self) -> None:
        """See `Probe.back`: nothing is gathered."""

    def close(self) -> None:
        """See `Probe.close`."""


def _newest(reports: Sequence[Report], metric: str) -> Measurement:
    """The figure of the newest run that has one, or that there is none."""
    found = next((one for report in reports if (one := _measured(report, metric)) is not None), None)
    if found is not None:
        return found
    return Measurement(metric=metric, value=None, unit=WATCHED[metric], n=0, source="the newest runs", note=_NONE)


def _measured(report: Report, metric: str) -> Measurement | None:
    """The report's figure, where it has one that is fresh; the figure's own window says when it was measured."""
    for part in report.score.components:
        for assessment in part.assessments:
            found = assessment.measurement
            if assessment.threshold.metric == metric and found is not None and found.value is not None:
                fresh = (datetime.now(UTC) - _end(found, report)).total_seconds() < FRESH_S
                return (
                    found.model_copy(update={"source": f"run {report.info.run}: {found.source}"}) if fresh else None
                )
    return None


def _end(found: Measurement, report: Report) -> datetime:
    return found.window.end if found.window is not None else report.info.started


def _figures(report: Report) -> Figures:
    severities = Counter(finding.severity for finding in report.findings)
    return {
        names.RUN_SCORE.name: {(): report.score.value},
        names.RUN_COVERAGE.name: {(): report.score.coverage},
        names.RUN_GATE.name: {(): float(report.gate.verdict is GateVerdict.PASS)},
        names.RUN_FINDINGS.name: {(one.value,): float(severities[one]) for one in Severity},
        names.RUN_TIME.name: {(): report.info.started.timestamp()},
    }


_FAMILIES = tuple(
    family.name
    for family in (names.RUN_SCORE, names.RUN_COVERAGE, names.RUN_GATE, names.RUN_FINDINGS, names.RUN_TIME)
)
