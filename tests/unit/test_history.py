"""History from the runs' own Parquet: every query, what is left out and why, and compaction that loses nothing."""

from __future__ import annotations

import json
import math
import shutil
import threading
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage import segments
from storage.compaction import LEAST, compact, retire
from storage.errors import StorageError
from storage.history import History, open_history
from storage.parquet import Store, measurements_table
from storage.records import ComponentId, Measurement
from storage.removal import announce
from storage.retention import remove_run
from storage.runs import ANALYSIS, RunFolder
from tasks.history import keep_up
from tests.history_runs import figure, info, judged, made, measure, moment, name

METRIC = "api.latency.p95"
ORDERS = {"endpoint": "GET /orders"}


def values(history: History, metric: str = METRIC) -> dict[str, float]:
    """Every value by the number of its run."""
    found = [one for one in history.series(metric=metric) if not one.labels]
    assert len(found) <= 1
    return {run.run: value for one in found for run, value in zip(one.runs, one.values.tolist(), strict=True)}


def expected(*numbers: int) -> dict[str, float]:
    return {name(number): 100.0 + number for number in numbers}


def store_with(tmp_path: Path, count: int) -> Store:
    store = Store(tmp_path)
    for number in range(count):
        made(store, number)
    return store


@pytest.mark.parametrize("compacted", [False, True])
def test_every_question_is_answered_alike_from_folders_and_segments(tmp_path: Path, *, compacted: bool) -> None:
    store = Store(tmp_path)
    for number in range(12):
        parts = [
            figure(METRIC, 100.0 + number, number, interval=(90.0, 110.0 + number)),
            figure(METRIC, 7.0, number, labels=ORDERS),
            figure("api.errors.ratio", 0.0, number),
            figure("cache.hits.ratio", None if number == 3 else 0.9, number),
        ]
        made(store, number, figures=parts)
    if compacted:
        assert len(compact(store, "staging", least=1).taken_up) == 12
    history = open_history(store, "staging", now=moment(12))
    assert (history.left_out, history.notes) == ({}, ())
    assert (history.loose == frozenset()) is compacted
    assert history.metrics() == ["api.errors.ratio", METRIC, "cache.hits.ratio"]
    own, part = history.series(metric=METRIC)
    assert (own.labels, part.labels) == ({}, ORDERS)
    assert own.values.tolist() == [100.0 + number for number in range(12)]
    assert own.high.tolist() == [110.0 + number for number in range(12)]
    assert math.isnan(part.high[0])
    assert own.times == [moment(number) for number in range(12)]
    assert [one.metric for one in history.series(component="cache")] == ["cache.hits.ratio"]
    assert [one.labels for one in history.series(metric=METRIC, labels=ORDERS)] == [ORDERS]
    assert [one.metric for one in history.series(metric="api.*", labels={})] == ["api.errors.ratio", METRIC]
    (hits,) = history.series(metric="cache.hits.ratio")
    assert [number for number, value in enumerate(hits.values) if math.isnan(value)] == [3]
    assert hits.notes[3] == "nothing answered"
    assert [run.run for run in history.select(release="v1")] == [name(10), name(11)]
    between = history.select(since=moment(2), until=moment(4))
    (few,) = history.series(metric=METRIC, labels={}, runs=between)
    assert few.values.tolist() == [102.0, 103.0]
    assert history.series(metric="rfid.latency.p95") == []
    assert [(run.verdict, run.score, run.grade) for run in history.runs[:1]] == [("pass", 91.0, "A")]


def test_the_end_of_every_run_keeps_history_short(tmp_path: Path) -> None:
    store, waiting = Store(tmp_path), []
    for number in range(LEAST + 2):
        assert keep_up(made(store, number)) == ""
        if number >= LEAST - 2:
            waiting.append(len(open_history(store, "staging", now=moment(99)).loose))
    assert waiting == [LEAST - 1, 0, 1, 2]
    assert values(open_history(store, "staging", now=moment(99))) == expected(*range(LEAST + 2))


def test_an_environment_without_runs_has_an_empty_history(tmp_path: Path) -> None:
    history = open_history(Store(tmp_path), "staging")
    assert (history.runs, history.series(), history.metrics(), history.left_out) == ((), [], [], {})


