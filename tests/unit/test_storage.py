"""Files of a run: whole or not at all, proved by checksum, each damage named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import DamagedFileError, RunExistsError, UnknownRunError, UsageError
from storage.parquet import Store
from storage.records import Collected, ComponentId, Manifest, RunInfo, Window
from storage.runs import ANALYSIS, RunFolder, find_run, new_run_name

START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
TABLE = pa.table({"latency_ms": [1.0, 2.0, 3.0]})


def info(run: str) -> RunInfo:
    return RunInfo(run=run, environment="development", profile="development", started=START, code_version="test")


def measured(folder: RunFolder) -> Manifest:
    files = folder.component(ComponentId.API)
    files.begin()
    files.write("samples", TABLE)
    collected = Collected(window=Window(start=START, end=START))
    return files.finish(collected, [], [], attempt=1, code_version="test")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = RunFolder(Store(tmp_path), "development", "r1")
    folder.create(info("r1"), {"profile": "development"})
    manifest = measured(folder)
    files = folder.component(ComponentId.API)
    assert files.manifest() == manifest
    assert files.tables(manifest)["samples"].equals(TABLE)
    assert manifest.files["samples.parquet"].rows == 3
    assert folder.opened() == (info("r1"), {"profile": "development"})
    assert not list(tmp_path.rglob("*.tmp"))


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    RunFolder(Store(tmp_path), "development", "r1").create(info("r1"), {})
    with pytest.raises(RunExistsError, match="r1"):
        RunFolder(Store(tmp_path), "development", "r1").create(info("r1"), {})


@pytest.mark.parametrize("damage", ["missing", "flipped", "truncated"])
def test_damage_is_named_by_file(tmp_path: Path, damage: str) -> None:
    folder = RunFolder(Store(tmp_path), "development", "r1")
    manifest = measured(folder)
    path = tmp_path / ANALYSIS / "development" / "r1" / "api" / "samples.parquet"
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[:-7])
    files = folder.component(ComponentId.API)
    with pytest.raises(DamagedFileError, match=r"samples\.parquet"):
        files.verify(manifest)
    with pytest.raises(DamagedFileError, match=r"samples\.parquet"):
        files.tables(manifest)


def test_a_file_of_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as later:
        later.setattr("storage.parquet.SCHEMA_VERSION", 99)
        store.write_table("new.parquet", TABLE)
    with pytest.raises(DamagedFileError, match=r"new\.parquet has schema version 99"):
        store.read_table("new.parquet")


def test_starting_a_component_again_voids_what_was_there(tmp_path: Path) -> None:
    folder = RunFolder(Store(tmp_path), "development", "r1")
    measured(folder)
    folder.component(ComponentId.API).begin()
    assert folder.component(ComponentId.API).manifest() is None


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 200])
def test_a_name_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        RunFolder(Store(tmp_path), "development", name)


def test_runs_are_found_by_name_and_latest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for environment, run in (("staging", "a1"), ("development", "b2"), ("development", "a1")):
        RunFolder(store, environment, run).create(info(run), {})
    assert find_run(store, "b2").environment == "development"
    assert find_run(store, "staging/a1").environment == "staging"
    assert find_run(store, "latest").run == "b2"
    with pytest.raises(UnknownRunError, match="names 2 runs"):
        find_run(store, "a1")
    with pytest.raises(UnknownRunError, match="nope"):
        find_run(store, "nope")


def test_run_names_sort_by_start_and_never_meet() -> None:
    early, late = new_run_name(START), new_run_name(START.replace(hour=7))
    assert early < late
    assert new_run_name(START) != early


@pytest.mark.parametrize("root", ["nowhere://bucket", "s3://key:canary@bucket/prefix"])
def test_an_output_that_is_no_place_is_refused_without_its_secret(root: str) -> None:
    with pytest.raises(UsageError, match=root.partition("://")[0]) as caught:
        Store(root)
    assert "canary" not in str(caught.value)
