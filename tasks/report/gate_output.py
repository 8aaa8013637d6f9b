"""The gate for machines: gate.json, and the lines that GitHub shows beside a build."""

from __future__ import annotations

import json

from storage.records import GateCheck, GateVerdict, Report
from tasks.judge.gate import asked_checks, asked_components, exit_code, is_release_gate
from tasks.judge.score import display_grade
from tasks.report.figures import check_limit, check_value
from tasks.report.text import one_line
from tasks.report.words import check_detail, verdict_sentence


def gate_json(report: Report) -> bytes:
    """Verdict, exit code and every check with raw value and limit."""
    asked = {check.id for check in asked_checks(report)}
    data = {
        "schema_version": report.schema_version,
        "run": report.info.run,
        "environment": report.info.environment,
        "release": report.info.release,
        "sentence": verdict_sentence(report),
        "verdict": report.gate.verdict.value,
        "exit_code": int(exit_code(report)),
        "release_gate": is_release_gate(report.info, report.score),
        "asked_components": sorted(asked_components(report.info, report.score)),
        "profile": report.gate.policy.name,
        "blocks": report.gate.policy.blocks,
        "waivers": [use.model_dump(mode="json") for use in report.gate.waivers],
        "score": report.score.value,
        "grade": display_grade(report.score),
        "coverage": report.score.coverage,
        "checks": [{**check.model_dump(mode="json"), "asked": check.id in asked} for check in report.gate.checks],
        "notes": list(report.notes),
    }
    return json.dumps(data, indent=2).encode() + b"\n"


def github_annotations(report: Report) -> tuple[str, ...]:
    """`::error` for each check that fails or has no data, `::warning` for a partial run and doubted load.

    What fails and is waived, or fails under a profile that only warns, is a warning.
    """
    lines = [
        _annotation(
            _level(check, blocks=report.gate.policy.blocks),
            check.title,
            f"{_said(check.verdict)}: {check_value(check)}, limit {check_limit(check)}. {check_detail(check)}",
        )
        for check in asked_checks(report)
        if check.verdict is not GateVerdict.PASS
    ]
    return (*lines, *(_annotation("warning", "hasivu-perf", note) for note in report.notes))


def _level(check: GateCheck, *, blocks: bool) -> str:
    let = check.verdict is GateVerdict.FAIL and (bool(check.waived) or not blocks)
    return "warning" if let else "error"


def _said(verdict: GateVerdict) -> str:
    return "no data" if verdict is GateVerdict.NO_DATA else "fails"


def _annotation(level: str, title: str, message: str) -> str:
    """A workflow command; in its fields per cent, line ends, colon and comma have a spelling of their own."""
    name = one_line(title).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{one_line(message).replace('%', '%25')}"
