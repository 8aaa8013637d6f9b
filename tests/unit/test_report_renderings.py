"""Every rendering tells what the Report says, carries no hostile text as markup, and is the same each time."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from storage.errors import DamagedFileError
from storage.records import ComponentId, GateVerdict, LoadSummary, MeasuredComponent, Report, Trust
from tasks.report.build import build
from tasks.report.executive import executive_markdown
from tasks.report.figures import check_limit, check_value
from tasks.report.gate_output import gate_json, github_annotations
from tasks.report.junit import junit
from tasks.report.markdown import capped, gate_table, step_summary, technical_markdown
from tasks.report.record import from_json, to_json
from tasks.report.renderings import RENDERERS, renderings
from tasks.report.statements import statements
from tasks.report.terminal import summary_lines
from tasks.report.words import verdict_sentence
from tests.report_example import HOSTILE, example_report, failed, good_report, info, not_asked, results
from tests.report_example import THRESHOLDS as LIMITS
from tests.report_example import WEIGHTS as SHARES

EXAMPLE = example_report()
GOOD = good_report()


class Page(HTMLParser):
    """What a browser would make of a page: elements with attributes, and the text."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def test_json_is_the_truth_and_comes_back_equal() -> None:
    assert from_json(to_json(EXAMPLE)) == EXAMPLE
    assert to_json(from_json(to_json(EXAMPLE))) == to_json(EXAMPLE)


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert renderings(example_report()) == renderings(from_json(to_json(EXAMPLE)))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "is not the JSON of a report"),
        (b"[]", "is not the JSON of a report"),
        (b'{"schema_version": 99}', "schema version 99"),
        (to_json(EXAMPLE).replace(b'"coverage"', b'"cover"', 1), "is not a report of schema version 1: score."),
    ],
)
def test_a_damaged_report_is_named(data: bytes, told: str) -> None:
    with pytest.raises(DamagedFileError, match=re.escape(told)) as caught:
        from_json(data, "run/report.json")
    assert "run/report.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RENDERERS)
def test_no_rendering_carries_control_characters(name: str) -> None:
    text = renderings(EXAMPLE)[name].decode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("name", ["report.html", "executive-summary.html"])
def test_hostile_text_stays_text_in_html(name: str) -> None:
    page = Page(renderings(EXAMPLE)[name])
    tags = [tag for tag, _ in page.elements]
    assert "img" not in tags
    assert tags.count("script") == (1 if name == "report.html" else 0)
    assert "<script>alert('x')</script>" in page.text
    for _, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
        assert not str(attributes.get("href", "")).lower().startswith("javascript:")


@pytest.mark.parametrize("name", ["report.html", "executive-summary.html"])
def test_html_asks_the_network_for_nothing(name: str) -> None:
    page = Page(renderings(EXAMPLE)[name])
    for tag, attributes in page.elements:
        for key in ("src", "href", "action", "poster", "srcset"):
            value = attributes.get(key)
            beside = tag == "a" and value in ("report.html", "executive-summary.html", "../index.html")
            assert value is None or value.startswith("#") or value == "data:," or beside, (tag, value)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_same_id_is_given_once() -> None:
    ids = [a["id"] for _, a in Page(renderings(EXAMPLE)["report.html"]).elements if "id" in a]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("report", [EXAMPLE, GOOD], ids=["example", "good"])
@pytest.mark.parametrize("name", ["report.html", "report.md", "step-summary.md", "junit.xml"])
def test_every_check_is_in_every_rendering_with_value_limit_and_verdict(name: str, report: Report) -> None:
    text = renderings(report)[name].decode()
    if name.endswith(".html"):
        text = Page(text.encode()).text
    text = text.replace("&lt;", "<").replace("&gt;", ">")
    for check in report.gate.checks:
        assert check.title in text
        assert check_value(check) in text
        assert check_limit(check) in text
    assert verdict_sentence(report) in text


def test_figures_of_the_components_are_in_html_and_markdown() -> None:
    files = renderings(EXAMPLE)
    page, markdown = Page(files["report.html"]).text, files["report.md"].decode()
    for text in (page, markdown):
        for figure in ("63.4 ms", "3,412 ms", "199.96 ms", "87.3 %", "447/s", "69.5", "C (partial)", "14,231"):
            assert figure in text
        assert "no data: the probe's keys do not exist" in text
        assert "check STAGING" in text  # why websocket was not measured
        assert "is not readable by this role" in text  # what a component could not collect


def test_parts_are_capped_and_say_so() -> None:
    page = Page(renderings(EXAMPLE)["report.html"]).text
    assert "20 shown, 20 more in report.json" in page
    assert "the 12 slowest; 28 more in report.json" in page


def test_sizes_of_a_development_run() -> None:
    files = renderings(EXAMPLE)
    assert len(files["report.html"]) < 400_000
    assert len(files["step-summary.md"]) < 1024 * 1024


