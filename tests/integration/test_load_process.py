"""A worker runs apart, tells its progress, leaves its tables, and never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.load.process import run_worker

WORKER = """
import json, os, sys, time
import pyarrow as pa
from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.load.process import WorkerOutput, serve

def work(plan, tell):
    tell({"pid": os.getpid(), "argv": sys.argv, "env": sorted(os.environ)})
    print("noise on standard output")
    match plan["do"]:
        case "table":
            return WorkerOutput({"numbers": pa.table({"n": list(range(plan["rows"]))})}, {"size": len(plan["blob"])})
        case "sleep":
            time.sleep(60)
        case "refuse":
            raise TargetUnreachableError("nothing answers")
        case "crash":
            raise ValueError("http://user:hunter2@host/ is wrong")
        case "die":
            os._exit(9)
    return WorkerOutput({})

if __name__ == "__main__":
    serve(work)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "fixture_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PRODUCTION_API_URL", "https://user:hunter2@example.org")
    return "fixture_worker"


def gone(pid: int, within_s: float = 3) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_tables_facts_and_progress_come_back_and_no_secret_is_inherited(module: str) -> None:
    told: list[Mapping[str, Any]] = []
    plan = {"do": "table", "rows": 100_000, "blob": "x" * 3_000_000}
    output = run_worker(module, plan, deadline_s=30, on_progress=told.append)
    assert output.tables["numbers"].column("n").to_pylist() == list(range(100_000))
    assert output.facts == {"size": 3_000_000}
    assert len(told) == 1
    assert len(told[0]["argv"]) == 1
    assert not any("PRODUCTION" in name for name in told[0]["env"])


def test_it_runs_from_another_thread(module: str) -> None:
    outputs = []
    plan = {"do": "table", "rows": 3, "blob": ""}
    thread = threading.Thread(target=lambda: outputs.append(run_worker(module, plan, deadline_s=30)))
    thread.start()
    thread.join(30)
    assert outputs[0].tables["numbers"].num_rows == 3


def test_the_workers_own_words_come_back_as_its_error(module: str) -> None:
    with pytest.raises(TargetUnreachableError, match=r"^nothing answers$"):
        run_worker(module, {"do": "refuse"}, deadline_s=30)


@pytest.mark.parametrize(("what", "told"), [("crash", "code 1 and no result: ValueError"), ("die", "code 9")])
def test_a_crash_is_told_without_secrets(module: str, what: str, told: str) -> None:
    with pytest.raises(NotMeasuredError, match=told) as caught:
        run_worker(module, {"do": what}, deadline_s=30)
    assert "hunter2" not in str(caught.value)


def test_a_worker_past_its_deadline_is_ended(module: str) -> None:
    told: list[Mapping[str, Any]] = []
    with pytest.raises(NotMeasuredError, match="did not end within 2 s"):
        run_worker(module, {"do": "sleep"}, deadline_s=2, on_progress=told.append)
    assert gone(told[0]["pid"])


def test_an_exception_in_the_owner_ends_the_worker(module: str) -> None:
    pids = []

    def cancel(progress: Mapping[str, Any]) -> None:
        pids.append(progress["pid"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_worker(module, {"do": "sleep"}, deadline_s=30, on_progress=cancel)
    assert gone(pids[0])


def test_the_worker_dies_with_its_killed_owner_and_takes_the_folder_along(module: str, tmp_path: Path) -> None:
    code = (
        "from tasks.load.process import run_worker\n"
        f"run_worker({module!r}, {{'do': 'sleep'}}, deadline_s=30,"
        " on_progress=lambda p: print(p['pid'], flush=True))"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert not gone(pid, 0.1)
        assert list(tmp_path.glob("hasivu-load-*"))
        owner.send_signal(signal.SIGKILL)
        assert gone(pid)
        assert not list(tmp_path.glob("hasivu-load-*"))
    finally:
        owner.kill()
        owner.wait()
        if owner.stdout is not None:
            owner.stdout.close()
