"""The HTML report: one file that asks the network for nothing, with everything escaped by Jinja2.

Its Content-Security-Policy allows exactly its own style and script, by their hashes: even markup that slipped
through could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from storage.records import Report, RoadmapItem
from tasks.judge.roadmap import top_actions
from tasks.judge.score import display_grade, truncated
from tasks.report import figures
from tasks.report.advice import function_bars, index_rows, predicted_words
from tasks.report.attempts import goes
from tasks.report.cards import cards, methods
from tasks.report.changes import change_rows, levers
from tasks.report.charts import loss_bars, range_charts, score_scale
from tasks.report.compiled import Compiled
from tasks.report.functions import function_lines
from tasks.report.monitoring import alert_rows
from tasks.report.predictions import after_words, calibration_rows, verified_rows
from tasks.report.since import since
from tasks.report.tables import evidence, label_text, load_rows, not_measured, pairs, parts_tables
from tasks.report.text import clean, shorten, whole_commands
from tasks.report.timelines import time_charts, wrong_kinds
from tasks.report.words import (
    SEVERITIES,
    TITLES,
    check_detail,
    check_word,
    outcome_word,
    score_word,
    verdict_sentence,
)

TEMPLATES = Path(__file__).parent / "templates"
MOST_FINDINGS, MOST_TITLES, MOST_EVIDENCE, MOST_ROADMAP, MOST_GAPS = 40, 300, 6, 12, 25


def html(report: Report) -> bytes:
    """The technical report as one self-contained page."""
    thresholds = [a.threshold for part in report.score.components for a in part.assessments]
    tables = parts_tables(report)
    return page(
        "report.html.j2",
        {
            "report": report,
            "sentence": verdict_sentence(report),
            "outcome": outcome_word(report),
            "grade": display_grade(report.score),
            "scale": score_scale(report.score),
            "score_tone": score_word(report.score.value if report.score.coverage else None).tone,
            "actions": top_actions(report.findings),
            "cards": cards(report),
            "gaps": not_measured(report),
            "bars": loss_bars(report.score),
            "since": since(report),
            "changes": change_rows(report),
            "levers": levers(report),
            "times": time_charts(report),
            "loads": load_rows(report),
            "wrong": wrong_kinds(report),
            "ranges": range_charts(report),
            "statements": [table for table in tables if "statement" in table.labels],
            "functions": [table for table in tables if table.labels == ("function",)],
            "function_bars": function_bars(report),
            "function_lines": function_lines(report),
            "indexes": index_rows(report),
            "alerts": alert_rows(report),
            "parts": [t for t in tables if "statement" not in t.labels and t.labels != ("function",)],
            "months": [(month, _items(report, month)) for month in (1, 2, 3)],
            "methods": methods(report),
            "goes": goes(report),
            "limits": thresholds,
            "shown": {finding.id for finding in report.findings[:MOST_FINDINGS]},
            "severities": SEVERITIES,
            "verified": verified_rows(report.verifications),
            "calibrated": calibration_rows(report.calibration),
            "titles": TITLES,
            "most_findings": MOST_FINDINGS,
            "most_titles": MOST_TITLES,
            "most_evidence": MOST_EVIDENCE,
            "most_roadmap": MOST_ROADMAP,
            "most_gaps": MOST_GAPS,
        },
    )


def page(template: str, values: Mapping[str, Any], *, scripts: Sequence[str] = ("report.js",)) -> bytes:
    """Fill a template; it gets the style, the scripts as one, and the policy that allows those two alone."""
    environment = _environment()
    style, script = _asset("report.css"), "".join(_asset(name) for name in scripts)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    # The two files are this project's own, read from beside this module: nothing else is ever marked as safe.
    trusted = {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704
    return environment.get_template(template).render({**values, **trusted}).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        bytecode_cache=Compiled(),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "figure": figures.figure,
        "number": figures.number,
        "share": figures.share,
        "moment": figures.moment,
        "check_value": figures.check_value,
        "check_limit": figures.check_limit,
        "check_word": check_word,
        "check_detail": check_detail,
        "margin": figures.margin,
        "truncated": truncated,
        "lost": lambda points: f"{points:.1f}",
        "shorten": shorten,
        "evidence": evidence,
        "labels": label_text,
        "pairs": pairs,
        "anchor": anchor,
        "whole_commands": whole_commands,
        "after_words": after_words,
        "predicted_words": predicted_words,
    }
    return environment


def _finalize(value: object) -> object:
    """Every text that a template prints is cleaned; what is markup already was cleaned as it was made."""
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def anchor(finding: str) -> str:
    """A name for the part of the page that holds a finding, whatever its id contains."""
    return f"finding-{hashlib.sha256(finding.encode()).hexdigest()[:12]}"


@cache
def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _items(report: Report, month: int) -> list[RoadmapItem]:
    return [item for item in report.roadmap if item.month == month]
