"""The HTTP load engine against servers whose behaviour is known: every request is counted, and timed truly."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from deployments.config import Endpoint, ValueRange
from deployments.load import Load
from storage.errors import NotMeasuredError
from tasks.load.http_load import HttpPlan, HttpRun, run_http, schedule_stage, search_stage
from tasks.load.mix import endpoint_plan
from tasks.load.recording import samples
from tasks.load.schedule import Jitter, Phase
from tasks.load.wire.address import parse, probe
from tests.load_faults import BROKEN, ENDLESS
from tests.load_servers import Answer, Received, reply, serving

OPENSSL = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
NAMES = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
LOAD = Load(users=1, duration_s=10, ramp_up_s=1, max_rate=1000, abort_after_s=60)


def run(
    port: int,
    rate: float,
    seconds: float,
    *,
    scheme: str = "http",
    host: str = "127.0.0.1",
    timeout_s: float = 5,
    endpoints: Sequence[Endpoint] = (Endpoint(path="/a"),),
    values: dict[str, ValueRange] | None = None,
    load: Load = LOAD,
    connections: int = 256,
    jitter: Jitter = "none",
) -> HttpRun:
    return run_http(
        HttpPlan(
            url=f"{scheme}://{host}:{port}",
            variable="TEST_API_URL",
            endpoints=[endpoint_plan(endpoint) for endpoint in endpoints],
            values=values or {},
            stages=[schedule_stage([Phase("steady", rate, rate, seconds)], range(len(endpoints)), jitter=jitter)],
            load=load,
            timeout_s=timeout_s,
            max_connections=connections,
        )
    )


def after(delay_s: float, every: int = 0, other_s: float = 0) -> Answer:
    """Answer after a delay, each `every`-th request after another one."""

    async def answer(received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        slow = every and received.requests % every == 0
        await asyncio.sleep(other_s if slow else delay_s)
        writer.write(reply())

    return answer


def test_planted_delays_come_out_as_percentiles() -> None:
    took: list[float] = []
    planted = after(0.02, every=50, other_s=0.2)

    async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        begun = time.monotonic()
        await planted(received, target, body, writer)
        took.append(1e3 * (time.monotonic() - begun))

    with serving(answer) as server:
        found = run(server.port, 200, 3)
    latency = samples.latency_ms(found.table)
    assert server.requests == found.table.num_rows == found.facts["planned"] == 600
    # 2 % of the requests take 200 ms: p50 and p95 are 20 ms, p99 200 ms. What the server took longer on a busy
    # machine it knows itself; the noise of the machine comes on top.
    truths = {0.50: 20, 0.95: 20, 0.99: 200}
    for q, truth in truths.items():
        value = samples.percentile(latency, q)
        assert value is not None
        known = samples.percentile(np.array(took), q)
        assert known is not None
        assert truth <= value <= known + 25


def test_a_stall_shows_in_the_tail_since_latency_counts_from_the_intended_moment() -> None:
    stall: dict[str, float] = {}

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        begun = stall.setdefault("begun", time.monotonic())
        since = time.monotonic() - begun
        if 1 <= since < 3:  # the whole server stands still from second 1 to second 3
            await asyncio.sleep(3 - since)
        await asyncio.sleep(0.005)
        writer.write(reply())

    with serving(answer) as server:
        found = run(server.port, 200, 6, connections=512)
    latency = samples.latency_ms(found.table)
    assert server.requests == found.table.num_rows == 1200
    # Analytic truth: a third of the arrivals meets the stall and waits for what is left of it, uniformly 0..2 s.
    waits = np.concatenate([np.full(800, 5.0), np.linspace(0, 2000, 400) + 5])
    # The margins hold the 400 answers that the server writes at once when it goes on; a closed model would say 5 ms.
    for q, margin in ((0.50, 15), (0.95, 250), (0.99, 250)):
        value, truth = samples.percentile(latency, q), samples.percentile(waits, q)
        assert value is not None
        assert truth is not None
        assert abs(value - truth) <= margin


def test_every_request_is_counted_by_endpoint_and_weight() -> None:
    endpoints = (Endpoint(path="/a/{n}", weight=3), Endpoint(method="POST", path="/b", body={"n": "{n}"}))
    with serving(after(0)) as server:
        found = run(
            server.port,
            300,
            2,
            endpoints=endpoints,
            values={"n": ValueRange(template="{n}", first=1, last=5)},
            jitter="poisson",
        )
    assert server.requests == found.table.num_rows == 600
    posts = samples.of_endpoint(found.table, "POST /b").num_rows
    assert server.targets["POST /b"] == posts
    assert sum(server.targets.values()) - posts == samples.of_endpoint(found.table, "GET /a/{n}").num_rows
    assert 110 <= posts <= 190
    assert {target for target in server.targets if target.startswith("GET")} == {f"GET /a/{n}" for n in range(1, 6)}


def test_times_are_in_order_and_in_the_window() -> None:
    with serving(after(0.001)) as server:
        found = run(server.port, 100, 1)
    rows = found.table.to_pylist()
    for row in rows:
        assert row["intended_ns"] <= row["taken_ns"] <= row["sent_ns"] <= row["received_ns"]
    assert found.window.start.timestamp() * 1e9 <= rows[0]["intended_ns"] + 1e6
    assert abs(time.time() - found.window.end.timestamp()) < 10


def test_connections_are_used_again_and_closed_ones_are_not() -> None:
    with serving(after(0)) as server:
        kept = run(server.port, 100, 1)
    assert server.connections <= 20
    assert kept.facts["connects"] <= 20

    async def closing(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(head="Connection: close\r\n"))
        await writer.drain()
        writer.close()

    with serving(closing) as server:
        found = run(server.port, 100, 1)
    assert samples.counts(found.table)["answered"] == 100 == server.connections - 1  # the look before the load


def test_each_way_to_break_an_answer_has_its_kind() -> None:
    async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        await BROKEN[target.removeprefix("GET /")][0](received, target, body, writer)

    with serving(answer) as server:
        found = run(server.port, 100, 2, endpoints=[Endpoint(path=f"/{way}") for way in BROKEN])
    for way, (_, kind) in BROKEN.items():
        rows = samples.of_endpoint(found.table, f"GET /{way}")
        assert samples.errors_by_kind(rows) == {kind: rows.num_rows}, way
        assert rows.num_rows == server.targets[f"GET /{way}"] > 0
    assert server.requests == 200


def test_what_never_ends_is_cut_off_and_memory_stays_bounded() -> None:
    async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        await ENDLESS[target.removeprefix("GET /")](received, target, body, writer)

    with serving(answer) as server:
        begun = time.monotonic()
        found = run(server.port, 20, 1, endpoints=[Endpoint(path=f"/{way}") for way in ENDLESS], timeout_s=10)
        took = time.monotonic() - begun
    # 20 answers that would fill 320 MB if they were kept; the interpreter with its libraries takes 100 to 200 MB.
    assert samples.errors_by_kind(found.table).keys() == {"body_too_large", "head_too_large"}
    assert found.table.num_rows == 20
    assert max(share["rss_mb"] for share in found.facts["shares"]) < 300
    assert took < 25


def test_a_length_that_is_too_long_is_an_error_and_one_too_short_costs_the_connection() -> None:
    def told(length: int) -> Answer:
        async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello" % length)

        return answer

    with serving(told(9)) as server:
        longer = run(server.port, 20, 0.5, timeout_s=0.5)
    assert samples.errors_by_kind(longer.table) == {"timeout": 10}  # four bytes never come
    with serving(told(2)) as server:
        shorter = run(server.port, 20, 0.5)
        assert server.connections == shorter.facts["connects"] + 1  # the look before the load
    assert shorter.facts["connects"] == shorter.table.num_rows == 10


def test_chunked_and_close_delimited_answers_are_whole() -> None:
    async def chunked(received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        if received.requests % 2:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
            await asyncio.sleep(0.005)
            writer.write(b"lo\r\n0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
            writer.close()

    with serving(chunked) as server:
        found = run(server.port, 40, 1)
    assert samples.counts(found.table) == {"sent": 40, "answered": 40, "failed": 0, "errors": 0}
    assert set(found.table.column("bytes").to_pylist()) == {5}


def test_unexpected_statuses_are_answers_that_failed_and_a_redirect_is_not_followed() -> None:
    async def answer(received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        status = (200, 302, 500, 404)[received.requests % 4]
        writer.write(reply(status, head="Location: http://127.0.0.1:1/elsewhere\r\n"))

    with serving(answer) as server:
        found = run(server.port, 40, 1)
    assert samples.statuses(found.table) == {200: 10, 302: 10, 404: 10, 500: 10}
    assert samples.counts(found.table) == {"sent": 40, "answered": 40, "failed": 30, "errors": 0}
    assert server.requests == 40


def test_a_server_that_never_answers_times_out_in_time() -> None:
    async def never(_received: Received, _target: str, _body: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    with serving(never) as server:
        begun = time.monotonic()
        found = run(server.port, 40, 1, timeout_s=0.5)
        took = time.monotonic() - begun
    assert samples.errors_by_kind(found.table) == {"timeout": 40}
    assert took < 6
    assert server.requests == 40


def test_a_trickling_server_meets_the_total_time_limit() -> None:
    async def trickle(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)

    with serving(trickle) as server:
        found = run(server.port, 10, 0.5, timeout_s=0.6)
    assert samples.errors_by_kind(found.table) == {"timeout": 5}


def test_what_finds_no_connection_until_the_end_is_unsent_not_forgotten() -> None:
    async def never(_received: Received, _target: str, _body: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    with serving(never) as server:
        found = run(server.port, 100, 1, timeout_s=1, connections=8)
    load = found.summary(steady="steady", judged=("steady",), rate=100, seconds=1, same_machine=False)
    assert load.planned == 100
    assert load.sent == found.table.num_rows == server.requests < 60
    assert load.unsent == 100 - load.sent
    assert load.trust == "not_trusted"
    assert any("requests that were due were sent" in reason for reason in load.reasons)


def free_port() -> int:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        return int(probe_socket.getsockname()[1])


def test_a_refusing_port_is_measured() -> None:
    found = run(free_port(), 100, 0.5)
    assert samples.errors_by_kind(found.table) == {"refused": 50}
    assert samples.error_ratio(found.table) == 1.0
    assert samples.latency_ms(found.table).size == 0


def test_a_name_without_address_is_not_measured() -> None:
    with pytest.raises(NotMeasuredError, match=r"nowhere\.invalid has no address"):
        run(80, 10, 0.5, host="nowhere.invalid")


def test_the_guard_stops_a_failing_load_and_the_rest_is_unsent() -> None:
    async def failing(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(503))

    load = LOAD.model_copy(update={"abort_after_s": 2})
    with serving(failing) as server:
        found = run(server.port, 50, 10, load=load)
    summary = found.summary(steady="steady", judged=("steady",), rate=50, seconds=10, same_machine=False)
    assert 80 <= server.requests == summary.sent <= 170
    assert summary.unsent == 500 - summary.sent
    assert found.stopped is not None
    assert summary.reasons[0].startswith("the load was stopped after 2 s with 100% of requests failing")


def search(port: int, rates: list[float]) -> HttpRun:
    stage = search_stage(
        rates, [0], step_s=0.6, latency_ms=100, error_ratio=0.01, budget_s=0.7 * (len(rates) + 1), until_s=60
    )
    return run_http(
        HttpPlan(
            url=f"http://127.0.0.1:{port}",
            variable="TEST_API_URL",
            endpoints=[endpoint_plan(Endpoint(path="/a"))],
            values={},
            stages=[stage],
            load=LOAD,
            timeout_s=2,
            max_connections=64,
        )
    )


def test_a_search_finds_the_capacity_that_the_server_has() -> None:
    lock: list[float] = [0.0]

    async def one_after_the_other(_r: Received, _t: str, _b: bytes, writer: asyncio.StreamWriter) -> None:
        lock[0] = max(lock[0], time.monotonic()) + 0.005  # 5 ms each, one at a time: 200/s
        await asyncio.sleep(lock[0] - time.monotonic())
        writer.write(reply())

    with serving(one_after_the_other) as server:
        found = search(server.port, [50, 100, 400, 800])
    steps = [(step.rate, step.attempt, step.sustained) for step in found.steps]
    assert steps == [(50, 1, True), (100, 1, True), (400, 1, False), (400, 2, False)]
    assert found.facts["search_ended"] == "limit"
    assert found.steps[1].achieved == pytest.approx(100, rel=0.03)
    assert found.table.num_rows == server.requests == found.facts["planned"]
    assert samples.phases(found.table) == ["step:1", "step:2", "step:3", "step:3:again"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [*OPENSSL, *NAMES, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    return certificate, key


def test_tls_is_verified(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving(after(0), context=context) as server:
        unknown = run(server.port, 20, 0.5, scheme="https", host="localhost")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        known = run(server.port, 20, 0.5, scheme="https", host="localhost")
        other_name = run(server.port, 20, 0.5, scheme="https", host="127.0.0.1")
        seen = probe(parse(f"https://localhost:{server.port}", variable="X"))
    assert samples.errors_by_kind(unknown.table) == {"certificate": 10}
    assert samples.errors_by_kind(other_name.table) == {"certificate": 10}
    assert samples.counts(known.table) == {"sent": 10, "answered": 10, "failed": 0, "errors": 0}
    assert server.requests == 10
    assert seen.accepts
    assert seen.tls in {"TLSv1.2", "TLSv1.3"}


def test_a_probe_sends_no_request() -> None:
    with serving(after(0)) as server:
        assert probe(parse(f"http://127.0.0.1:{server.port}", variable="X")).accepts
    assert server.requests == 0
    refused = probe(parse(f"http://127.0.0.1:{free_port()}", variable="X"))
    assert not refused.accepts
    assert "refused" in refused.detail
