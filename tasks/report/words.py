"""The words and signs of a report: verdict sentences, and a sign and a word beside every colour."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from storage.errors import ExitCode
from storage.records import Band, ComponentId, GateCheck, GateVerdict, Report, Severity, Trust
from tasks.judge.gate import asked_checks, asked_components, asked_score, exit_code, is_release_gate
from tasks.judge.score import truncated

TITLES = {
    ComponentId.DATABASE: "Database",
    ComponentId.LAMBDA: "Lambda functions",
    ComponentId.API: "API",
    ComponentId.WEBSOCKET: "WebSocket",
    ComponentId.CACHE: "Cache",
    ComponentId.RFID: "RFID",
}
"""How a report calls the components."""


@dataclass(frozen=True)
class Word:
    """A state for people: `tone` picks the colour (good, fair, poor, none), sign and word say the same without it."""

    tone: str
    sign: str
    text: str

    def __str__(self) -> str:
        return f"{self.sign} {self.text}"


VERDICTS = {
    GateVerdict.PASS: Word("good", "✓", "pass"),
    GateVerdict.FAIL: Word("poor", "✗", "fail"),
    GateVerdict.NO_DATA: Word("none", "?", "no data"),
}
BANDS = {
    Band.GOOD: Word("good", "✓", "good"),
    Band.FAIR: Word("fair", "◐", "fair"),
    Band.POOR: Word("poor", "✗", "poor"),
    Band.NOT_MEASURED: Word("none", "–", "not measured"),
}
SEVERITIES = {
    Severity.CRITICAL: Word("poor", "✗", "critical"),
    Severity.WARNING: Word("fair", "!", "warning"),
    Severity.INFO: Word("none", "i", "info"),
}
TRUSTS = {
    Trust.TRUSTED: Word("good", "✓", "trusted"),
    Trust.INDICATIVE: Word("fair", "◐", "indicative"),
    Trust.NOT_TRUSTED: Word("poor", "✗", "not trusted"),
}


WAIVED = Word("fair", "◐", "waived")
WARNS = Word("fair", "!", "fails (warns only)")


def check_word(check: GateCheck) -> Word:
    """The verdict of a check; a failure that somebody answers for is waived."""
    return WAIVED if check.waived else VERDICTS[check.verdict]


def check_detail(check: GateCheck) -> str:
    """The evidence of a check, and who answers for it where it is waived."""
    return "; ".join(part for part in (check.waived, check.detail) if part)


def score_word(value: float | None) -> Word:
    """The state of a score by the points of the curve: good from 95, fair from 75."""
    if value is None:
        return BANDS[Band.NOT_MEASURED]
    good, fair = 95, 75
    return BANDS[Band.GOOD if value >= good else Band.FAIR if value >= fair else Band.POOR]


def title_list(components: Collection[ComponentId]) -> str:
    """Components as a sentence lists them, in their usual order."""
    *most, last = [title for component, title in TITLES.items() if component in components]
    return f"{', '.join(most)} and {last}" if most else last


def environment_title(report: Report) -> str:
    """The environment's name as a sentence begins with it."""
    return report.info.environment[:1].upper() + report.info.environment[1:]


def outcome_word(report: Report) -> Word:
    """The outcome of the whole run, as its exit code has it."""
    code = exit_code(report)
    if code is ExitCode.PASS:
        return WARNS if warns(report) else Word("good", "✓", "pass")
    return VERDICTS[GateVerdict.NO_DATA if code is ExitCode.INCOMPLETE else GateVerdict.FAIL]


def warns(report: Report) -> bool:
    """Whether checks fail that do not block, since the gate's profile only warns."""
    low = asked_score(report) < report.gate.policy.score
    failing = low or any(one.verdict is GateVerdict.FAIL and not one.waived for one in asked_checks(report))
    return not report.gate.policy.blocks and failing


def verdict_sentence(report: Report) -> str:
    """The first sentence of every rendering: is it ready, and if not, how many checks say so."""
    if not is_release_gate(report.info, report.score):
        return _partial_sentence(report)
    name = environment_title(report)
    verdicts = [check.verdict for check in report.gate.checks if not check.waived]
    whole, failed = len(report.gate.checks), verdicts.count(GateVerdict.FAIL)
    waived = whole - len(verdicts)
    absent = verdicts.count(GateVerdict.NO_DATA)
    if absent:
        also = f", and {failed} {_verb(failed, 'fail')}" if failed else ""
        return f"{name} is not proven ready: {absent} of {whole} checks {_verb(absent, 'have', 'has')} no data{also}."
    if failed:
        only = "" if report.gate.policy.blocks else "; its gate only warns"
        return f"{name} is not ready: {failed} of {whole} checks {_verb(failed, 'fail')}{only}."
    if waived:
        return f"{name} is ready, with {waived} of {whole} checks waived: somebody answers for what fails."
    return f"{name} is ready: all {whole} checks pass."


def _partial_sentence(report: Report) -> str:
    """For a run of chosen components, which is no release gate."""
    asked = asked_components(report.info, report.score)
    name = title_list(asked)
    where = f"of {report.info.environment}"
    code = exit_code(report)
    asks = f"at least {report.gate.policy.score:g} is asked"
    scored = f"{_verb(len(asked), 'score', 'scores')} {truncated(asked_score(report))}, {asks}"
    if code is ExitCode.INCOMPLETE:
        return f"{name} {where}: part of what was asked could not be measured."
    if code is ExitCode.PASS and not warns(report):
        return f"{name} {where}: within the limits ({scored}). A part of the platform is no release gate."
    failed = sum(check.verdict is GateVerdict.FAIL for check in asked_checks(report))
    checks = f"{failed} {_verb(failed, 'checks', 'check')} {_verb(failed, 'fail')}; " if failed else ""
    return f"{name} {where}: not within the limits ({checks}{scored})."


def _verb(amount: int, many: str, one: str = "") -> str:
    return (one or f"{many}s") if amount == 1 else many
