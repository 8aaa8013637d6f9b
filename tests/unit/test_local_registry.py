"""A registered platform is known by process id and start time together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.local import registry
from deployments.local.platform import runs_folder
from deployments.local.registry import RunningPlatform


def test_this_process_is_alive_and_another_start_time_is_another_process() -> None:
    mine = registry.start_time(os.getpid())
    assert mine is not None
    assert RunningPlatform(os.getpid(), mine, Path("/nonexistent"), {}).alive
    assert not RunningPlatform(os.getpid(), mine + "0", Path("/nonexistent"), {}).alive


def test_a_process_that_ended_has_no_start_time_even_before_it_was_waited_for() -> None:
    process = subprocess.Popen((sys.executable, "-c", ""), stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.read()  # its end of the pipe is closed: it is exiting
        for _ in range(1000):
            if registry.start_time(process.pid) is None:
                break
        assert registry.start_time(process.pid) is None
    assert registry.start_time(process.pid) is None


def test_a_file_of_a_dead_owner_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, started in (("dead", "0"), ("mine", registry.start_time(os.getpid()))):
        folder = runs_folder() / name
        folder.mkdir()
        state = {"pid": os.getpid(), "started": started, "environment": {"DEVELOPMENT_API_URL": "http://127.0.0.1:1"}}
        (folder / registry.STATE).write_text(json.dumps(state))
    (runs_folder() / "broken").mkdir()
    (runs_folder() / "broken" / registry.STATE).write_text("{")
    assert [item.folder.name for item in registry.running()] == ["mine"]


def test_stopping_a_dead_platform_signals_nobody(tmp_path: Path) -> None:
    registry.stop(RunningPlatform(os.getpid(), "another start", tmp_path / "gone", {}))


def test_the_environment_is_not_part_of_the_repr() -> None:
    assert "canary" not in repr(RunningPlatform(1, "1", Path("/x"), {"DEVELOPMENT_DATABASE_URL": "canary"}))
