"""Writes every rendering of a report into the run's folders."""

from __future__ import annotations

from storage.records import Report
from storage.runs import RunFolder


def publish_report(folder: RunFolder, report: Report) -> None:
    folder.store.write(folder.orchestration("report.json"), report.model_dump_json(indent=2).encode())
    publish_files(folder, report)


def publish_files(folder: RunFolder, report: Report) -> list[str]:
    return []


def summary(report: Report) -> str:
    return report.gate.verdict.value


def terminal_text(report: Report, folder: RunFolder) -> str:
    return f"{report.gate.verdict} {report.score.value}"