def test_junit_has_a_case_per_check_and_never_skips() -> None:
    root = ET.fromstring(junit(EXAMPLE))  # noqa: S314 - our own output
    cases = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert len(cases) == len(EXAMPLE.gate.checks)
    for check in EXAMPLE.gate.checks:
        expected = {GateVerdict.FAIL: "failure", GateVerdict.NO_DATA: "error", GateVerdict.PASS: "system-out"}
        assert cases[check.title] == [expected[check.verdict]]
    suite = root.find("testsuite")
    assert suite is not None
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "4",
        "errors": "2",
        "skipped": "0",
    }


def test_junit_survives_hostile_text() -> None:
    report = build(
        info(environment="x\x00\x1b[31m<&>\ufffe"), [failed(c, HOSTILE) for c in ComponentId], LIMITS, SHARES
    )
    root = ET.fromstring(junit(report))  # noqa: S314 - our own output
    assert len(list(root.iter("error"))) == 6


def test_markdown_escapes_what_would_be_markup() -> None:
    text = technical_markdown(EXAMPLE)
    outside = re.sub(r"^(`{3,})sh\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside
    assert "**b**" not in outside
    assert "](javascript" not in outside.replace("\\]", "")
    assert "`rm`" not in outside
    rows = [line for line in outside.splitlines() if line.startswith("| ")]
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows if "search?q=" in row}
    assert widths == {7}  # endpoint, three percentiles, errors, n: no cell of its own


def test_a_fence_cannot_be_closed_from_within() -> None:
    assert "````sh\necho" in technical_markdown(EXAMPLE)


def test_the_step_summary_is_capped_between_lines() -> None:
    whole = step_summary(EXAMPLE)
    cut = step_summary(EXAMPLE, 1500)
    assert len(cut.encode()) <= 1500
    assert "Cut here" in cut
    assert whole.startswith(cut.partition("\n\n*Cut here")[0])
    assert capped("é" * 10 + "\n" + "é" * 100, 90).encode()


def test_gate_table_is_a_table_of_all_checks() -> None:
    assert len(gate_table(EXAMPLE).splitlines()) == 2 + len(EXAMPLE.gate.checks)


def test_gate_json() -> None:
    data = json.loads(gate_json(EXAMPLE))
    assert (data["verdict"], data["exit_code"], data["release_gate"]) == ("no_data", 3, True)
    assert [check["value"] for check in data["checks"]] == [check.value for check in EXAMPLE.gate.checks]
    assert json.loads(gate_json(GOOD))["exit_code"] == 0


def test_github_annotations_stay_on_their_line() -> None:
    report = build(info(), [failed(c, "50 % of\nit::error::x\r") for c in ComponentId], LIMITS, SHARES)
    lines = github_annotations(report)
    assert all(re.match(r"::(error|warning) title=[^:,]+::", line) and "\n" not in line for line in lines)
    assert any("50 %25 of it" in line for line in lines)


def test_answers_of_a_doubted_generator_are_no_good_news() -> None:
    part = next(one for one in GOOD.components if one.component is ComponentId.API)
    assert isinstance(part, MeasuredComponent)
    load = LoadSummary(
        planned=1, sent=1, unsent=0, answered=1, failed=0, target_rate=1, achieved_rate=1, trust=Trust.NOT_TRUSTED
    )
    doubted = part.model_copy(update={"collected": part.collected.model_copy(update={"load": load})})
    others = [one for one in GOOD.components if one is not part]
    report = GOOD.model_copy(update={"components": (doubted, *others)})
    answers = {one.question: one.word.text for one in statements(report)}
    assert answers["How long do parents and kitchens wait for the app?"] == "doubted"
    assert answers["How quickly are orders and menus looked up?"] == "good"
    assert "answers are doubted" in executive_markdown(report)


class TestTerminal:
    def test_says_verdict_checks_components_actions_and_path(self) -> None:
        text = "\n".join(summary_lines(EXAMPLE, "output/report.html"))
        assert verdict_sentence(EXAMPLE) in text
        for expected in (
            "63.4 ms (limit < 50 ms)",
            "WebSocket",
            "hasivu-perf doctor staging",
            "Report: output/report.html",
            "and 2 more in the report",
        ):
            assert expected in text
        assert "API response time, p95" not in text  # it passes

    def test_lines_fit_and_commands_are_whole(self) -> None:
        for line in summary_lines(EXAMPLE, width=72):
            assert len(line) <= 72 or "psql" in line

    def test_ascii_where_asked(self) -> None:
        assert "\n".join(summary_lines(EXAMPLE, "output/é", ascii_only=True)).isascii()

    def test_a_good_run_is_short(self) -> None:
        lines = summary_lines(GOOD)
        assert lines[0] == "✓ Staging is ready: all 7 checks pass."
        assert "Checks that do not pass" not in lines


def test_verdict_sentences() -> None:
    assert verdict_sentence(EXAMPLE) == "Staging is not proven ready: 2 of 8 checks have no data, and 4 fail."
    assert verdict_sentence(good_report({"cache.hits.ratio": 0.9})) == "Staging is not ready: 1 of 7 checks fails."
    found = [r if r.component is ComponentId.DATABASE else not_asked(r.component) for r in results()]
    quick = build(info(settings={"components": "database"}), found, LIMITS, SHARES)
    assert verdict_sentence(quick).startswith("Database of staging: within the limits (scores 9")
