"""However a run ends, nothing of it is left: no process, no runtime folder; Ctrl-C still leaves a readable report."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.local.registry import start_time
from storage.records import Report
from tests.e2e.conftest import PROGRAM

GONE_S = 5.0
READY_S = 150.0


def descendants(root: int) -> dict[int, str]:
    """Pid and start time of every process below `root`."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    fresh = {root}
    while fresh:
        found |= fresh
        fresh = {pid for pid, parent in parents.items() if parent in found} - found
    return {pid: started for pid in found - {root} if (started := start_time(pid))}


def alive(processes: dict[int, str]) -> list[int]:
    return [pid for pid, started in processes.items() if start_time(pid) == started]


@contextmanager
def measuring(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[int, str]]]:
    """A run of the whole pipeline that has begun to measure, and all that it started."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("DEVELOPMENT_", "PREFECT_", "AWS_"))}
    environment = {**clean, "TMPDIR": str(folder / "tmp")}
    (folder / "tmp").mkdir()
    command = [str(PROGRAM), "run", "development", "--duration", "60", "--output", str(folder / "out")]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True) as process,
    ):
        try:
            until = time.monotonic() + READY_S
            while not list(folder.glob("out/performance-analysis-results/*/*/run.json")):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.2)
            time.sleep(6)
            yield process, descendants(process.pid)
        finally:
            if process.poll() is None:
                process.kill()


def gone_within(processes: dict[int, str], folder: Path, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (alive(processes) or any((folder / "tmp").iterdir())) and time.monotonic() < until:
        time.sleep(0.1)
    names = {pid: Path(f"/proc/{pid}/cmdline").read_bytes()[:120] for pid in alive(processes)}
    assert names == {}
    assert [one.name for one in (folder / "tmp").iterdir()] == []


def test_nothing_is_left_after_kill_9(tmp_path: Path) -> None:
    with measuring(tmp_path) as (process, started):
        assert len(started) >= 8
        process.kill()
        process.wait(5)
        gone_within(started, tmp_path, GONE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_a_report_and_nothing_else(tmp_path: Path, number: signal.Signals) -> None:
    with measuring(tmp_path) as (process, started):
        process.send_signal(number)
        assert process.wait(20) == 130
        gone_within(started, tmp_path, GONE_S)
    (path,) = tmp_path.glob("out/performance-orchestration-reports/*/*/report.json")
    report = Report.model_validate_json(path.read_bytes())
    assert report.gate.verdict == "no_data"
    assert "Traceback" not in (tmp_path / "log").read_text()
