"""Files and folders that may not be read or written: named, left out, and nothing else is lost for them."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from storage.parquet import Store
from storage.runs import ANALYSIS
from tests.faults.kills import PROGRAM, left_over, reached, started
from tests.history_runs import figure, made, name

METRIC = "api.latency.p95"
_PR_CAPBSET_DROP = 24
_OVER_MODES = (1, 2, 3)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: what lets root read and write anything


def under_modes() -> None:
    """In the child, before its program starts: the modes of files hold for root too."""
    if os.geteuid() == 0:
        for capability in _OVER_MODES:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def said(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command says that is bound by the modes of files."""
    return subprocess.run(
        [str(PROGRAM), *arguments, "--output", str(output)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=under_modes,
    )


@pytest.mark.parametrize("denied", ["run.json", "api/manifest.json", "api/measurements.parquet", "api", "."])
def test_what_may_not_be_read_is_named_and_the_other_runs_are_told(tmp_path: Path, denied: str) -> None:
    store = Store(tmp_path)
    for number in range(3):
        made(store, number, figures=[figure(METRIC, 100.0, number)])
    place = tmp_path / ANALYSIS / "staging" / name(1) / denied
    mode = place.stat().st_mode
    place.chmod(0)
    try:
        told = said(tmp_path, "history", METRIC, "staging")
    finally:
        place.chmod(mode)
    assert told.returncode == 0, told.stderr
    assert f"{METRIC}: 2 of 2 runs have a value" in told.stdout or f"{METRIC}: 2 of 3 runs" in told.stdout
    (line,) = [line for line in told.stdout.splitlines() if "Permission denied" in line]
    assert name(1) in line
    assert f"{METRIC}: 3 of 3 runs have a value" in said(tmp_path, "history", METRIC, "staging").stdout


def test_a_place_that_may_not_be_read_is_no_empty_history(tmp_path: Path) -> None:
    made(Store(tmp_path), 0, figures=[figure(METRIC, 100.0, 0)])
    place = tmp_path / ANALYSIS / "staging"
    place.chmod(0)
    try:
        told = said(tmp_path, "history", METRIC, "staging")
    finally:
        place.chmod(0o700)
    assert (told.returncode, told.stdout) == (4, "")
    assert told.stderr == f"hasivu-perf: {place} could not be listed: Permission denied\n"


@pytest.mark.timeout(300)
def test_a_run_whose_folder_is_denied_amid_it_keeps_what_it_has_and_says_what_to_do(tmp_path: Path) -> None:
    with started(tmp_path, 1, before=under_modes) as run:
        assert not reached(run, "load")
        folder = run.stored("run.json")[0].parent
        folder.chmod(0o500)
        try:
            assert run.process.wait(180) == 4, run.log
        finally:
            folder.chmod(0o700)
        assert left_over(run)[0] == []
    last = run.log.strip().splitlines()[-1]
    assert "could not be written: Permission denied" in last
    assert "Traceback" not in run.log
    assert f"hasivu-perf report {folder.name}" in last
    told = said(run.output, "report", folder.name)
    assert told.returncode in (0, 1, 3), told.stderr
    assert run.stored("report.json")
