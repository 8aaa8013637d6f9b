"""A hundred hostile texts as every name, statement and message of a report: inert in each of its renderings.

What a rendering makes of a harmless text is the oracle: whatever the text is, the same elements, the same Markdown
structure, the same test cases and labels come out, and no character that a terminal could obey.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from deployments.masking import mask
from storage.records import Collected, ComponentId, ComponentResult, MeasuredComponent, Remedy, Report, Severity
from tasks.monitoring.watch import names
from tasks.monitoring.watch.alarm import Alarm
from tasks.monitoring.watch.board import Board
from tasks.monitoring.watch.exporter import BoardCollector
from tasks.publish import artifact_pages, gate_rows
from tasks.report.build import build
from tasks.report.gate_output import github_annotations
from tasks.report.record import from_json, to_json
from tasks.report.renderings import renderings
from tasks.report.terminal import summary_lines
from tests.report_example import THRESHOLDS, WEIGHTS, WINDOW, failed, finding, info, measured, measurement, results

RLO, NUL, ESC = "\u202e", "\x00", "\x1b"
TEXTS: tuple[str, ...] = (
    # HTML and SVG
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "</textarea><svg onload=alert(1)>",
    "</text></svg><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    '" onmouseover="alert(1)',
    "' autofocus onfocus='alert(1)",
    "<!--",
    "--><b>",
    "<![CDATA[<b>]]>",
    "]]>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>",
    "&lt;script&gt;",
    "&#60;script&#62;",
    "&amp;&quot;&apos;&nbsp;&bogus;",
    "<a href=javascript:alert(1)>x</a>",
    "<iframe srcdoc='<script>1</script>'>",
    "<base href=//foreign.invalid>",
    "<meta http-equiv=refresh content='0;url=//foreign.invalid'>",
    "<link rel=stylesheet href=//foreign.invalid>",
    "<svg><use href='//foreign.invalid#x'/></svg>",
    "<svg><foreignObject><body onload=alert(1)>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<table><tr><td>",
    "</td></tr></table>",
    "</div></main></body></html>",
    # Markdown
    "**bold** _em_ ~~gone~~",
    "`code`",
    "```\nfence\n```",
    "~~~\nfence",
    "[link](javascript:alert(1))",
    "![image](//foreign.invalid/x.png)",
    "<http://foreign.invalid>",
    "http://foreign.invalid/",
    "[ref]: //foreign.invalid",
    "a | b | c",
    "|---|---|",
    "# heading",
    "\n# heading",
    "===\n---",
    "- item\n- item",
    "1. item",
    "> quote",
    "    code",
    "a\\",
    "\\| \\` \\[",
    "***",
    "<details><summary>x</summary>",
    # templates
    "{{ 7 * 7 }}",
    "{% for x in range(9) %}{{ x }}{% endfor %}",
    "{{ config.__class__.__mro__ }}",
    "${7*7}",
    "%(secret)s {0} {name}",
    "#{7*7}",
    "<%= 7*7 %>",
    # spreadsheets
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    # terminals
    f"{ESC}[31mred{ESC}[0m",
    f"{ESC}[2J{ESC}[H",
    f"{ESC}]0;title\x07",
    f"{ESC}]8;;http://foreign.invalid{ESC}\\link{ESC}]8;;{ESC}\\",
    f"{ESC}]52;c;Y2FsYw==\x07",
    f"{ESC}P1$r{ESC}\\",
    "\x9b31m",
    "\x9d0;title\x9c",
    "a\bb\x07\x7f",
    "over\rwritten",
    "a\x0bb\x0cc\x85d",
    "a\u2028b\u2029c",
    # broken, hidden and turned characters
    NUL,
    f"a{NUL}b",
    "\ufffe\uffff",
    "\ud800",
    "a\udcffb",
    "\udfff\ud800",
    f"{RLO}gpj.exe",
    "\u2066\u2069\u200f",
    "\u200b\u200c\u200d\ufeff",
    "\U000e0041\U000e007f",
    "e" + "\u0301" * 200,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    # labels, lines and commands of other tools
    'a" , x="1',
    'x"} 1\nhasivu_forged{a="1',
    "back\\slash\\n",
    "::error::forged",
    "%0A::error::forged",
    "##vso[task.complete]",
    "# HELP forged\n# TYPE forged gauge\nforged 1",
    # SQL, shells, paths, length
    "'; DROP TABLE orders; --",
    "SELECT $1 /* */ ; --\n",
    "$(touch /tmp/x); `touch /tmp/x`",
    "../../../../etc/passwd",
    "",
    " ",
    "x" * 20_000,
    "<b>" * 5000,
    "\n" * 3000,
)
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
BATCH = 18
"""Texts of one report: lists of it are shown whole up to 20."""


def stored(text: str) -> str:
    """As it comes from the edges: what UTF-8 cannot say is replaced where texts enter (masking, JSON of others)."""
    return mask(text, ())


def report_with(texts: Sequence[str]) -> Report:
    """Each text as endpoint, statement, function, family, title, message, remedy, note; the first as release."""
    texts = [stored(text) for text in texts]
    components: dict[ComponentId, ComponentResult] = {one.component: one for one in results()}
    parts = {
        ComponentId.API: ("endpoint", "api.latency.p95"),
        ComponentId.DATABASE: ("statement", "database.query.p95"),
        ComponentId.LAMBDA: ("function", "lambda.cold_start.p95"),
        ComponentId.CACHE: ("family", "cache.hits.ratio"),
    }
    for component, (label, metric) in parts.items():
        base = components[component]
        assert isinstance(base, MeasuredComponent)
        labelled = [
            measurement(metric, 90.0 if metric != "cache.hits.ratio" else 0.5, labels={label: f"{number} {text}"})
            for number, text in enumerate(texts)
        ]
        found = [
            finding(
                f"{number} {text}",
                id=f"{component.value}.finding:{number} {text}",
                component=component,
                title=f"{number} {text}",
                detail=text,
                severity=Severity.CRITICAL,
                remedy=Remedy(summary=text, commands=(f"echo {text}",), rollback=(f"echo {text}",)),
            )
            for number, text in enumerate(texts)
        ]
        collected = Collected(window=WINDOW, notes=tuple(texts), fingerprint={"server": texts[0]})
        components[component] = measured(
            component, *base.measurements, *labelled, findings=tuple(found), collected=collected
        )
    components[ComponentId.WEBSOCKET] = failed(ComponentId.WEBSOCKET, " / ".join(texts))
    about = info(release=texts[0][:100] or "v1", machine={"system": texts[-1]})
    return build(about, list(components.values()), THRESHOLDS, WEIGHTS)


class Elements(HTMLParser):
    """Elements with the names of their attributes, and where they lead."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: set[tuple[str, tuple[str, ...]]] = set()
        self.leads: set[str] = set()
        self.scripts: list[str] = []
        self._script = False
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        self.found.add((tag, tuple(sorted(name for name, _ in attrs))))
        self.leads |= {str(value) for name, value in attrs if name in ("href", "src", "action", "xlink:href")}

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts.append(data)
            self._script = False


