"""Rules of the gate, broken on purpose: a self-test that does not notice is none.

Each takes what the real judge said and says what a judge with that rule broken would have said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from storage.records import GateCheck, GateVerdict, Report

Rule = Callable[[Report], Report]


def broken_rules(checks: tuple[str, ...]) -> Mapping[str, Rule]:
    """Every broken rule by name: no check may be ignored, and no verdict taken for another."""
    named: dict[str, Rule] = {f"{one} is ignored": _ignoring(one) for one in checks}
    return named | {
        "no data passes": _taking(GateVerdict.NO_DATA),
        "what fails passes": _taking(GateVerdict.FAIL),
        "exactly the limit passes": _each(_lax),
        "only the score counts": _each(lambda check: check if check.id == "score" else _passing(check)),
    }


def _each(change: Callable[[GateCheck], GateCheck]) -> Rule:
    def broken(report: Report) -> Report:
        checks = tuple(change(check) for check in report.gate.checks)
        return report.model_copy(update={"gate": report.gate.model_copy(update={"checks": checks})})

    return broken


def _ignoring(name: str) -> Rule:
    return _each(lambda check: _passing(check) if check.id == name else check)


def _taking(verdict: GateVerdict) -> Rule:
    return _each(lambda check: _passing(check) if check.verdict is verdict else check)


def _passing(check: GateCheck) -> GateCheck:
    return check.model_copy(update={"verdict": GateVerdict.PASS, "waived": ""})


def _lax(check: GateCheck) -> GateCheck:
    return _passing(check) if check.value is not None and check.value == check.limit else check
