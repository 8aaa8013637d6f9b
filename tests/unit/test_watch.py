"""The watch's judgement on recorded moments: windows, targets, alerts that begin and end once, names, the address."""

from __future__ import annotations

import io
import re
import socket
import struct
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from deployments.config import load_thresholds
from storage.errors import TargetUnreachableError, UsageError
from storage.parquet import Store
from storage.records import Collected, ComponentId, Measurement, Unit, Window
from storage.runs import RunFolder
from tasks.monitoring.watch import names
from tasks.monitoring.watch.alarm import Alarm, Alert
from tasks.monitoring.watch.board import Board
from tasks.monitoring.watch.exporter import BoardCollector, Exporter, place_of, registry_of
from tasks.monitoring.watch.memory import Memory
from tasks.monitoring.watch.outbox import Outbox
from tasks.monitoring.watch.probe import Looked, Runner
from tasks.monitoring.watch.probes.api import area_of
from tasks.monitoring.watch.probes.runs import RunsProbe
from tasks.monitoring.watch.rules import PARTS, rules
from tasks.monitoring.watch.view import View
from tasks.monitoring.watch.window import Counters, Samples
from tasks.publish import write_report
from tasks.report.build import build
from tests.report_example import WEIGHTS, info, measurement
from tests.report_example import measured as measured_component

THRESHOLDS, _ = load_thresholds()
BEGIN = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
WINDOW = Window(start=BEGIN, end=BEGIN + timedelta(minutes=2))


def measured(metric: str, value: float | None, unit: Unit = Unit.RATIO) -> Measurement:
    note = "" if value is not None else "no data: nobody asked"
    return Measurement(metric=metric, value=value, unit=unit, n=60, source="a test", window=WINDOW, note=note)


# --- windows ---


def test_a_percentile_speaks_of_its_window_alone_and_needs_enough_answers() -> None:
    samples = Samples(100.0)
    for second in range(200):
        samples.add(float(second), 1000.0 if second < 90 else 10.0)
    found = samples.p95("api.latency.p95", WINDOW, "a test")
    assert (found.value, found.n) == (10.0, 101)
    few = Samples(100.0)
    for second in range(19):
        few.add(float(second), 10.0)
    assert few.p95("api.latency.p95", WINDOW, "a test").value is None


def test_what_failed_counts_as_failed_and_not_as_fast() -> None:
    samples = Samples(100.0)
    for second in range(50):
        samples.add(float(second), None if second % 10 == 0 else 20.0)
    errors = samples.failures("api.errors.ratio", WINDOW, "a test")
    assert (errors.value, errors.n) == (0.1, 50)
    assert samples.p95("api.latency.p95", WINDOW, "a test").n == 45


def test_counters_that_fall_begin_anew() -> None:
    counters = Counters(60.0)
    counters.add(0.0, {"hits": 100})
    counters.add(30.0, {"hits": 150})
    assert counters.gained("hits") == 50
    counters.add(40.0, {"hits": 5})
    assert counters.gained("hits") == 0
    for second in range(50, 150, 10):
        counters.add(float(second), {"hits": 5 + second})
    assert counters.spans == 60.0
    assert counters.gained("hits") == 60.0


# --- targets ---


def test_one_miss_is_no_outage_and_an_outage_counts_once() -> None:
    board = Board(["api"])
    seen = []
    for second, problem in enumerate(["", "gone", "", "gone", "gone", "gone", "", ""]):
        back = board.ended("api", problem, float(second))
        seen.append((board.targets()["api"].up, back))
    assert [up for up, _ in seen] == [True, True, True, True, False, False, True, True]
    assert [back for _, back in seen].index(True) == 6
    assert board.targets()["api"].outages == 1


def test_a_look_that_hangs_is_a_target_that_does_not_answer() -> None:
    board = Board(["api"])
    board.ended("api", "", 0.0)
    board.begins("api", 10.0)
    target = board.targets()["api"]
    assert target.answers(9.0) is True
    assert target.answers(11.0) is False


# --- alerts ---