def structure(markdown: str) -> set[str]:
    """Which constructs a reader of GitHub's Markdown sees, and where its links lead."""
    tokens = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").parse(markdown)
    found: set[str] = set()
    for token in tokens:
        found.add(token.type)
        for inner in token.children or ():
            lead = inner.attrGet("href") or inner.attrGet("src") or ""
            found.add(f"{inner.type} {lead} {inner.content if inner.type == 'html_inline' else ''}")
    return found


def plain(number: int) -> str:
    return f"harmless {number}"


BATCHES = [TEXTS[start : start + BATCH] for start in range(0, len(TEXTS), BATCH)]
HARMLESS = report_with([plain(number) for number in range(BATCH)])
EXPECTED = renderings(HARMLESS)


def test_there_are_a_hundred() -> None:
    assert len(set(TEXTS)) == len(TEXTS) >= 100


@pytest.fixture(scope="module", params=range(len(BATCHES)))
def rendered(request: pytest.FixtureRequest) -> tuple[Report, dict[str, bytes]]:
    report = report_with(BATCHES[request.param])
    return report, renderings(report)


def test_html_and_svg_have_no_element_more(rendered: tuple[Report, dict[str, bytes]]) -> None:
    for name in ("report.html", "executive-summary.html"):
        page, usual = Elements(rendered[1][name]), Elements(EXPECTED[name])
        assert page.found <= usual.found, name
        assert {lead for lead in page.leads if not lead.startswith("#")} <= usual.leads
        assert page.scripts == usual.scripts


def test_markdown_has_no_construct_more(rendered: tuple[Report, dict[str, bytes]]) -> None:
    for name, data in rendered[1].items():
        if name.endswith(".md"):
            assert structure(data.decode()) <= structure(EXPECTED[name].decode()), name
    usual = artifact_pages(HARMLESS)
    for key, page in artifact_pages(rendered[0]).items():
        assert structure(page) <= structure(usual[key]), key
        assert not HIDDEN.search(page)


def test_junit_has_the_same_cases(rendered: tuple[Report, dict[str, bytes]]) -> None:
    def shape(data: bytes) -> list[str]:
        return [element.tag for element in ET.fromstring(data).iter()]  # noqa: S314 - our own output

    assert shape(rendered[1]["junit.xml"]) == shape(EXPECTED["junit.xml"])


def test_json_comes_back_equal(rendered: tuple[Report, dict[str, bytes]]) -> None:
    report, files = rendered
    assert to_json(from_json(files["report.json"])) == files["report.json"]
    assert json.loads(files["gate.json"])["verdict"] == report.gate.verdict.value


def test_no_rendering_carries_what_a_terminal_obeys(rendered: tuple[Report, dict[str, bytes]]) -> None:
    report, files = rendered
    for name, data in files.items():
        assert not HIDDEN.search(data.decode()), name
    assert not HIDDEN.search("\n".join(summary_lines(report, "out/report.html")).replace("\n", ""))
    lines = github_annotations(report)
    assert len(lines) == len(github_annotations(HARMLESS))
    assert not any("\n" in line or "\r" in line for line in lines)
    assert all(not HIDDEN.search(cell) for row in gate_rows(report) for cell in row.values())


def test_no_page_grows_without_bound(rendered: tuple[Report, dict[str, bytes]]) -> None:
    assert all(len(data) < 3_000_000 for name, data in rendered[1].items() if name != "report.json")


def test_prometheus_reads_each_label_as_it_was() -> None:
    board = Board(["api"])
    texts = [text for text in TEXTS if not re.search("[\ud800-\udfff]", text)]
    board.show({names.PROBES.name: {(text, text, str(number)): 1.0 for number, text in enumerate(texts)}})
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BoardCollector("staging", "v1", board, Alarm("staging", []), {}))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert all(family.name.startswith("hasivu_") for family in families)
    (probes,) = [family for family in families if family.name == names.PROBES.name]
    assert [sample.labels["endpoint"] for sample in probes.samples] == texts
    assert all(set(sample.labels) == {"environment", *names.PROBES.labels} for sample in probes.samples)
