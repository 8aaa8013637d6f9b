"""The journal of a load: whole batches whatever cuts it short, each row once, and what is stored of them."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.clock import Clock
from storage.errors import NotMeasuredError
from storage.parquet import Store
from storage.records import ComponentId, RunInfo
from storage.runs import RunFolder
from tasks import recovery
from tasks.load.recording import journal, samples
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import ERRORS, SCHEMA, Recorder
from tasks.load.scenario.records import Checks
from tasks.load.websocket.records import Attempts, Pushes
from tasks.retain import retain

CLOCK = Clock(1_700_000_000_123_456_789)
START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
MS = 1_000_000


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process has a journal there; nothing is brought to it but by `flush`."""
    path = tmp_path / "journal-attempt-1-1.arrows"
    monkeypatch.setattr(journal, "_process", journal._Process(path))
    monkeypatch.setattr(journal, "EVERY_S", 3600)
    return path


def add(recorder: Recorder, numbers: range, seed: int = 7) -> None:
    """Rows that tell their number in `bytes`, otherwise by chance."""
    chance = random.Random(seed)  # noqa: S311 - test data
    for number in numbers:
        taken = number * MS + chance.randrange(1000)
        sent = taken + chance.randrange(5000)
        received = sent + chance.randrange(10**10)
        error = chance.choice([None, None, *ERRORS])
        recorder.add(
            (number * MS, taken, sent, received),
            chance.randrange(len(recorder.endpoints)),
            chance.randrange(len(recorder.phases)),
            status=0 if error else chance.choice([200, 404, 500]),
            error=error,
            failed=chance.random() < 0.1,
            size=number,
            items=1 + number % 3,
            seen=received + chance.randrange(1000),
        )


def numbers(table: pa.Table) -> list[int]:
    return [int(number) for number in samples.column(table, "bytes")]


def test_a_journalled_load_has_the_rows_of_one_in_memory(place: Path) -> None:
    plain, kept = Recorder(["a", "b"], ["ramp"], 3), Recorder(["a", "b"], ["ramp"], 3)
    kept.keep(CLOCK)
    for part in range(4):
        for recorder in (plain, kept):
            add(recorder, range(100 * part, 100 * part + 100), seed=part)
            recorder.phases.append(f"step:{part}")  # a dictionary that grows from batch to batch
        for first in (0, 1, 99, 100, 101, 100 * part, 100 * part + 100):
            pairs = zip(plain.rows_since(first), kept.rows_since(first), strict=True)
            assert all(np.array_equal(one, other) for one, other in pairs)
        assert len(kept) == len(plain) == 100 * part + 100
        if part < 3:
            kept.flush()
    table = kept.table(CLOCK)
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == plain.table(CLOCK).to_pylist()
    assert samples.phases(table) == ["ramp", "step:0", "step:1", "step:2"]
    assert pa.Table.from_batches(journal.batches(place)).num_rows == 400


def attempt(number: int) -> dict[str, Any]:
    opened = None if number % 3 else number * MS + 2000
    return {
        "connection": number,
        "attempt": 1,
        "storm": None,
        "intended_ns": number * MS,
        "started_ns": number * MS + 500,
        "connected_ns": opened,
        "opened_ns": opened,
        "closed_ns": number * MS + 9000,
        "ended_by": "peer",
        "close_code": 1000,
        "dropped": False,
        "error": None,
        "status": 101,
        "reason": "away with canary",
    }


def test_attempts_and_pushes_that_are_journalled_are_those_of_memory(place: Path) -> None:
    attempts = [Attempts(CLOCK, "canary") for _ in range(2)]
    pushes = [Pushes(CLOCK) for _ in range(2)]
    for kept in (attempts[1], pushes[1]):
        kept.keep()
    for part in range(4):
        for number in range(100 * part, 100 * part + 100):
            for one in attempts:
                one.add(attempt(number))
            for other in pushes:
                other.add((number, 1), f"kind-{number // 60}", number if number % 2 else None, (number, number), 7)
        assert len(pushes[0]) == len(pushes[1]) == 100 * part + 100
        if part < 3:
            attempts[1].flush()
            pushes[1].flush()
            journalled = [journal.batches(place.with_suffix(f".{name}.arrows")) for name in ("connections", "pushes")]
            assert [pa.Table.from_batches(rows).num_rows for rows in journalled] == [100 * part + 100] * 2
    for plain, kept in (attempts, pushes):
        assert kept.table().to_pylist() == plain.table().to_pylist()
    assert "canary" not in place.with_suffix(".connections.arrows").read_bytes().decode("latin-1")


