"""A clock that is set while a run measures: nothing turns round, nothing is lost, and the report says it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage.records import FailedComponent, MeasuredComponent, Report
from tests.faults.kills import Run, left_over, reached, started

CODE = Path(__file__).with_name("clock_step.c")


@pytest.fixture
def clock(tmp_path: Path) -> tuple[Path, Mapping[str, str]]:
    """A file that says how far the clock is ahead, and the variables of a process that believes it."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    library, ahead = tmp_path / "clock.so", tmp_path / "ahead"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, CODE, "-ldl"], check=True, timeout=60)
    return ahead, {"LD_PRELOAD": str(library), "CLOCK_STEP": str(ahead)}


def _set(ahead: Path, seconds: int) -> None:
    fresh = ahead.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.replace(ahead)


def _report(run: Run) -> Report:
    return Report.model_validate_json(run.stored("report.json")[0].read_bytes())


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("moment", "seconds"), [("opened", -3600), ("load", -3600), ("load", 3600)])
def test_a_clock_that_is_set_amid_a_run_turns_nothing_round(
    tmp_path: Path, clock: tuple[Path, Mapping[str, str]], moment: str, seconds: int
) -> None:
    ahead, variables = clock
    with started(tmp_path, 1, variables=variables) as run:
        assert not reached(run, moment)
        began = time.time()
        _set(ahead, seconds)
        assert run.process.wait(180) in (0, 1), run.log
        assert left_over(run)[0] == []
    report = _report(run)
    assert [one for one in report.components if isinstance(one, FailedComponent)] == []
    noted = [note for attempt in report.attempts for note in attempt.notes]
    assert any(f"was set by {seconds:+d} s" in note for note in noted), noted
    for component in (one for one in report.components if isinstance(one, MeasuredComponent)):
        for one in component.measurements:
            assert one.window is None or abs(one.window.end.timestamp() - began) < 600, one
