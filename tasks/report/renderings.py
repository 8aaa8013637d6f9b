"""Every rendering of a report, by file name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from storage.records import Report
from tasks.report.executive import executive_html, executive_markdown
from tasks.report.further_markdown import monitoring_markdown, roadmap_markdown
from tasks.report.gate_output import gate_json
from tasks.report.html import html
from tasks.report.junit import junit
from tasks.report.markdown import step_summary, technical_markdown
from tasks.report.record import to_json

RENDERERS: Mapping[str, Callable[[Report], bytes]] = {
    "report.json": to_json,
    "report.html": html,
    "report.md": lambda report: technical_markdown(report).encode(),
    "executive-summary.html": executive_html,
    "executive-summary.md": lambda report: executive_markdown(report).encode(),
    "optimization-roadmap.md": lambda report: roadmap_markdown(report).encode(),
    "monitoring-recommendations.md": lambda report: monitoring_markdown(report).encode(),
    "gate.json": gate_json,
    "junit.xml": junit,
    "step-summary.md": lambda report: step_summary(report).encode(),
}
"""What makes each file; all are pure: the same report gives the same bytes."""


def renderings(report: Report) -> dict[str, bytes]:
    """All files of a report."""
    return {name: render(report) for name, render in RENDERERS.items()}