class Story:
    """A watch's alarm, told second by second what is known."""

    def __init__(self) -> None:
        self.board = Board(list(PARTS))
        self.alarm = Alarm("staging", rules(THRESHOLDS, list(PARTS)))
        self.now = 0.0
        self.told: list[Alert] = []

    def pass_by(self, seconds: int, values: dict[str, float | None] | None = None, down: Sequence[str] = ()) -> None:
        for _ in range(seconds):
            self.now += 1
            for target in PARTS:
                self.board.ended(target, "gone" if target in down else "", self.now)
            self.board.put([measured(metric, value) for metric, value in (values or {}).items()], self.now)
            at = BEGIN + timedelta(seconds=self.now)
            self.told += self.alarm.evaluate(self.board.targets(), self.board.known(), self.now, at)

    def events(self) -> list[tuple[str, str]]:
        return [(one.event, one.alert) for one in self.told]


LOW = "HasivuCacheHitsRatioLowWarning"


def test_an_alert_begins_after_its_time_and_is_told_once_when_it_begins_and_when_it_ends() -> None:
    story = Story()
    story.pass_by(599, {"cache.hits.ratio": 0.5})
    assert story.told == []
    assert story.alarm.pending(LOW)
    story.pass_by(3000, {"cache.hits.ratio": 0.5})
    assert story.events() == [("firing", LOW)]
    story.pass_by(59, {"cache.hits.ratio": 0.95})
    assert story.events() == [("firing", LOW)]
    story.pass_by(600, {"cache.hits.ratio": 0.95})
    assert story.events() == [("firing", LOW), ("resolved", LOW)]
    began, ended = story.told
    assert began.incident == ended.incident
    assert began.words == "Cache hit ratio: 50 %, below 90 % for 600 s, n = 60"
    assert (began.value, began.limit, began.n, began.source) == (0.5, 0.9, 60, "a test")


def test_a_short_dip_tells_nothing_and_one_that_flaps_is_one_incident() -> None:
    story = Story()
    for _ in range(10):
        story.pass_by(590, {"cache.hits.ratio": 0.5})
        story.pass_by(1, {"cache.hits.ratio": 0.95})
    assert story.told == []
    story.pass_by(601, {"cache.hits.ratio": 0.5})
    for _ in range(20):
        story.pass_by(30, {"cache.hits.ratio": 0.95})
        story.pass_by(30, {"cache.hits.ratio": 0.5})
    assert story.events() == [("firing", LOW)]


class Kept:
    """Stories of one environment, each a watch that was started again with what the last one left."""

    def __init__(self, path: Path) -> None:
        self.path, self.story, self.told = path, Story(), list[Alert]()

    def restart(self, *, targets: Sequence[str] = tuple(PARTS)) -> Memory:
        memory = Memory(self.path, "staging")
        now, self.story = self.story.now, Story()
        self.story.now = now
        self.story.alarm = Alarm("staging", rules(THRESHOLDS, list(targets)))
        self.story.alarm.restore(memory.firing)
        return memory

    def pass_by(
        self, memory: Memory, seconds: int, values: dict[str, float | None], down: Sequence[str] = ()
    ) -> None:
        self.story.pass_by(seconds, values, down)
        self.told += self.story.told
        self.story.told = []
        memory.keep(self.story.alarm.since)
        memory.close()

    def events(self) -> list[tuple[str, str]]:
        return [(one.event, one.alert) for one in self.told]


def test_an_incident_that_outlives_the_watch_is_told_once_and_ends_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "state" / "watch.json")
    kept.pass_by(kept.restart(), 1900, {"cache.hits.ratio": 0.2}, down=["api"])
    assert sorted(kept.events()) == sorted([("firing", LOW), ("firing", "HasivuApiDown")])
    first = {one.alert: one.incident for one in kept.told}
    kept.pass_by(kept.restart(), 1900, {"cache.hits.ratio": 0.2}, down=["api"])  # it lasts: no second page
    assert len(kept.told) == 2
    kept.pass_by(kept.restart(), 100, {"cache.hits.ratio": 0.9})  # it ended while nobody watched
    assert sorted(kept.events()[2:]) == sorted([("resolved", LOW), ("resolved", "HasivuApiDown")])
    assert {one.alert: one.incident for one in kept.told[2:]} == first, "a receiver pairs them"
    kept.pass_by(kept.restart(), 1900, {"cache.hits.ratio": 0.2})
    assert kept.events()[4:] == [("firing", LOW)], "the next incident is a new one"
    assert kept.told[4].incident != first[LOW]


