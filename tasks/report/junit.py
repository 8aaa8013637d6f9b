"""The gate as JUnit XML: one test case a check; a missing value is an error, never a skipped test."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from storage.records import GateCheck, GateVerdict, Report
from tasks.report.figures import check_limit, check_value, margin
from tasks.report.text import clean
from tasks.report.words import verdict_sentence


def junit(report: Report) -> bytes:
    """The gate's checks as a JUnit test suite, in UTF-8.

    What fails and is waived, or fails under a profile that only warns, is a passed test whose output says so.
    """
    blocks = report.gate.policy.blocks
    verdicts = [_verdict(check, blocks=blocks) for check in report.gate.checks]
    totals = {
        "tests": str(len(verdicts)),
        "failures": str(verdicts.count(GateVerdict.FAIL)),
        "errors": str(verdicts.count(GateVerdict.NO_DATA)),
        "skipped": "0",
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": "hasivu-perf", **totals})
    started = report.info.started.strftime("%Y-%m-%dT%H:%M:%S")
    suite = ET.SubElement(root, "testsuite", {"name": _suite(report), "timestamp": started, **totals})
    for check in report.gate.checks:
        _case(suite, _suite(report), check, _verdict(check, blocks=blocks))
    said = ET.SubElement(suite, "system-out")
    said.text = clean("\n".join((verdict_sentence(report), f"run {report.info.run}", *report.notes)))
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(report: Report) -> str:
    return clean(f"hasivu-perf gate {report.info.environment}")


def _verdict(check: GateCheck, *, blocks: bool) -> GateVerdict:
    let = check.verdict is GateVerdict.FAIL and (bool(check.waived) or not blocks)
    return GateVerdict.PASS if let else check.verdict


def _case(suite: ET.Element, name: str, check: GateCheck, verdict: GateVerdict) -> None:
    case = ET.SubElement(suite, "testcase", {"classname": name, "name": clean(check.title), "time": "0"})
    message = f"{check_value(check)}, limit {check_limit(check)}"
    if verdict is GateVerdict.FAIL:
        problem = ET.SubElement(case, "failure", {"type": "limit", "message": message})
    elif verdict is GateVerdict.NO_DATA:
        problem = ET.SubElement(case, "error", {"type": "no data", "message": f"no data: {clean(check.detail)}"})
    else:
        problem = ET.SubElement(case, "system-out")
    problem.text = clean(
        "\n".join(
            line for line in (f"{check.title}: {message}", margin(check), *_let(check, verdict), check.detail) if line
        )
    )


def _let(check: GateCheck, verdict: GateVerdict) -> tuple[str, ...]:
    """What a test that passes though its check fails says of it."""
    if check.verdict is verdict:
        return ()
    return (f"FAILS: {check.waived or 'the profile of this gate only warns'}",)
