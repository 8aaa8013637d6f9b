"""Runs the gate's self-test on a stored run, without touching the environment or the run itself.

Three questions: does a healthy copy pass, is every damaged copy blocked by the check that is there for it, and would
a broken rule be noticed, that is, would at least one damaged copy pass under it?
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.config import RunConfig
from storage.errors import DamagedFileError, HasivuError
from storage.parquet import Store
from storage.records import ComponentResult, GateVerdict, Manifest, MeasuredComponent, Report
from storage.runs import ANALYSIS, RunFolder
from tasks.components import COMPONENTS
from tasks.components.base import Samples
from tasks.judge.checks import SCORE
from tasks.selftest.case import healthy, judged
from tasks.selftest.files import copied, damages
from tasks.selftest.mutants import Mutant, mutants
from tasks.selftest.records import Caught, SelfTest, Tried
from tasks.selftest.rules import Rule, broken_rules

MOST_BYTES = 50_000_000
"""Samples of a component above this size are not judged again without their rows: it would take minutes."""

Reader = Callable[[RunFolder], Sequence[ComponentResult]]
"""How the results of a run are read from its folder, by whoever reads those of real runs."""


@dataclass(frozen=True)
class Bench:
    """What is tested on: a stored run, its configuration, its results, and how results are read."""

    folder: RunFolder
    config: RunConfig
    results: Sequence[ComponentResult]
    read: Reader

    def judged_with(self, damaged: ComponentResult) -> Report:
        """The report of the run with one damaged component among healthy ones."""
        info, _ = self.folder.opened()
        found = [damaged if one.component is damaged.component else one for one in self.results]
        limits = (self.config.thresholds, self.config.weights, self.config.gate)
        return judged(healthy(info, found, *limits, as_it_is=(damaged.component,)))


def self_test(bench: Bench) -> SelfTest:
    """Try everything on copies of a run; takes some seconds."""
    info, _ = bench.folder.opened()
    config = bench.config
    whole = healthy(info, bench.results, config.thresholds, config.weights, config.gate)
    checks = judged(whole).gate.checks
    tries = [(mutant, judged(mutant.case)) for mutant in mutants(whole)]
    stops = {check.id for check in checks} | {mutant.stops for mutant, _ in tries}
    failing = [check.id for check in checks if check.verdict is not GateVerdict.PASS]
    return SelfTest(
        run=bench.folder.run,
        control=f"a healthy copy does not pass: {', '.join(failing)}" if failing else "",
        tried=(*(_tried(one.name, one.stops, report) for one, report in tries), *_of_files(bench), *_of_rows(bench)),
        caught=tuple(_caught(name, rule, tries) for name, rule in broken_rules(tuple(sorted(stops))).items()),
    )


def _tried(name: str, stops: str, report: Report) -> Tried:
    verdict = _verdict(report, stops)
    blocked = GateVerdict.PASS not in (verdict, report.gate.verdict)
    return Tried(name=name, stops=stops, blocked=blocked, how=verdict.value)


def _caught(name: str, rule: Rule, tries: Sequence[tuple[Mutant, Report]]) -> Caught:
    slipped = [one.name for one, report in tries if _verdict(rule(report), one.stops) is GateVerdict.PASS]
    return Caught(rule=name, by=slipped[0] if slipped else "", times=len(slipped))


def _verdict(report: Report, check: str) -> GateVerdict:
    """What the gate says by one check; one that is waived, or not there, stops nothing."""
    stopping = (one.verdict for one in report.gate.checks if one.id == check and not one.waived)
    return next(stopping, GateVerdict.PASS)


def _stored(bench: Bench) -> list[tuple[MeasuredComponent, Manifest]]:
    """The measured components with their manifests, those with the fewest bytes first."""
    measured = [one for one in bench.results if isinstance(one, MeasuredComponent)]
    pairs = [(one, bench.folder.component(one.component).manifest()) for one in measured]
    found = [(one, manifest) for one, manifest in pairs if manifest is not None]
    return sorted(found, key=lambda pair: _bytes(pair[1]))


def _bytes(manifest: Manifest) -> int:
    return sum(stored.bytes for stored in manifest.files.values())


def _of_files(bench: Bench) -> Iterator[Tried]:
    """The files of the smallest component, damaged one way after the other."""
    for result, manifest in _stored(bench)[:1]:
        for name, damage in damages(manifest):
            with tempfile.TemporaryDirectory(prefix="hasivu-self-test-") as temporary:
                copy = RunFolder(Store(temporary), bench.folder.environment, bench.folder.run)
                where = f"{ANALYSIS}/{copy.environment}/{copy.run}/{result.component.value}"
                copied(bench.folder, where, manifest, Path(temporary) / where)
                damage(Path(temporary) / where)
                yield _of_copy(f"{name}: {result.component.value}", bench, copy, result)


def _of_copy(name: str, bench: Bench, copy: RunFolder, result: MeasuredComponent) -> Tried:
    try:
        found = bench.read(copy)
    except DamagedFileError as error:
        return Tried(name=name, stops=SCORE, blocked=True, how=f"refused: {str(error).splitlines()[0]}")
    damaged = next(one for one in found if one.component is result.component)
    return _tried(name, SCORE, bench.judged_with(damaged))


def _of_rows(bench: Bench) -> Iterator[Tried]:
    """The rows of a component's samples are gone; it is measured again from what is left."""
    for result, manifest in _stored(bench):
        if _bytes(manifest) > MOST_BYTES:
            continue
        tables = bench.folder.component(result.component).tables(manifest)
        if "samples" not in tables:
            continue
        samples = Samples({**tables, "samples": tables["samples"].slice(0, 0)}, manifest.collected)
        yield _of_emptied(f"no rows of samples: {result.component.value}", bench, result, samples)


def _of_emptied(name: str, bench: Bench, result: MeasuredComponent, samples: Samples) -> Tried:
    """What a component makes of its tables without rows; one that cannot take them is not measured, as in a run."""
    try:
        measured = tuple(COMPONENTS[result.component].measure(samples, bench.config))
    except (HasivuError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return Tried(name=name, stops=SCORE, blocked=True, how=f"not measured: {type(error).__name__}")
    return _tried(name, SCORE, bench.judged_with(result.model_copy(update={"measurements": measured})))
