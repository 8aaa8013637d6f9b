"""The script of changes, run by a real bash with a recorder in the place of the AWS CLI."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from storage.records import ComponentId, Finding, Level, Remedy, Severity
from tasks.components.lambda_functions.script import changes, script

RESIZE = "lambda.memory_resize:orders-get"


def finding(kind: str, commands: tuple[str, ...], rollback: tuple[str, ...] = ()) -> Finding:
    return Finding(
        id=f"lambda.{kind}:orders-get",
        component=ComponentId.LAMBDA,
        kind=kind,
        subject="orders-get",
        title="It's a title\nof two lines",
        detail="",
        severity=Severity.INFO,
        impact=Level.LOW,
        effort=Level.LOW,
        remedy=Remedy(summary="Do it.", commands=commands, rollback=rollback),
    )


FINDINGS = (
    finding(
        "memory_resize",
        (
            "PREVIOUS=$(aws lambda get-alias --function-name orders-get --name live)",
            "aws lambda update-function-configuration --function-name orders-get --memory-size 512",
            "VERSION=$(aws lambda publish-version --function-name orders-get)",
            'aws lambda update-alias --function-name orders-get --name live --function-version "$VERSION"',
        ),
        (
            'aws lambda update-alias --function-name orders-get --name live --function-version "$PREVIOUS"',
            "aws lambda update-function-configuration --function-name orders-get --memory-size 1024",
        ),
    ),
    finding(
        "errors", ("aws logs filter-log-events --log-group-name g --filter-pattern '?ERROR ?\"Task timed out\"'",)
    ),
    finding("throttles", ("aws service-quotas request-service-quota-increase --service-code lambda",)),
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The script, and an `aws` that writes down how it was called and answers with a number that grows."""
    (tmp_path / "bin").mkdir()
    aws = tmp_path / "bin" / "aws"
    aws.write_text('#!/bin/sh\necho "$@" >> "$CALLS"\nwc -l < "$CALLS" | tr -d " "\n')
    aws.chmod(0o755)
    path = tmp_path / "lambda-changes.sh"
    path.write_text(script(FINDINGS, "run 1"))
    return path


def bash(made: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folder = made.parent
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(folder / "calls")}
    return subprocess.run(
        ["bash", str(made), *arguments], env=environment, capture_output=True, text=True, check=False, timeout=20
    )


def calls(made: Path) -> list[str]:
    path = made.parent / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_only_what_changes_something_is_in_it(made: Path) -> None:
    assert [each.kind for each in changes(FINDINGS)] == ["memory_resize", "throttles"]
    listed = bash(made, "list")
    assert listed.returncode == 0
    assert RESIZE in listed.stdout
    assert "It's a title of two lines" in listed.stdout
    assert "errors" not in listed.stdout


@pytest.mark.parametrize("arguments", [(), ("help",), ("apply",), ("apply", "everything"), ("undo", "x; rm -rf /")])
def test_without_the_name_of_a_change_nothing_runs(made: Path, arguments: tuple[str, ...]) -> None:
    assert bash(made, *arguments).returncode == 2
    assert calls(made) == []


def test_showing_runs_nothing(made: Path) -> None:
    shown = bash(made, "show", RESIZE)
    assert "--memory-size 512" in shown.stdout
    assert "--memory-size 1024" in shown.stdout
    assert calls(made) == []


def test_a_change_is_made_and_taken_back_another_day(made: Path) -> None:
    applied = bash(made, "apply", RESIZE)
    assert applied.returncode == 0, applied.stderr
    assert [call.split()[1] for call in calls(made)] == [
        "get-alias",
        "update-function-configuration",
        "publish-version",
        "update-alias",
    ]
    assert calls(made)[-1].endswith("--function-version 3"), "what publish-version answered"
    undone = bash(made, "undo", RESIZE)
    assert undone.returncode == 0, undone.stderr
    assert calls(made)[4].endswith("--function-version 1"), "what get-alias had answered"
    assert calls(made)[5].endswith("--memory-size 1024")


def test_what_was_never_made_is_not_undone(made: Path) -> None:
    undone = bash(made, "undo", RESIZE)
    assert undone.returncode == 3
    assert calls(made) == []


def test_a_change_without_a_way_back_says_so(made: Path) -> None:
    assert bash(made, "undo", "lambda.throttles:orders-get").returncode == 3


def test_a_step_that_fails_ends_it(made: Path) -> None:
    (made.parent / "bin" / "aws").write_text('#!/bin/sh\necho "$@" >> "$CALLS"\nexit 254\n')
    assert bash(made, "apply", RESIZE).returncode == 254
    assert len(calls(made)) == 1
