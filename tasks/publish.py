"""Writes every rendering of a report into the run's folders; all of them are made from the report alone."""

from __future__ import annotations

import shutil
import sys

from storage.records import Report, StoredFile
from storage.runs import RunFolder
from storage.segments import mark_changed, mark_if_judged
from tasks.judge.gate import exit_code
from tasks.judge.score import display_grade
from tasks.report.executive import executive_markdown
from tasks.report.figures import check_limit, check_value
from tasks.report.markdown import capped, step_summary
from tasks.report.record import to_json
from tasks.report.renderings import RENDERERS
from tasks.report.terminal import summary_lines
from tasks.report.words import check_detail, check_word
from tasks.site import add_run

_ARTIFACT_BYTES = 900_000
"""Prefect takes artifacts of up to 1 MB."""

_TECHNICAL = {
    "report.md": "technical-analysis.md",
    "optimization-roadmap.md": "optimization-roadmap.md",
    "monitoring-recommendations.md": "monitoring-recommendations.md",
}
"""What goes to the technical side too, and its name there."""


def publish_report(folder: RunFolder, report: Report) -> list[str]:
    """Write report.json and every rendering; return their names."""
    write_report(folder, report)
    return publish_files(folder, report)


def write_report(folder: RunFolder, report: Report) -> StoredFile:
    """Write report.json, the truth of a run.

    In place of another one it is marked for history before and after: what reads the old one meanwhile and takes it
    up must not be the last to do so.
    """
    again = mark_if_judged(folder)
    stored = folder.store.write(folder.orchestration("report.json"), to_json(report))
    if again:
        mark_changed(folder)
    return stored


def publish_files(folder: RunFolder, report: Report) -> list[str]:
    """Write every rendering but report.json, from which they are made, and put the run on the site; return names."""
    written = []
    for name, render in RENDERERS.items():
        if name == "report.json":
            continue
        content = render(report)
        folder.store.write(folder.orchestration(name), content)
        written.append(folder.orchestration(name))
        if name in _TECHNICAL:
            folder.store.write(folder.benchmark(_TECHNICAL[name]), content)
            written.append(folder.benchmark(_TECHNICAL[name]))
    for part in report.components:
        if part.status == "measured":
            name = folder.benchmark(f"{part.component.value}.json")
            folder.store.write(name, part.model_dump_json(indent=2).encode())
            written.append(name)
    return written + add_run(folder.store, report)


def artifact_pages(report: Report) -> dict[str, str]:
    """The pages that Prefect shows for a run, by their kind."""
    return {
        "summary": capped(step_summary(report), _ARTIFACT_BYTES),
        "executive": capped(executive_markdown(report), _ARTIFACT_BYTES),
    }


def gate_rows(report: Report) -> list[dict[str, str]]:
    """The gate's checks as rows of a table, in words."""
    return [
        {
            "check": check.title,
            "value": check_value(check),
            "limit": check_limit(check),
            "verdict": str(check_word(check)),
            "detail": check_detail(check),
        }
        for check in report.gate.checks
    ]


def verdict_row(report: Report, folder: RunFolder) -> dict[str, str]:
    """The one row that a program reads: verdict, exit code, score and where the report lies."""
    return {
        "environment": report.info.environment,
        "run": report.info.run,
        "release": report.info.release or "",
        "verdict": report.gate.verdict.value,
        "exit_code": str(int(exit_code(report))),
        "score": f"{report.score.value:.1f}",
        "grade": display_grade(report.score),
        "report": folder.store.path(folder.orchestration("report.html")),
    }


def terminal_text(report: Report, folder: RunFolder) -> str:
    """The end of a run: verdict, failed checks, components, the three most useful actions, the report's path."""
    path = folder.store.path(folder.orchestration("report.html"))
    width = shutil.get_terminal_size((100, 24)).columns
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    return "\n".join(summary_lines(report, path, width=width, ascii_only=ascii_only))
