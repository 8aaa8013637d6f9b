"""End to end: the command line as a user runs it, in a process of its own, against a platform that the test holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments.local.platform import Platform, platform

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("hasivu-perf")
SHORT = ("--set", "load.duration_s=12", "--set", "load.ramp_up_s=2", "--set", "lambda_functions.days=2")
"""A load, and logs, that are long enough to measure and short enough to wait for."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*arguments: str, cwd: Path, variables: Mapping[str, str] | None = None, seconds: float = 240) -> Ended:
    """Run hasivu-perf with the given variables beside those of a clean shell."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DEVELOPMENT_", "STAGING_", "PRODUCTION_", "PREFECT_", "AWS_"))
    }
    done = subprocess.run(
        [str(PROGRAM), *arguments],
        cwd=cwd,
        env={**kept, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def held_platform() -> Iterator[Platform]:
    """The embedded platform, held by the tests, so that they can ask the application what it saw."""
    with platform() as running:
        yield running