def test_journalled_checks_add_up_to_those_that_held_and_those_that_did_not(place: Path) -> None:
    checks = Checks(3)
    checks.keep()
    for number in range(400):
        checks.add("lunch", f"check {number % 3}", passed=number % 4 != 0)
        if number in (50, 51, 200):
            checks.flush()
    checks.flush()
    rows = pa.Table.from_batches(journal.batches(place.with_suffix(".checks.arrows")))
    summed = rows.group_by(["scenario", "name", "worker"]).aggregate([("passed", "sum"), ("failed", "sum")])
    table = checks.table()
    assert sorted(summed.to_pylist(), key=lambda row: row["name"]) == [
        {"scenario": "lunch", "name": name, "worker": 3, "passed_sum": passed, "failed_sum": failed}
        for name, passed, failed in zip(*(table[of].to_pylist() for of in ("name", "passed", "failed")), strict=True)
    ]
    assert samples.column(table, "passed").sum() == 300
    assert samples.column(table, "failed").sum() == 100
    assert table.num_rows == 3


def test_only_the_clock_that_it_began_with_ends_it(place: Path) -> None:
    recorder = Recorder(["a"], ["steady"])
    recorder.keep(CLOCK)
    with pytest.raises(ValueError, match="another clock"):
        recorder.table(Clock(1))
    with pytest.raises(ValueError, match="journalled already"):
        recorder.keep(CLOCK)
    assert place.exists()


def test_without_a_place_rows_stay_in_memory() -> None:
    recorder = Recorder(["a"], ["steady"])
    recorder.keep(CLOCK)
    add(recorder, range(5))
    recorder.flush()
    assert numbers(recorder.table(CLOCK)) == [0, 1, 2, 3, 4]


def test_a_second_recorder_has_a_file_of_its_own(place: Path) -> None:
    for start in (0, 10):
        recorder = Recorder(["a"], ["steady"])
        recorder.keep(CLOCK)
        add(recorder, range(start, start + 10))
        recorder.flush()
    files = journal.found(place.parent)[1]
    assert [path.name for path in files] == ["journal-attempt-1-1.2.arrows", "journal-attempt-1-1.arrows"]
    assert [numbers(journal.table(journal.batches(path), SCHEMA))[0] for path in files] == [10, 0]


def test_a_journal_cut_anywhere_gives_its_whole_batches(place: Path, tmp_path: Path) -> None:
    recorder = Recorder(["a"], ["steady"])
    recorder.keep(CLOCK)
    ends = [(0, place.stat().st_size)]
    for part in range(8):
        add(recorder, range(20 * part, 20 * part + 20))
        recorder.flush()
        ends.append((20 * part + 20, place.stat().st_size))
    content = place.read_bytes()
    cut = tmp_path / "cut.arrows"
    cuts = [*range(len(content) - 2048, len(content) + 1), *range(0, len(content) - 2048, 97)]
    for size in cuts:
        cut.write_bytes(content[:size])
        whole = max((rows for rows, end in ends if end <= size), default=0)
        assert numbers(journal.table(journal.batches(cut), SCHEMA)) == list(range(whole)), size
    cut.write_bytes(content[: ends[7][1]] + bytes(300))  # a system that lost its power may leave zeros
    assert numbers(journal.table(journal.batches(cut), SCHEMA)) == list(range(140))


MOVES = 6
"""How often rows must have been moved while others came."""


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_rows_that_come_while_others_are_moved_are_there_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "EVERY_S", 0.0001)
    recorder = Recorder(["a"], ["steady"])
    recorder.keep(CLOCK)
    added = 0
    while added < 100_000 or sum(1 for _ in journal.batches(place)) < MOVES:
        for number in range(added, added + 10_000):
            recorder.add((number, number, number, number), 0, 0, size=number)
        added += 10_000
        assert added < 3_000_000, "nothing was moved meanwhile"
    assert numbers(recorder.table(CLOCK)) == list(range(added))


