"""A run that is killed, in whatever way and at whatever moment, leaves nothing, and the next one works.

The whole schedule takes most of an hour: `make faults` runs it. In `make test` some cells of it stand for the rest.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.kills import KINDS, MOMENTS, ended_by, left_over, started
from tests.faults.outcome import WHOLE

SOME = (
    ("start", "killed"),
    ("load", "killed"),
    ("load", "interrupted"),
    ("load", "guardian-killed"),
    ("search", "terminated"),
    ("judging", "cancelled"),
)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("moment", MOMENTS if WHOLE else ("some",))
def test_whatever_is_killed_nothing_is_left_and_the_next_run_works(tmp_path: Path, moment: str) -> None:
    found = []
    for number, (when, kind) in enumerate([(moment, kind) for kind in KINDS] if WHOLE else SOME):
        found.append(ended_by(kind, when, tmp_path, number))  # each begins in the folder of the one before
        sys.stdout.write(f"{found[-1]}\n")  # the figures of the schedule, shown by pytest -rP or -s
    assert [str(cell) for cell in found if cell.problems] == []
    with started(tmp_path, len(found)) as run:
        assert run.process.wait(300) in (0, 1, 3), run.log
        assert left_over(run)[0] == []
        assert run.stored("report.json")