def test_damaged_runs_are_named_and_left_out(tmp_path: Path) -> None:
    store = store_with(tmp_path, 6)
    root = tmp_path / ANALYSIS / "staging"
    flipped = root / name(0) / "api" / "measurements.parquet"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    truncated = root / name(1) / "api" / "measurements.parquet"
    truncated.write_bytes(truncated.read_bytes()[:-9])
    (root / name(2) / "run.json").write_text("{")
    (root / name(3) / "api" / "manifest.json").write_text("{}")
    shutil.copytree(root / name(4), root / "copy")
    history = open_history(store, "staging")
    assert values(history) == expected(4, 5)
    assert set(history.left_out) == {f"{name(0)}/api", f"{name(1)}/api", name(2), f"{name(3)}/api", "copy"}
    assert "checksum" in history.left_out[f"{name(0)}/api"]
    assert f"that of staging/{name(4)}" in history.left_out["copy"]
    assert compact(store, "staging", least=1).taken_up == (name(4), name(5))
    assert set(open_history(store, "staging").left_out) == set(history.left_out)


def test_a_future_schema_is_named_and_an_old_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as later:
        later.setattr("storage.parquet.SCHEMA_VERSION", 99)
        made(store, 0)
    before = Store(tmp_path)

    def without_idle(rows: list[Measurement]) -> pa.Table:
        return measurements_table(rows).drop_columns(["idle"])

    with monkeypatch.context() as earlier:
        earlier.setattr("storage.runs.measurements_table", without_idle)
        made(before, 1)
    history = open_history(store, "staging")
    assert values(history) == expected(1)
    assert "schema version 99; this program reads 1" in history.left_out[f"{name(0)}/api"]


def test_a_deleted_run_is_named_and_comes_back_with_its_folder(tmp_path: Path) -> None:
    store = store_with(tmp_path, 3)
    compact(store, "staging", least=1)
    folder = tmp_path / ANALYSIS / "staging" / name(1)
    folder.rename(tmp_path / "elsewhere")
    history = open_history(store, "staging")
    assert values(history) == expected(0, 2)
    assert history.left_out[name(1)].endswith(f"{name(1)} is gone")
    (tmp_path / "elsewhere").rename(folder)
    assert values(open_history(store, "staging")) == expected(0, 1, 2)


def test_what_retention_removes_stays_in_history(tmp_path: Path) -> None:
    store = store_with(tmp_path, 3)
    unjudged = made(store, 3)
    store.remove(unjudged.orchestration("report.json"))
    problems = retire(store, "staging", [name(0), name(3)])
    assert problems == {name(3): "it was never judged"}
    remove_run(store, "staging", name(0))
    remove_run(store, "staging", name(3))
    history = open_history(store, "staging")
    assert values(history) == expected(0, 1, 2)
    assert history.left_out == {}


def test_a_run_under_way_counts_with_what_it_has_and_is_not_taken_up(tmp_path: Path) -> None:
    store = store_with(tmp_path, 2)
    announce(made(store, 2))
    folder = made(store, 3)
    store.remove(folder.orchestration("report.json"))
    assert compact(store, "staging", least=1).taken_up == (name(0), name(1))
    history = open_history(store, "staging")
    assert values(history) == expected(0, 1, 3)
    assert history.left_out == {name(2): f"run {name(2)} is being removed"}


def test_a_run_that_is_measured_again_is_read_anew(tmp_path: Path) -> None:
    store = store_with(tmp_path, 2)
    compact(store, "staging", least=1)
    folder = made(store, 2)
    compact(store, "staging", least=1)
    segments.mark_changed(folder)
    measure(folder, 2, [figure(METRIC, 555.0, 2)], attempt=2)
    judged(folder, 2, "fail", attempt=2)
    for _ in range(2):  # from its folder, then from the new segment
        history = open_history(store, "staging")
        assert values(history) == {**expected(0, 1), name(2): 555.0}
        assert [run.verdict for run in history.runs] == ["pass", "pass", "fail"]
        compact(store, "staging", least=1)
    assert open_history(store, "staging").loose == frozenset()
    assert segments.listing(store, "staging").changed == {}