def test_a_journal_that_cannot_be_opened_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "nowhere" / "journal-attempt-1-1.arrows"
    monkeypatch.setattr(journal, "_process", journal._Process(place))
    with pytest.raises(NotMeasuredError, match=r"nowhere/journal-attempt-1-1\.arrows: No such file or directory"):
        Recorder(["a"], ["steady"]).keep(CLOCK)


def test_names_are_claimed_once_from_any_thread(tmp_path: Path) -> None:
    claimed = Journals(tmp_path, 2)
    names: list[Path] = []
    threads = [threading.Thread(target=lambda: names.append(claimed.claim())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 20
    for name in names:
        name.touch()
    (tmp_path / "journal-attempt-x.arrows").touch()
    assert {attempt: len(paths) for attempt, paths in journal.found(tmp_path).items()} == {2: 20}
    assert Journals(tmp_path, 2).claim() not in names  # those of a worker that is about to end are its own
    claimed.ended(names[0])
    claimed.remove()
    assert not names[0].exists()
    assert sum(path.exists() for path in names) == 19


# --- what becomes of a journal that is left ---


def opened(tmp_path: Path) -> RunFolder:
    folder = RunFolder(Store(tmp_path), "development", "r1")
    info = RunInfo(run="r1", environment="development", profile="development", started=START, code_version="test")
    folder.create(info, {})
    return folder


def left(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, attempt: int, rows: range) -> Path:
    """A journal whose worker lives, in the folder of a component."""
    path = Journals(folder.store.local_path(folder._analysis("api")) or Path(), attempt).claim()
    while path.exists():
        path = path.with_name(f"journal-attempt-{attempt}-{rows.start}.arrows")
    monkeypatch.setattr(journal, "_process", journal._Process(path))
    recorder = Recorder(["a"], ["steady"], rows.start)
    recorder.keep(CLOCK)
    add(recorder, rows)
    recorder.flush()
    return path


def end_of_writer(paths: list[Path]) -> None:
    """The lock of a writer goes with its process: the same files without it."""
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def test_a_load_under_way_is_left_alone_and_a_dead_one_becomes_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = opened(tmp_path)
    paths = [left(folder, monkeypatch, 1, range(30)), left(folder, monkeypatch, 1, range(100, 130))]
    assert recovery.notes(folder) == []
    assert all(path.exists() for path in paths)

    end_of_writer(paths[:1])
    assert recovery.notes(folder) == []  # one of its workers lives
    end_of_writer(paths[1:])
    (note,) = recovery.notes(folder)
    assert "api: 60 rows of the load of attempt 1, until it was stopped, are kept in" in note
    assert not any(path.exists() for path in paths)
    files = folder.component(ComponentId.API)
    assert files.path("samples-partial-attempt-1") in note
    assert sorted(numbers(files.kept("samples-partial-attempt-1"))) == [*range(30), *range(100, 130)]
    assert files.manifest() is None
    assert recovery.notes(folder) == [note]


def test_two_that_find_a_journal_keep_its_rows_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    end_of_writer([left(folder, monkeypatch, 1, range(500))])
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(recovery.notes(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(folder.component(ComponentId.API).kept("samples-partial-attempt-1")) == list(range(500))
    assert all("500 rows" in note for notes in found for note in notes)


def test_a_block_that_ends_removes_what_ended_and_keeps_what_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = opened(tmp_path)
    files = folder.component(ComponentId.API)
    with recovery.journals(files, 4) as journals:
        whole, broken = (left(folder, monkeypatch, 4, rows) for rows in (range(5), range(5, 9)))
        journals.ended(whole)
        end_of_writer([broken])
    assert numbers(files.kept("samples-partial-attempt-4")) == [5, 6, 7, 8]
    assert not whole.exists()

    def breaks() -> None:
        with recovery.journals(files, 5) as journals:
            path = left(folder, monkeypatch, 5, range(3))
            journals.ended(path)
            end_of_writer([path])
            raise NotMeasuredError("broke after its load")

    with pytest.raises(NotMeasuredError, match=r"^broke after its load$"):
        breaks()
    assert numbers(files.kept("samples-partial-attempt-5")) == [0, 1, 2]
    assert [note.partition(",")[0] for note in recovery.notes(folder)] == [
        "api: 4 rows of the load of attempt 4",
        "api: 3 rows of the load of attempt 5",
    ]


def test_a_journal_counts_for_its_run_and_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    path = left(folder, monkeypatch, 1, range(30))
    size = path.stat().st_size
    later = RunFolder(Store(tmp_path), "development", "r2")
    later.create(folder.opened()[0].model_copy(update={"run": "r2", "started": START + timedelta(hours=1)}), {})
    at = datetime.now(UTC)
    assert retain("development", str(tmp_path), keep=1, apply=True, now=at).removed == ()  # it is under way
    done = retain("development", str(tmp_path), keep=1, apply=True, now=at + timedelta(days=2))
    assert done.removed == ("r1",)
    assert done.plan.remove[0].bytes > size
    assert not path.parent.parent.exists()


# --- Parquet ---


def recorded(rows: int) -> pa.Table:
    recorder = Recorder(["a", "b"], ["ramp", "steady"])
    add(recorder, range(rows))
    return recorder.table(CLOCK)


def test_stored_moments_are_whole_microseconds_and_everything_else_is_exact(tmp_path: Path) -> None:
    table = recorded(3000)
    store = Store(tmp_path)
    again = store.read_table("t.parquet", store.write_table("t.parquet", table))
    assert again.schema.equals(SCHEMA)
    for name in SCHEMA.names:
        unit = 1000 if name.endswith("_ns") else 1
        values: list[Any] = table.column(name).to_pylist()
        expected = [value // unit * unit for value in values] if unit > 1 else values
        assert again.column(name).to_pylist() == expected, name
    twice = store.read_table("u.parquet", store.write_table("u.parquet", again))
    assert twice.equals(again)


def test_another_reader_finds_the_moments_by_name(tmp_path: Path) -> None:
    table = recorded(100)
    Store(tmp_path).write_table("t.parquet", table)
    stored = pq.read_table(tmp_path / "t.parquet").to_pylist()
    for row, found in zip(table.to_pylist(), stored, strict=True):
        moments = [value for name, value in found.items() if name.endswith("_us")]
        assert sum(moments) == row["seen_ns"] // 1000
        assert found["intended_us"] == row["intended_ns"] // 1000
        assert found["received_after_sent_us"] == row["received_ns"] // 1000 - row["sent_ns"] // 1000


@given(st.lists(st.tuples(*[st.integers(0, 2**62)] * 5), max_size=20))
def test_any_moments_survive(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, ...]]) -> None:
    recorder = Recorder(["a"], ["steady"])
    for row in rows:
        recorder.add(row[:4], 0, 0, seen=row[4])  # type: ignore[arg-type]
    table = recorder.table(Clock(0))
    store = Store(tmp_path_factory.mktemp("moments"))
    again = store.read_table("t.parquet", store.write_table("t.parquet", table))
    for name in SCHEMA.names[:5]:
        assert samples.column(again, name).tolist() == [
            v // 1000 * 1000 for v in samples.column(table, name).tolist()
        ]


@pytest.mark.parametrize(
    "older",
    [
        lambda table: table.drop_columns(["seen_ns"]),
        lambda table: table.drop_columns(["sent_ns", "seen_ns"]),
        lambda table: pa.Table.from_arrays(table.columns, names=table.column_names),
    ],
    ids=["without seen_ns", "without what another comes after", "nanoseconds"],
)
def test_tables_of_earlier_versions_are_read_as_they_are(
    tmp_path: Path, older: Callable[[pa.Table], pa.Table]
) -> None:
    table = older(recorded(200))
    store = Store(tmp_path)
    again = store.read_table("t.parquet", store.write_table("t.parquet", table))
    assert again.column_names == table.column_names
    assert samples.latency_ms(again) == pytest.approx(samples.latency_ms(table), abs=0.0011)
    assert samples.counts(again) == samples.counts(table)
    assert samples.errors_by_kind(again) == samples.errors_by_kind(table)
    assert samples.phases(again) == ["ramp", "steady"]