def test_a_watch_of_other_parts_leaves_the_alerts_of_the_rest_alone(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "watch.json")
    kept.pass_by(kept.restart(), 30, {}, down=["api"])
    memory = kept.restart(targets=["cache"])
    assert set(kept.story.alarm.since) == {"HasivuApiDown"}
    memory.keep(kept.story.alarm.since)
    memory.close()
    kept.pass_by(kept.restart(), 5, {})
    assert kept.events() == [("firing", "HasivuApiDown"), ("resolved", "HasivuApiDown")]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 2, "environment": "staging", "firing": {}}']
)
def test_a_damaged_memory_is_told_and_costs_no_watch(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "watch.json"
    path.write_bytes(content)
    memory = Memory(path, "staging")
    assert memory.firing == {}
    assert "begin anew" in memory.note
    memory.keep({LOW: BEGIN})
    memory.close()
    again = Memory(path, "staging")
    assert (again.firing, again.note) == ({LOW: BEGIN}, "")
    assert "another watch has" in Memory(path, "staging").note
    again.close()
    assert path.stat().st_mode & 0o077 == 0
    other = Memory(path, "production")
    assert (other.firing, "of another environment" in other.note) == ({}, True)
    other.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["watch.json", "watch.lock"]


def test_a_value_at_its_limit_is_within_it() -> None:
    story = Story()
    story.pass_by(5000, {"cache.hits.ratio": 0.90, "api.errors.ratio": 0.01, "lambda.memory.efficiency": 0.9})
    assert story.told == []


def test_a_target_that_is_down_is_the_only_incident() -> None:
    story = Story()
    story.pass_by(10, {"api.errors.ratio": 0.0})
    story.pass_by(1200, {"api.errors.ratio": 1.0}, down=["api"])
    assert story.events() == [("firing", "HasivuApiDown")]
    story.pass_by(100, {"api.errors.ratio": 0.0})
    assert story.events() == [("firing", "HasivuApiDown"), ("resolved", "HasivuApiDown")]
    assert story.told[0].words == "the API does not answer: gone"


def test_what_is_not_measured_neither_begins_nor_ends_an_alert() -> None:
    story = Story()
    story.pass_by(601, {"cache.hits.ratio": 0.5})
    story.pass_by(1000, {"cache.hits.ratio": None})
    assert story.events() == [("firing", LOW)]
    quiet = Story()
    quiet.pass_by(5000, {"cache.hits.ratio": None})
    assert quiet.told == []


def test_the_seeds_alerts_are_all_there_with_their_limits() -> None:
    found = {
        (rule.threshold.metric, rule.above, rule.limit, rule.severity)
        for rule in rules(THRESHOLDS, list(PARTS))
        if rule.threshold
    }
    assert found == {
        ("api.latency.p95", True, 500, "critical"),
        ("api.errors.ratio", True, 0.01, "critical"),
        ("database.pool.utilisation", True, 0.85, "critical"),
        ("lambda.cold_start.p95", True, 3000, "critical"),
        ("cache.hits.ratio", False, 0.90, "warning"),
        ("lambda.memory.efficiency", True, 0.90, "warning"),
        ("lambda.memory.efficiency", False, 0.30, "warning"),
        ("rfid.throughput", False, 200, "warning"),
    }


# --- /metrics ---


@pytest.mark.parametrize(
    ("metric", "unit", "name"),
    [
        ("api.latency.p95", Unit.MS, "hasivu_api_latency_p95_seconds"),
        ("api.errors.ratio", Unit.RATIO, "hasivu_api_errors_ratio"),
        ("database.pool.utilisation", Unit.RATIO, "hasivu_database_pool_utilisation_ratio"),
        ("rfid.throughput", Unit.PER_SECOND, "hasivu_rfid_throughput_per_second"),
    ],
)
def test_names_are_prometheus_names_in_base_units(metric: str, unit: Unit, name: str) -> None:
    assert names.exported_name(metric, unit) == name


def exported(board: Board) -> dict[str, list[Any]]:
    alarm = Alarm("staging", rules(THRESHOLDS, list(PARTS)))
    shown = BoardCollector("staging", "1", board, alarm, {one.metric: one for one in THRESHOLDS})
    exporter = Exporter(registry_of(shown), ("127.0.0.1", 0), None)
    try:
        text = httpx.get(f"http://127.0.0.1:{exporter.port}/metrics", trust_env=False).text
    finally:
        exporter.close()
    return {family.name: family.samples for family in text_string_to_metric_families(text)}


def test_a_value_is_exported_in_its_base_unit_and_one_that_is_missing_not_at_all() -> None:
    board = Board(list(PARTS))
    board.put([measured("api.latency.p95", 420.0, Unit.MS), measured("cache.hits.ratio", None)])
    board.ended("api", "")
    found = exported(board)
    (latency,) = found["hasivu_api_latency_p95_seconds"]
    assert (latency.value, latency.labels) == (0.42, {"environment": "staging"})
    assert found["hasivu_cache_hits_ratio"] == []
    measured_ = {one.labels["metric"]: one.value for one in found["hasivu_measured"]}
    assert measured_ == {"api.latency.p95": 1.0, "cache.hits.ratio": 0.0}
    assert [(one.labels["target"], one.value) for one in found["hasivu_target_up"]] == [("api", 1.0)]
    assert set(found) - {"process_open_fds", "process_max_fds", "process_virtual_memory_bytes"} <= {
        name.removesuffix("_total") for name in names.series_names(THRESHOLDS)
    } | {"process_start_time_seconds"}


def test_a_token_is_needed_where_one_is_set() -> None:
    exporter = Exporter(registry_of(), ("127.0.0.1", 0), "c4nary" * 4)
    url = f"http://127.0.0.1:{exporter.port}/metrics"
    try:
        assert httpx.get(url, trust_env=False).status_code == 401
        assert httpx.get(url, headers={"authorization": "Bearer wrong"}, trust_env=False).status_code == 401
        good = httpx.get(url, headers={"authorization": f"Bearer {'c4nary' * 4}"}, trust_env=False)
        assert "process_cpu_seconds_total" in good.text
        assert "c4nary" not in good.text
        assert httpx.get(f"{url}x", headers=good.request.headers, trust_env=False).status_code == 404
    finally:
        exporter.close()


def test_a_reader_that_goes_away_is_no_news_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    exporter = Exporter(registry_of(), ("127.0.0.1", 0), None)
    for content in (b"GET /metrics HTTP/1.0\r\n\r\n" * 2000, b"nonsense\r\n\r\n", b""):
        with socket.create_connection(("127.0.0.1", exporter.port)) as reader:
            reader.sendall(content)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset, not closed
    assert httpx.get(f"http://127.0.0.1:{exporter.port}/-/healthy", trust_env=False).text == "ok\n"
    time.sleep(0.3)
    exporter.close()
    assert capfd.readouterr().err == ""


def test_an_address_that_others_reach_needs_a_token() -> None:
    assert place_of("127.0.0.1:9464", None) == ("127.0.0.1", 9464)
    assert place_of("[::1]:1", None) == ("::1", 1)
    assert place_of("10.0.0.1:9464", "x" * 16) == ("10.0.0.1", 9464)
    for open_to_others in ("10.0.0.1:80", "[::]:80", "perf.example:80"):
        with pytest.raises(UsageError, match="HASIVU_WATCH_TOKEN"):
            place_of(open_to_others, "short")
    with pytest.raises(UsageError, match="HOST:PORT"):
        place_of("9464x", None)


# --- stored runs ---


def stored(output: Path, age_h: float, throughput: float, **settings: str) -> None:
    """A run of so many hours ago, of some of the components where `settings` say so."""
    end = datetime.now(UTC) - timedelta(hours=age_h)
    over = Window(start=end - timedelta(seconds=30), end=end)
    run = f"{end:%Y%m%dT%H%M%SZ}-abcdef"
    about = info(run=run, started=over.start, settings=settings)
    found = measurement("rfid.throughput", throughput, window=over)
    readers = measured_component(ComponentId.RFID, found, collected=Collected(window=over))
    folder = RunFolder(Store(output), "staging", run)
    folder.create(about, {})
    write_report(folder, build(about, [readers], THRESHOLDS, WEIGHTS))


def test_readers_are_as_the_newest_run_found_them_and_the_score_is_that_of_a_whole_run(tmp_path: Path) -> None:
    probe = RunsProbe("staging", str(tmp_path), every_s=1)
    assert [one.value for one in probe.look(0.0).measurements] == [None, None]
    stored(tmp_path, 40, 900.0)
    assert probe.look(0.0).measurements[0].value is None, "too old to say how it is today"
    stored(tmp_path, 10, 400.0)
    stored(tmp_path, 1, 150.0, components="rfid")
    looked = probe.look(0.0)
    assert (looked.measurements[0].value, looked.problem) == (150.0, "")
    assert looked.measurements[0].source.startswith("run ")
    (began,) = looked.figures["hasivu_run_timestamp_seconds"].values()
    assert abs(time.time() - began - 10 * 3600) < 120


def test_a_damaged_report_is_told_and_not_passed_over(tmp_path: Path) -> None:
    stored(tmp_path, 1, 400.0)
    (report,) = tmp_path.rglob("report.json")
    report.write_text("{")
    with pytest.raises(TargetUnreachableError, match=r"report\.json"):
        RunsProbe("staging", str(tmp_path), every_s=1).look(0.0)


# --- the terminal ---


def shown(**options: Any) -> str:
    board = Board(["api", "cache"])
    board.put([measured("api.latency.p95", 812.0, Unit.MS), measured("cache.hits.ratio", None)])
    board.ended("api", "")
    for _ in range(2):
        board.ended("cache", "gone")
    alarm = Alarm("staging", rules(THRESHOLDS, ["api", "cache"]))
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=options.pop("encoding", "utf-8"))
    with View(board, alarm, THRESHOLDS, Console(file=stream, **options)) as view:
        view.say("critical: \x1b[31mAPI response time", "critical")
        if view.live:
            view._live.update(view._screen(), refresh=True)  # type: ignore[union-attr]
        else:
            view.say(view.plain())
    stream.flush()
    return raw.getvalue().decode(stream.encoding)


