"""The self-test as a check of the gate and as lines for people."""

from __future__ import annotations

from storage.records import Gate, GateCheck, GateVerdict, Report, Unit
from tasks.judge.gate import SELF_TEST, again
from tasks.selftest.records import SelfTest

_SHOWN = 5


def with_self_test(report: Report, outcome: SelfTest) -> Gate:
    """The report's gate, one row longer; what the self-test finds is no data, whatever else passes."""
    holes = outcome.holes
    check = GateCheck(
        id=SELF_TEST,
        title="Holes that the gate's self-test found",
        value=None if holes else 0,
        limit=0,
        unit=Unit.COUNT,
        comparison="==",
        verdict=GateVerdict.NO_DATA if holes else GateVerdict.PASS,
        detail="; ".join(holes[:_SHOWN]) if holes else _counts(outcome),
    )
    return again(report, report.gate.policy, check)


def self_test_lines(outcome: SelfTest) -> list[str]:
    """What was tried, and every hole."""
    holes = outcome.holes
    verdict = f"{len(holes)} holes: the gate cannot be trusted" if holes else "the gate can be trusted"
    return [f"Self-test of the gate on run {outcome.run}: {_counts(outcome)}", *holes, verdict]


def _counts(outcome: SelfTest) -> str:
    blocked = sum(one.blocked for one in outcome.tried)
    noticed = sum(one.times > 0 for one in outcome.caught)
    return (
        f"{blocked} of {len(outcome.tried)} damaged copies blocked, {noticed} of {len(outcome.caught)} broken rules"
        " noticed"
    )
