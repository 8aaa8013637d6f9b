"""The cache component on a cluster, behind sentinels, with the fewest rights, and with writes of its own."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import SecretStr
from redis.cluster import RedisCluster

from deployments.config import RunConfig, Target, build_config
from storage.errors import NotMeasuredError
from storage.records import Measurement
from tasks.components.base import CollectContext, Progress, Samples
from tasks.components.cache import CACHE
from tasks.components.cache.collect import collect, plan_of
from tasks.load.recording.samples import endpoints, of_endpoint, statuses
from tasks.load.redis.probe import DONE, HIT, MISS
from tasks.load.redis.worker import ENDPOINTS
from tests.valkeys import Valkey, cluster, until, valkey, watched

CLUSTER = ("+cluster|slots", "+command")
ACL = Path(__file__).parents[2] / "docs" / "cache.md"


@dataclass
class Tables:
    kept: dict[str, pa.Table] = field(default_factory=dict)

    def write(self, name: str, table: pa.Table) -> None:
        self.kept[name] = table


@dataclass
class Seen:
    samples: Samples
    measured: list[Measurement]

    @property
    def notes(self) -> str:
        return "\n".join(self.samples.collected.notes)

    def own(self, metric: str) -> Measurement:
        return next(m for m in self.measured if m.metric == metric and not m.labels)


def config(duration_s: float = 4, **changes: str) -> RunConfig:
    overrides = {"duration_s": str(duration_s), "ramp_up_s": "1", "cache.probe_rate": "60", **changes}
    return build_config("development", overrides=overrides)


def measure(
    url: str, settings: RunConfig | None = None, *, write_share: float = 0.0, told: list[Progress] | None = None
) -> Seen:
    settings = settings or config()
    tables = Tables()
    context = CollectContext(
        settings, Target(redis_url=SecretStr(url)), tables, (told if told is not None else []).append
    )
    collected = collect(context, write_share=write_share)
    samples = Samples(tables.kept, collected)
    load = collected.load
    assert load is not None, collected.notes
    assert load.planned == load.sent + load.unsent
    assert load.sent == load.answered + sum(load.errors.values()) == tables.kept["samples"].num_rows
    return Seen(samples, CACHE.measure(samples, settings))


@contextmanager
def meanwhile(work: threading.Thread) -> Iterator[None]:
    work.start()
    try:
        yield
    finally:
        work.join(20)


def test_a_clusters_hits_are_those_of_all_its_nodes(tmp_path: Path) -> None:
    truth: Counter[bool] = Counter()

    def application() -> None:
        rng = random.Random(3)  # noqa: S311 - a simulation
        with RedisCluster(host="127.0.0.1", port=nodes[0].port) as client:
            for number in range(60):
                client.set(f"menu_item:{number}", "x", ex=600)
            until(lambda: all(node.calls("scan") > 2 for node in nodes))
            for _ in range(400):
                truth[client.get(f"menu_item:{rng.randrange(80)}") is not None] += 1

    with cluster(tmp_path) as nodes:
        with meanwhile(threading.Thread(target=application)):
            seen = measure(nodes[1].url, config(6))
        checks = CACHE.check(config(), Target(redis_url=SecretStr(nodes[0].url)))
    ratio = seen.own("cache.hits.ratio")
    assert (ratio.n, ratio.value) == (400, truth[True] / 400)
    assert seen.own("cache.latency.p95").value is not None
    assert seen.own("cache.client.p95").value is not None
    assert seen.samples.collected.fingerprint["primaries"] == "3"
    scanned = seen.samples.tables["scans"].filter(pc.field("family") == "menu_item").to_pylist()
    assert scanned[-1]["seen"] == 60
    assert len({one["marker"] for one in seen.samples.tables["keys"].to_pylist()}) > 10
    assert "refuse" not in seen.notes
    assert all(check.ok for check in checks), checks


def test_a_fail_over_behind_sentinels_is_survived_and_told(tmp_path: Path) -> None:
    with watched(tmp_path, "canary") as three:
        three.primary.run("SET", "rfid_card:RFID-00000001", "x")

        def fail() -> None:
            until(lambda: three.primary.calls("get") > 10)
            three.primary.end()

        url = f"redis+sentinel://:canary@127.0.0.1:{three.sentinel.port}/lunch"
        with meanwhile(threading.Thread(target=fail)):
            seen = measure(url, config(9, abort_error_ratio="1"))
        assert three.replica.calls("get") > 20
    assert "came to be in charge" in seen.notes
    assert "canary" not in seen.notes
    assert seen.own("cache.hits.ratio").value is None
    assert "another one answers" in seen.own("cache.hits.ratio").note
    load = seen.samples.collected.load
    assert load is not None
    assert sum(load.errors.values()) > 0


# --- rights ---


def rights() -> list[str]:
    """The rules that docs/cache.md lists for a user who only reads, one by one."""
    line = re.search(r"ACL SETUSER hasivu-perf on >\S+ %R~\* -@all ((?:\+\S+ ?)+)", ACL.read_text(encoding="utf-8"))
    assert line is not None
    return line[1].split()


def login(server: Valkey, *rules: str) -> str:
    server.run("ACL", "SETUSER", "probe", "reset", "on", ">canary", "-@all", *rules)
    return f"redis://probe:canary@127.0.0.1:{server.port}/0"


def test_the_documented_rights_are_enough_and_each_is_needed(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        for number in range(1, 30):
            server.run("SET", f"rfid_card:RFID-{number:08d}", "x")
        url = login(server, "%R~*", *rights())
        seen = measure(url, config(3))
        assert "refuse" not in seen.notes
        assert seen.samples.collected.load_plan["access_times_untouched"] == "yes"
        for rule in rights():
            one_less = login(server, "%R~*", *(other for other in rights() if other != rule))
            checks = CACHE.check(config(), Target(redis_url=SecretStr(one_less)))
            assert [check.remedy.split()[1] for check in checks if not check.ok] == [rule]


def test_a_clusters_map_is_needed_and_its_right_is_named(tmp_path: Path) -> None:
    with cluster(tmp_path) as nodes:
        for node in nodes:
            login(node, "%R~*", *rights(), *CLUSTER)
        url = f"redis://probe:canary@127.0.0.1:{nodes[2].port}/0"
        seen = measure(url, config(3))
        assert "refuse" not in seen.notes
        for node in nodes:
            login(node, "%R~*", *rights())
        with pytest.raises(NotMeasuredError, match=r"\+cluster\|slots"):
            measure(url)


def test_a_user_who_may_not_get_is_told_what_to_grant(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        url = login(server, "%R~*", *(rule for rule in rights() if rule != "+get"))
        seen = measure(url, config(2))
    assert seen.own("cache.latency.p95").value is None
    assert re.search(
        r"refused \d+ calls of the probe \(NOPERM\): grant its user what docs/cache.md lists", seen.notes
    )


# --- writes ---


def all_keys(server: Valkey) -> dict[str, str]:
    with server.client() as client:
        return {str(key): str(client.get(key)) for key in client.scan_iter(count=1000)}


def test_nothing_is_written_unless_it_was_asked_for_and_is_allowed(tmp_path: Path) -> None:
    settings = config(2)
    reading = settings.environment.model_copy(update={"writes": False})
    with valkey(tmp_path) as server:
        measure(server.url, settings)
        assert server.calls("set") == server.calls("del") == 0
        url = SecretStr(server.url)
    assert settings.environment.writes
    assert plan_of(settings.environment, url, 0.5).write_share == 0.5
    assert plan_of(reading, url, 0.5).write_share == 0.0


def test_writes_touch_own_keys_alone_and_leave_none(tmp_path: Path) -> None:
    seen_own: set[str] = set()
    written: list[list[str]] = []

    def look() -> None:
        with server.client() as client:
            while server.calls("del") < 64:
                seen_own.update(str(key) for key in client.scan_iter("hasivu-perf:*", count=1000))
                time.sleep(0.005)

    with valkey(tmp_path) as server:
        for number in range(200):
            server.run("SET", f"menu_item:{number}", str(number))
        before = all_keys(server)
        sets = server.calls("set")
        with monitored(server, written), meanwhile(threading.Thread(target=look)):
            seen = measure(server.url, write_share=0.5)
        assert all_keys(server) == before
        rows = seen.samples.tables["samples"]
        assert endpoints(rows) == sorted(ENDPOINTS)
        assert server.calls("set") - sets == seen_of(rows, "SET raw") + seen_of(rows, "SET redis-py")
    assert seen_own
    assert all(re.fullmatch(r"hasivu-perf:probe:[0-9a-f]{16}:\d+", key) for key in seen_own)
    assert written
    assert {words[1].rpartition(":")[0] for words in written} == {key.rpartition(":")[0] for key in seen_own}
    assert {words[0] for words in written} == {"SET", "DEL"}
    assert {tuple(words[3:]) for words in written if words[0] == "SET"} == {("PX", "60000")}
    assert set(statuses(rows)) <= {HIT, MISS, DONE}
    assert seen.own("cache.hits.ratio").value is None
    assert "nobody but this tool" in seen.own("cache.hits.ratio").note
    families = set(seen.samples.tables["scans"].column("family").to_pylist())
    assert not [name for name in families if str(name).startswith("hasivu")]


def seen_of(rows: pa.Table, endpoint: str) -> int:
    return of_endpoint(rows, endpoint).num_rows


@contextmanager
def monitored(server: Valkey, written: list[list[str]]) -> Iterator[None]:
    """Every command that writes, as the server itself saw it."""
    stop = threading.Event()

    def listen() -> None:
        with server.client() as client, client.monitor() as monitor:
            ready.set()
            while True:
                words = monitor.next_command()["command"].split()
                if words[:1] == ["PING"] and stop.is_set():
                    return
                if words[0] in ("SET", "DEL", "EXPIRE", "FLUSHALL", "UNLINK", "GETEX", "GETDEL"):
                    written.append(words)

    ready = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(5)
    try:
        yield
    finally:
        stop.set()
        server.run("PING")
        thread.join(5)


def test_a_stop_leaves_no_key_either(tmp_path: Path) -> None:
    """Told by the context's progress, which is how a run is stopped: the probe is given up in the middle."""

    class Stopped(Exception):  # noqa: N818 - what a cancellation looks like here
        pass

    def stop(_: Progress) -> None:
        if server.calls("set") > 5:
            raise Stopped

    with valkey(tmp_path) as server:
        target = Target(redis_url=SecretStr(server.url))
        context = CollectContext(config(20, **{"cache.probe_rate": "100"}), target, Tables(), stop)
        with pytest.raises(Stopped):
            collect(context, write_share=1.0)
        assert server.calls("set") > 5
        assert all_keys(server) == {}


def test_writes_in_a_cluster_are_cleaned_up_on_each_node(tmp_path: Path) -> None:
    with cluster(tmp_path) as nodes:
        seen = measure(nodes[0].url, config(3), write_share=1.0)
        assert all(node.calls("set") for node in nodes)
        assert all(all_keys(node) == {} for node in nodes)
    assert "may be left" not in seen.notes


def test_keys_of_no_configured_range_are_found_by_scan(tmp_path: Path) -> None:
    families = '[{name = "menu", pattern = "menu:*"}]'
    with valkey(tmp_path) as server:
        for number in range(50):
            server.run("SET", f"menu:{number}", "x")
        server.run("LPUSH", "queue", "x")
        seen = measure(server.url, config(2, **{"cache.families": families}))
    assert set(statuses(seen.samples.tables["samples"])) == {1}
    assert "asks for 50 keys that SCAN found" in seen.notes
