"""The roadmap and the monitoring recommendations as Markdown files of their own."""

from __future__ import annotations

from storage.records import Finding, Report, RoadmapItem
from tasks.report.advice import predicted_words
from tasks.report.figures import moment
from tasks.report.markdown import bullets, code_block, escape, plain, table
from tasks.report.monitoring import alert_rows, blind_spots, firing
from tasks.report.predictions import after_words
from tasks.report.words import SEVERITIES, verdict_sentence

_WATCHED = (
    "`hasivu-perf watch {}` evaluates these conditions day and night and shows them on `/metrics`; the Prometheus "
    "rules and Grafana dashboards of `hasivu-perf monitoring` are made from the same limits, those of "
    "thresholds.toml, which the release gate and this report judge by."
)
_MONTHS = {
    1: "what is critical, and quick wins",
    2: "the other warnings",
    3: "what costs much for little, and information",
}


def roadmap_markdown(report: Report) -> str:
    """Three months of work, each step with its commands and how to undo them."""
    findings = {finding.id: finding for finding in report.findings}
    parts = [_title(report, "Optimisation roadmap")]
    for month, meaning in _MONTHS.items():
        items = [item for item in report.roadmap if item.month == month]
        parts.append(f"## Month {month}: {meaning}")
        parts += [_step(place, item, findings.get(item.finding)) for place, item in enumerate(items, 1)]
        if not items:
            parts.append("Nothing.")
    return "\n\n".join(parts) + "\n"


def monitoring_markdown(report: Report) -> str:
    """The conditions that should call someone, how this run stands to them, and what it could not see."""
    rows, info = alert_rows(report), report.info
    heads = ("Figure", "Alert", "Series of `/metrics`", "Calls", "When", "For", "In this run", "State")
    cells = (
        (
            escape(row.title),
            row.name,
            f"`{row.series}`",
            str(row.severity),
            plain(row.condition),
            row.lasting,
            plain(row.value),
            str(row.state),
        )
        for row in rows
    )
    parts = [
        _title(report, "Monitoring recommendations"),
        _WATCHED.format(escape(info.environment)),
        f"{firing(rows)} of {len(rows)} conditions hold in this run.",
        table(heads, cells) if rows else "No limit calls anyone.",
    ]
    blind = blind_spots(report)
    if blind:
        parts += [
            "## What this run could not see",
            bullets(f"**{escape(what)}**: {escape(why)}" for what, why in blind),
        ]
    return "\n\n".join(parts) + "\n"


def _title(report: Report, what: str) -> str:
    info = report.info
    return (
        f"# {what}: {escape(info.environment)}\n\n{escape(verdict_sentence(report))} Run {escape(info.run)}, "
        f"started {moment(info.started)}."
    )


def _step(place: int, item: RoadmapItem, finding: Finding | None) -> str:
    head = f"### {place}. {escape(item.title, 200)}\n\nImpact {item.impact}, effort {item.effort}"
    head += escape(after_words(item))
    if finding is None:
        return f"{head}."
    remedy = finding.remedy
    parts = [
        f"{head}, {SEVERITIES[finding.severity].text}. {escape(finding.detail, 600)}",
        f"What to do: {escape(remedy.summary, 600)}",
        code_block(remedy.commands) if remedy.commands else "",
        bullets(escape(words, 400) for words in predicted_words(finding)),
        f"How to undo it:\n\n{code_block(remedy.rollback)}" if remedy.rollback else "",
    ]
    return "\n\n".join(part for part in parts if part)