def test_the_table_shows_value_samples_limit_and_state_and_what_is_not_measured() -> None:
    text = shown(force_terminal=True, width=140, color_system=None)
    assert "✓ api" in text
    assert "✗ cache" in text
    assert re.search(r"api\.latency\.p95 +812 ms +n = 60 in 120 s +> 500 ms", text)
    assert re.search(r"cache\.hits\.ratio +not measured +nobody asked +< 90 %", text)
    assert "\x1b[31m" not in text


def test_without_a_terminal_there_are_plain_lines() -> None:
    text = shown(force_terminal=False, width=500)
    assert "api.latency.p95 812 ms · no answer: the cache · no alert" in text
    assert "\x1b" not in text


def test_a_narrow_terminal_without_unicode_is_served_too() -> None:
    text = shown(force_terminal=True, width=40, color_system=None, encoding="ascii")
    assert "+ api" in text
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).splitlines()) <= 40


# --- threads ---


class Flaky:
    """A probe whose looks are told beforehand."""

    target, every_s, limit_s = "api", 0.01, 1.0

    def __init__(self, *problems: str) -> None:
        self.problems = list(problems)
        self.backs = 0
        self.done = threading.Event()

    def look(self, now: float) -> Looked:
        if not self.problems:
            self.done.set()
            return Looked()
        problem = self.problems.pop(0)
        if problem == "mistake":
            raise KeyError("c4nary")
        return Looked(problem=problem)

    def back(self) -> None:
        self.backs += 1

    def close(self) -> None:
        pass


