"""`hasivu-perf gate` and `whatif`: answer by what is stored; nothing here touches an environment."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import ExitCode, UsageError
from storage.runs import RunFolder

if TYPE_CHECKING:
    from storage.parquet import Store
    from storage.records import Report


def answer(folder: RunFolder, profile: str | None, *, as_json: bool) -> ExitCode:
    """Print the gate of a stored run; by another profile where one is named."""
    from tasks.judge.gate import exit_code
    from tasks.monitoring.live import to_terminal
    from tasks.regate import regated
    from tasks.report.gate_output import gate_json
    from tasks.report.markdown import gate_table
    from tasks.report.words import verdict_sentence

    report = regated(folder, profile)
    words = f"{verdict_sentence(report)}\n\n{gate_table(report)}"
    to_terminal(gate_json(report).decode() if as_json else words)
    _tell_github(report)
    return exit_code(report)


def prove(folder: RunFolder, profile: str | None, *, as_json: bool) -> ExitCode:
    """Test the gate on damaged copies of a stored run, by the run's own profile or the one that is named."""
    from deployments.config import load_gate
    from tasks.judging import gate_self_test
    from tasks.monitoring.live import to_terminal
    from tasks.results import stored_config
    from tasks.selftest.check import self_test_lines

    config = stored_config(folder)
    if profile:
        named = load_gate(config.environment.name, named=profile)
        config = config.model_copy(update={"gate": named})
    outcome = gate_self_test(folder, config)
    to_terminal(outcome.model_dump_json(indent=2) if as_json else "\n".join(self_test_lines(outcome)))
    return ExitCode.GATE_FAILED if outcome.holes else ExitCode.PASS


def note_applied(folder: RunFolder, do: Sequence[str], by: str | None) -> ExitCode:
    """Note that remedies were carried out, so that the next run verifies what they did."""
    from tasks.ledger import mark_applied
    from tasks.monitoring.live import to_terminal

    if not do:
        raise UsageError("say what was done: --do FINDING")
    for one in mark_applied(folder, do, by or getpass.getuser()):
        metrics = ", ".join(change.metric for change in one.changes)
        to_terminal(f"{one.finding}: the next run shows {metrics} beside what was predicted")
    return ExitCode.PASS


def show_calibration(store: Store, environment: str, *, as_json: bool) -> ExitCode:
    """Print how good each kind of advice was in an environment."""
    from tasks.judge.calibrate import calibrations
    from tasks.ledger import ledger
    from tasks.monitoring.live import to_terminal
    from tasks.report.predictions import calibration_lines

    problems: list[str] = []
    found = calibrations(ledger(store, environment, problems=problems))
    rows = [one.model_dump(mode="json") for one in found]
    to_terminal(json.dumps(rows, indent=2) if as_json else "\n".join(calibration_lines(found)))
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))
    return ExitCode.INCOMPLETE if problems else ExitCode.PASS


def _tell_github(report: Report) -> None:
    """Annotations on standard error and the step summary, where this runs in a workflow of GitHub's."""
    from tasks.report.gate_output import github_annotations
    from tasks.report.markdown import step_summary

    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    sys.stderr.write("".join(f"{line}\n" for line in github_annotations(report)))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(step_summary(report))


def play(folder: RunFolder, do: Sequence[str], metrics: Sequence[str], *, as_json: bool) -> ExitCode:
    """Print what the score and the gate of a stored run would be with some remedies done."""
    from tasks.judge.whatif import whatif
    from tasks.monitoring.live import to_terminal
    from tasks.report.whatif import whatif_json, whatif_lines

    if not do and not metrics:
        raise UsageError("say what is to be done: --do FINDING (or --do all), or --metric NAME=VALUE")
    answer = whatif(folder.report(), do, dict(map(_value, metrics)))
    to_terminal(json.dumps(whatif_json(answer), indent=2) if as_json else "\n".join(whatif_lines(answer)))
    return ExitCode.PASS


def _value(setting: str) -> tuple[str, float]:
    metric, _, text = setting.partition("=")
    try:
        return metric, float(text)
    except ValueError:
        raise UsageError(f"--metric {setting}: say it as api.latency.p95=150") from None
