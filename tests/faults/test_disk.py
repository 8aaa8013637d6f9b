"""A disk that takes no more: what was begun is not taken for a run, the word names the file, nothing lies about."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.parquet import Store
from storage.records import ComponentId, Report
from storage.runs import RunFolder
from tests.faults.kills import PROGRAM, Run, left_over, started
from tests.faults.outcome import WHOLE

WRITING = """
import sys
import numpy as np, pyarrow as pa
from storage.errors import HasivuError
from storage.parquet import Store
from storage.records import Collected, ComponentId, Window
from storage.runs import RunFolder
from tests.unit.test_storage import START, info
folder = RunFolder(Store(sys.argv[1]), "development", "r1")
folder.create(info("r1"), {})
files = folder.component(ComponentId.API)
files.begin()
try:
    for number in range(3):
        noise = np.random.default_rng(number).random(int(sys.argv[2]))
        files.write(f"table-{number}", pa.table({"x": noise}))
    files.finish(Collected(window=Window(start=START, end=START)), [], [], attempt=1, code_version="test")
except HasivuError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.parametrize("rows", [4_000, 40_000, 400_000])
@pytest.mark.parametrize("limit_kb", [64, 256])
def test_there_is_never_a_manifest_over_part_of_the_data(tmp_path: Path, rows: int, limit_kb: int) -> None:
    limit = limit_kb * 1024
    ended = subprocess.run(
        [sys.executable, "-c", WRITING, str(tmp_path), str(rows)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    fits = rows * 8 < limit
    assert ended.returncode == (0 if fits else 3), ended.stderr
    files = RunFolder(Store(tmp_path), "development", "r1").component(ComponentId.API)
    assert (files.manifest() is not None) is fits
    if not fits:
        assert len(ended.stdout.splitlines()) == 1
        assert "table-0.parquet" in ended.stdout
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]


def test_where_nothing_can_be_stored_no_platform_is_started_and_nothing_is_loaded(tmp_path: Path) -> None:
    denied = tmp_path / "file"
    denied.touch()
    ended = subprocess.run(
        [str(PROGRAM), "run", "development", "--output", str(denied / "out")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith(("DEVELOPMENT_", "PREFECT_"))},
    )
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr == (
        f"hasivu-perf: nothing can be stored in {denied}/out: Not a directory; name another --output\n"
    )


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size; only root can mount one."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=10)


def run_name(run: Run) -> str:
    """The name of a run that was opened."""
    return run.stored("run.json")[0].parent.name


if WHOLE and os.geteuid() == 0:  # each takes as long as a run

    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("size", ["60k", "300k", "1200k"])
    def test_a_disk_that_fills_up_leaves_whole_results_alone(tmp_path: Path, size: str) -> None:
        """Amid the load, while results are written, or while the report is: what is stored of it is whole."""
        output = tmp_path / "out"
        output.mkdir()
        with small_disk(output, size), started(tmp_path, 1) as run:
            code = run.process.wait(300)
            assert code == 4, run.log
            assert left_over(run)[0] == []
            assert "No space left on device" in run.log.splitlines()[-1]
            assert "Traceback" not in run.log
            assert not run.stored("report.json")
            whole = run.stored("*/manifest.json")
            assert bool(whole) is (f"hasivu-perf report {run_name(run)}" in run.log)
            subprocess.run(["mount", "-o", "remount,size=100m", str(output)], check=True, timeout=10)
            made = subprocess.run(
                [str(PROGRAM), "report", run_name(run), "--output", str(output)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert made.returncode in (0, 1, 3), made.stderr
            report = Report.model_validate_json(run.stored("report.json")[0].read_bytes())
            measured = [one.component for one in report.components if one.status == "measured"]
            assert len(measured) == len(whole)