def test_a_probe_is_told_when_its_target_is_back() -> None:
    probe, board = Flaky("", "gone", "gone", "gone", ""), Board(["api"])
    runner = Runner(probe, board, repr)
    runner.start()
    assert probe.done.wait(10)
    runner.stop()
    runner.join(5)
    assert (probe.backs, board.targets()["api"].up) == (1, True)


def test_a_mistake_of_a_probe_is_kept_for_whoever_waits() -> None:
    runner = Runner(Flaky("mistake"), Board(["api"]), lambda error: type(error).__name__)
    runner.start()
    runner.join(5)
    assert runner.error == "KeyError"


def test_a_message_is_sent_again_until_it_arrives_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.monitoring.watch.outbox._DELAYS_S", (0.01,))
    got: list[int] = []
    tries: list[int] = []

    def send(number: int) -> None:
        tries.append(number)
        if len(tries) < 4:
            raise OSError
        got.append(number)

    outbox = Outbox(send, "nobody")
    outbox(1)
    outbox(2)
    until = time.monotonic() + 10
    while len(got) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    outbox.close(5)
    assert (got, tries, outbox.lost) == ([1, 2], [1, 1, 1, 1, 2], 0)


@pytest.mark.parametrize(
    ("path", "area"),
    [
        ("/orders/{orderId}", "orders"),
        ("/api/v1/mobile/tracking/orders/{id}", "mobile"),
        ("/", "root"),
        ("/health", "health"),
    ],
)
def test_the_area_of_a_path_is_its_first_word(path: str, area: str) -> None:
    assert area_of(path) == area