def test_a_change_while_it_is_taken_up_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_with(tmp_path, 2)
    folder = made(store, 2)
    write = segments.write

    def changed_meanwhile(*given: object) -> str:
        segments.mark_changed(folder)
        measure(folder, 2, [figure(METRIC, 555.0, 2)], attempt=2)
        return write(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(segments, "write", changed_meanwhile)
    compact(store, "staging", least=1)
    assert values(open_history(store, "staging")) == {**expected(0, 1), name(2): 555.0}


class Crashing(Store):
    """A store whose process dies at its nth change."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self.left = after

    def _step(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1

    def create(self, name: str, content: bytes) -> bool:
        self._step()
        return super().create(name, content)

    def remove(self, name: str) -> None:
        self._step()
        super().remove(name)


def test_a_crash_between_any_two_steps_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.compaction.MOST_SEGMENTS", 3)
    ready = tmp_path / "ready"
    store = Store(ready)
    for number in range(4):
        folder = made(store, number)
        if number < 3:
            compact(store, "staging", least=1)
            monkeypatch.setattr("storage.compaction.MOST_SEGMENTS", 3)
    segments.mark_changed(folder)
    whole = expected(0, 1, 2, 3)
    for after in range(20):
        place = tmp_path / str(after)
        shutil.copytree(ready, place)
        try:
            compact(Crashing(place, after), "staging", least=1)
        except KeyboardInterrupt:
            crashed = True
        else:
            crashed = False
        assert values(open_history(Store(place), "staging")) == whole
        compact(Store(place), "staging", least=1)
        assert values(open_history(Store(place), "staging")) == whole
        if not crashed:
            break
    assert after > 4
    assert not crashed


def test_two_that_compact_at_once_and_a_reader_see_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.compaction.MOST_SEGMENTS", 2)
    store = store_with(tmp_path, 4)
    done = threading.Event()
    problems: list[BaseException] = []
    written = 4

    def compacting() -> None:
        try:
            while not done.is_set():
                compact(Store(tmp_path), "staging", least=1)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            problems.append(error)

    threads = [threading.Thread(target=compacting) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        made(store, written)
        written += 1
        try:
            assert values(open_history(store, "staging")) == expected(*range(written))
        except StorageError as error:
            assert "rewritten all the time" in str(error)  # noqa: PT017 - a busy moment is told, never a part
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert values(open_history(store, "staging")) == expected(*range(written))


class Ending(Store):
    """A store in which a run is measured and judged right after its folder was listed."""

    def names(self, folder: str) -> list[str]:
        found = super().names(folder)
        if folder.endswith(name(0)) and "api" not in found:
            run = RunFolder(Store(self.root), "staging", name(0))
            measure(run, 0, [figure(METRIC, 100.0, 0)])
            judged(run, 0, "pass")
        return found


def test_a_run_that_ends_while_it_is_read_is_not_taken_up_without_its_figures(tmp_path: Path) -> None:
    RunFolder(Store(tmp_path), "staging", name(0)).create(info(0), {})
    compact(Ending(tmp_path), "staging", least=1)
    assert values(open_history(Store(tmp_path), "staging")) == expected(0)
    assert compact(Store(tmp_path), "staging", least=1).taken_up == (name(0),)
    assert values(open_history(Store(tmp_path), "staging")) == expected(0)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "newer", "missing metadata"])
def test_a_damaged_segment_is_named_and_its_runs_come_from_their_folders(tmp_path: Path, damage: str) -> None:
    store = store_with(tmp_path, 3)
    compact(store, "staging", least=1)
    (path,) = (tmp_path / segments.HISTORY / "staging").glob("segment-*")
    content = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    elif damage == "truncated":
        path.write_bytes(content[:-10])
    else:
        table = pq.read_table(path)
        kept = (
            {} if damage == "missing metadata" else {**(table.schema.metadata or {}), b"hasivu_history_version": b"9"}
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(kept), sink)
        path.unlink()
        changed = sink.getvalue().to_pybytes()
        path = path.with_name(f"segment-{segments.checksum(changed)}.parquet")
        path.write_bytes(changed)
    history = open_history(store, "staging")
    assert values(history) == expected(0, 1, 2)
    assert list(history.left_out) == [path.name]
    assert path.name in history.left_out[path.name]
    compact(store, "staging", least=1)
    assert path.exists()


def test_a_clock_that_went_backwards_is_told(tmp_path: Path) -> None:
    store = store_with(tmp_path, 2)
    folder = made(store, 2)
    (attempt,) = folder.attempts()
    folder.write_attempt(attempt.model_copy(update={"judged": attempt.opened - timedelta(hours=1)}))
    made(store, 400)
    history = open_history(store, "staging", now=moment(3))
    assert values(history) == expected(0, 1, 2, 400)
    ahead, back = sorted(history.notes, key=lambda note: "backwards" in note)
    assert f"{name(400)} started at" in ahead
    assert back == f"{name(2)}: attempt 1 ended before it began: the machine's clock went backwards"


def test_the_rows_of_history_are_one_readable_parquet_file(tmp_path: Path) -> None:
    store = store_with(tmp_path, 2)
    compact(store, "staging", least=1)
    (path,) = (tmp_path / segments.HISTORY / "staging").glob("*.parquet")
    table = pq.read_table(path)
    assert table.column("value").to_pylist() == [100.0, 101.0]
    runs = json.loads((table.schema.metadata or {})[b"hasivu_runs"])
    assert [run["release"] for run in runs] == ["v0", "v0"]
    assert ComponentId(next(iter(runs[0]["components"]))) is ComponentId.API
    assert info(0).run == runs[0]["run"]
