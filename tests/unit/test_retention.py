"""Which runs stay and which go, and that no moment of a removal leaves something that reads as a whole run."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.baselines import pin, pinned, unpin
from storage.errors import DamagedFileError, StorageError, UnknownRunError, UsageError
from storage.inventory import OPEN_FOR, StoredRun, stored_runs
from storage.parquet import Store
from storage.records import Attempt, RunInfo
from storage.removal import MARK, announce, being_removed
from storage.retention import plan, protected_runs, remove_run
from storage.runs import ANALYSIS, BENCHMARKS, ORCHESTRATION, RunFolder, find_run
from tasks.retain import lines, retain
from tests.report_example import example_report, good_report

START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=7)
"""A moment when nothing that a test wrote is under way any more."""


def run(number: int, **more: Any) -> StoredRun:
    started = START + timedelta(hours=number)
    return StoredRun(run=f"r{number}", started=started, touched=started, bytes=10, **more)


@st.composite
def inventories(draw: st.DrawFn) -> list[StoredRun]:
    numbers = draw(st.lists(st.integers(0, 40), unique=True, max_size=12))
    compared = st.none() | st.sampled_from([*(f"r{number}" for number in numbers), "gone"])
    return [run(n, baseline=draw(compared), open=draw(st.booleans()), removing=draw(st.booleans())) for n in numbers]


@given(inventories(), st.integers(1, 8), st.frozensets(st.sampled_from([f"r{n}" for n in range(41)]), max_size=4))
def test_a_plan_keeps_exactly_what_it_must(runs: list[StoredRun], keep: int, protected: frozenset[str]) -> None:
    made = plan(runs, keep, dict.fromkeys(protected, "pinned"))
    gone = {one.run for one in made.remove}
    assert gone | set(made.keep) == {one.run for one in runs}
    assert not gone & set(made.keep)

    whole = sorted((one for one in runs if not one.removing), key=lambda one: one.started)
    first = {one.run for one in whole[-keep:]} | {
        one.run for one in whole if one.run in protected or (one.open and not one.removing)
    }
    compared = {one.baseline for one in whole if one.run in first}
    assert set(made.keep) == {one.run for one in whole if one.run in first | compared}
    assert [one.started for one in made.remove] == sorted(one.started for one in made.remove)


@given(inventories(), st.integers(1, 8))
def test_planning_twice_removes_nothing_more_and_keeping_more_removes_less(runs: list[StoredRun], keep: int) -> None:
    made = plan(runs, keep, {})
    left = [one for one in runs if one.run in made.keep]
    assert plan(left, keep, {}).remove == ()
    assert set(plan(runs, keep + 1, {}).remove) <= set(made.remove)


def stored(store: Store, number: int, *, environment: str = "staging", release: str | None = None) -> RunFolder:
    """A whole run as it lies after publishing, with two components."""
    folder = RunFolder(store, environment, f"r{number}")
    info = RunInfo(
        run=folder.run,
        environment=environment,
        profile=environment,
        release=release,
        started=START + timedelta(hours=number),
        code_version="test",
    )
    folder.create(info, {})
    for component in ("api", "database"):
        store.write(f"{ANALYSIS}/{environment}/{folder.run}/{component}/samples.parquet", b"samples")
        store.write(f"{ANALYSIS}/{environment}/{folder.run}/{component}/manifest.json", b"{}")
    store.write(folder.orchestration("report.json"), b"{}")
    store.write(folder.orchestration("report.html"), b"<html>")
    store.write(folder.benchmark("technical-analysis.md"), b"#")
    return folder


def names(store: Store) -> set[str]:
    return {file.name for root in (ANALYSIS, BENCHMARKS, ORCHESTRATION) for file in store.files(root)}


def test_the_newest_stay_and_nothing_else_is_touched(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(5):
        stored(store, number)
    stored(store, 0, environment="production")
    strangers = {
        f"{ANALYSIS}/staging/notes.txt",
        f"{ANALYSIS}/staging/by hand/x.csv",
        f"{ORCHESTRATION}/staging/old/y",
    }
    for name in strangers:
        store.write(name, b"mine")
    before = names(store)

    listed = retain("staging", str(tmp_path), keep=2, apply=False, now=LATER)
    assert [one.run for one in listed.plan.remove] == ["r0", "r1", "r2"]
    assert names(store) == before
    assert "nothing was removed: use --apply" in list(lines(listed))[-1]

    done = retain("staging", str(tmp_path), keep=2, apply=True, now=LATER)
    assert done.removed == ("r0", "r1", "r2")
    assert names(store) == {name for name in before if "staging/r" not in name or "/r3/" in name or "/r4/" in name}
    assert not (tmp_path / ANALYSIS / "staging" / "r0").exists()
    assert retain("staging", str(tmp_path), keep=2, apply=True, now=LATER).removed == ()


def test_the_number_comes_from_the_environments_file_and_is_never_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(32):
        stored(store, number, environment="development")
    listed = retain("development", str(tmp_path), keep=None, apply=False, now=LATER)
    assert [one.run for one in listed.plan.remove] == ["r0", "r1"]
    with pytest.raises(UsageError, match="at least the newest"):
        retain("development", str(tmp_path), keep=0, apply=True, now=LATER)


def test_a_pinned_baseline_stays_until_it_is_let_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(3):
        stored(store, number)
    made = pin(store, "staging", "before-cdn", "r0", by="asha")
    assert pinned(store, "staging") == {"before-cdn": made}
    assert find_run(store, "latest").run == "r2"  # the pin's file is taken for no run
    assert pinned(store, "production") == {}
    done = retain("staging", str(tmp_path), keep=1, apply=True, now=LATER)
    assert done.removed == ("r1",)
    assert "kept    r0  pinned as before-cdn" in list(lines(done))
    unpin(store, "staging", "before-cdn")
    assert retain("staging", str(tmp_path), keep=1, apply=True, now=LATER).removed == ("r0",)


def test_a_damaged_pin_stops_retention_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(2):
        stored(store, number)
    store.write(f"{ANALYSIS}/staging/baseline-x.json", b"{")
    with pytest.raises(DamagedFileError, match=r"baseline-x\.json is no pinned baseline"):
        retain("staging", str(tmp_path), keep=1, apply=True, now=LATER)
    assert len(stored_runs(store, "staging", LATER)) == 2


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "x" * 61])
def test_a_pins_name_cannot_leave_its_folder(tmp_path: Path, name: str) -> None:
    stored(Store(tmp_path), 0)
    with pytest.raises(UsageError):
        pin(Store(tmp_path), "staging", name, "r0", by="asha")


def test_pinning_and_removing_at_once_end_in_one_of_two_whole_states(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = stored(store, 0)
    announce(folder)
    with pytest.raises(UnknownRunError, match="being removed"):
        pin(store, "staging", "x", "r0", by="asha")
    assert pinned(store, "staging") == {}

    kept = stored(store, 1)
    pin(store, "staging", "x", "r1", by="asha")
    assert not remove_run(store, "staging", "r1")
    assert not being_removed(kept)
    assert kept.opened()[0].run == "r1"
    with pytest.raises(UnknownRunError, match="no run 'r9'"):
        pin(store, "staging", "x", "r9", by="asha")
    assert pinned(store, "staging")["x"].run == "r1"


def test_the_newest_whole_run_of_two_releases_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    releases = {0: "v1", 1: "v2", 2: "v2", 3: "v2", 4: "v3", 5: None, 6: None}
    whole, partial = good_report().model_dump_json().encode(), example_report().model_dump_json().encode()
    for number, release in releases.items():
        folder = stored(store, number, release=release)
        store.write(folder.orchestration("report.json"), partial if number == 3 else whole)
    assert protected_runs(store, "staging", stored_runs(store, "staging", LATER)) == {
        "r4": "the newest whole run of v3",
        "r2": "the newest whole run of v2",
    }
    assert retain("staging", str(tmp_path), keep=1, apply=True, now=LATER).removed == ("r0", "r1", "r3", "r5")


def _unreported(folder: RunFolder) -> None:
    folder.store.remove(folder.orchestration("report.json"))


def _measured_again(folder: RunFolder) -> None:
    folder.write_attempt(Attempt(number=2, opened=START))


@pytest.mark.parametrize("under_way", [_unreported, _measured_again])
def test_a_run_under_way_stays_for_a_day(tmp_path: Path, under_way: Callable[[RunFolder], None]) -> None:
    store = Store(tmp_path)
    under_way(stored(store, 0))
    stored(store, 1)
    (old, _) = stored_runs(store, "staging", datetime.now(UTC))
    assert old.open
    assert retain("staging", str(tmp_path), keep=1, apply=True).plan.keep["r0"] == "still under way"
    assert retain("staging", str(tmp_path), keep=1, apply=True, now=old.touched + OPEN_FOR).removed == ("r0",)


class Cut(Store):
    """A store whose process ends at the nth change that it makes."""

    def __init__(self, root: Path, changes: int) -> None:
        super().__init__(root)
        self.changes = changes

    def _change(self) -> None:
        if self.changes == 0:
            raise InterruptedError
        self.changes -= 1

    def write_json(self, name: str, value: Any) -> Any:
        self._change()
        return super().write_json(name, value)

    def remove(self, name: str) -> None:
        self._change()
        super().remove(name)

    def remove_folder(self, folder: str) -> None:
        self._change()
        super().remove_folder(folder)


def test_wherever_a_removal_is_cut_short_no_run_is_left_and_the_next_finishes_it(tmp_path: Path) -> None:
    cut = 0
    while True:
        root = tmp_path / str(cut)
        store = Store(root)
        folder, untouched = stored(store, 0), stored(store, 1)
        whole = names(store)
        try:
            remove_run(Cut(root, cut), "staging", "r0")
        except InterruptedError:
            changed = names(store) - {f"{ANALYSIS}/staging/r0/{MARK}"} != whole
            assert being_removed(folder) or not changed
            assert not (changed and folder.opened_already())
            marked = [one.run for one in stored_runs(store, "staging", LATER) if one.removing]
            assert marked == (["r0"] if being_removed(folder) else [])
            assert retain("staging", str(root), keep=1, apply=True, now=LATER).removed == ("r0",)
        else:
            break
        finally:
            assert untouched.opened()[0].run == "r1"
        assert not any("/r0/" in name for name in names(store))
        assert not (root / ANALYSIS / "staging" / "r0").exists()
        cut += 1
    assert cut >= 9


def test_what_a_link_points_to_is_never_removed(tmp_path: Path) -> None:
    outside, output = tmp_path / "outside", tmp_path / "output"
    store = Store(output)
    precious = stored(Store(outside), 7)
    stored(store, 0)
    stored(store, 1)
    staging = output / ANALYSIS / "staging"
    (staging / "r0" / "cache").symlink_to(outside / ANALYSIS / "staging" / "r7" / "api")
    (staging / "r0" / "extra.json").symlink_to(outside / ANALYSIS / "staging" / "r7" / "run.json")
    (staging / "r7").symlink_to(outside / ANALYSIS / "staging" / "r7")
    before = names(Store(outside))

    assert retain("staging", str(output), keep=1, apply=True, now=LATER).removed == ("r0",)
    assert not (staging / "r0").exists()
    assert names(Store(outside)) == before

    (output / ANALYSIS / "production").symlink_to(outside / ANALYSIS / "staging")
    with pytest.raises(StorageError, match="reached by a symbolic link"):
        retain("production", str(output), keep=1, apply=True, now=LATER)
    with pytest.raises(StorageError, match="reached by a symbolic link"):
        store.remove_folder(f"{ANALYSIS}/production/r7")
    assert precious.opened()[0].run == "r7"


def test_a_damaged_run_counts_by_its_last_file_and_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(2):
        stored(store, number)
    broken = stored(store, 2)
    store.write(f"{ANALYSIS}/staging/{broken.run}/run.json", b"{")
    for path in tmp_path.rglob("r2/**/*"):
        os.utime(path, (0, 0))
    (first, *_) = stored_runs(store, "staging", LATER)
    assert (first.run, first.started) == ("r2", datetime.fromtimestamp(0, UTC))
    done = retain("staging", str(tmp_path), keep=1, apply=True, now=LATER)
    assert done.removed == ("r2", "r0")
    assert any("damaged" in line and "run.json" in line for line in lines(done))
