"""Planted faults over TLS: each has its kind on the raw wire and through the httpx client, as it has without TLS."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme

from deployments.config import Endpoint
from deployments.load import Load
from tasks.load.client.client import Engine, Exchange, LoadClient
from tasks.load.http_load import HttpPlan, HttpRun, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.recording import samples
from tasks.load.schedule import Phase
from tests.load_faults import BROKEN, ENDLESS
from tests.load_servers import Answer, Received, reply, serving

EACH = 3
TIMEOUT_S = 1.0
LOAD = Load(users=1, duration_s=10, ramp_up_s=1, max_rate=1000, abort_after_s=60)


async def silent(_received: Received, _target: str, _body: bytes, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def trickling(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" * 9:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.1)


async def cut_off(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
    """The TCP connection ends in the middle of a body without TLS's own farewell, as an attacker would end it."""
    writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf of an answer that only the end of the connection ends")
    await writer.drain()
    await asyncio.sleep(0.05)
    raw = writer.get_extra_info("socket")
    raw.shutdown(2)


WAYS: dict[str, tuple[Answer, set[str]]] = {
    **{way: (answer, {kind}) for way, (answer, kind) in BROKEN.items()},
    **{f"endless-{way}": (answer, {"head_too_large", "body_too_large"}) for way, answer in ENDLESS.items()},
    "silent": (silent, {"timeout"}),
    "trickling": (trickling, {"timeout"}),
    "cut-off": (cut_off, {"closed"}),
}


async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    way = target.removeprefix("GET /")
    if way == "good":
        writer.write(reply())
    else:
        await WAYS[way][0](received, target, body, writer)


@contextmanager
def speaking_tls(folder: Path, name: str = "localhost") -> Iterator[tuple[Received, Path]]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    with serving(answer, context=context) as server:
        yield server, folder / "ca.pem"


def load(port: int, *ways: str, host: str = "localhost", each: int = EACH) -> HttpRun:
    """Each way so many times, one endpoint after the other by their own stage, over TLS on the raw wire."""
    stages = [
        schedule_stage([Phase("steady", each * 10, each * 10, 0.1)], [number], jitter="none")
        for number in range(len(ways))
    ]
    return run_http(
        HttpPlan(
            url=f"https://{host}:{port}",
            variable="TEST_API_URL",
            endpoints=[endpoint_plan(Endpoint(path=f"/{way}")) for way in ways],
            values={},
            stages=stages,
            load=LOAD,
            timeout_s=TIMEOUT_S,
            max_connections=64,
        )
    )


def ask(base: str, ca: Path, *ways: str, each: int = EACH) -> dict[str, Counter[str]]:
    """Each way so many times at once, through the httpx client; kinds by path, and "status" for an answer."""

    async def all_ways() -> list[Exchange]:
        exchanges: list[Exchange] = []
        engine = Engine(allow={"localhost", "127.0.0.1"}, timeout_s=TIMEOUT_S, ca_file=str(ca))
        try:
            async with LoadClient(engine, base_url=base, on_exchange=exchanges.append) as client:
                calls = [client.get(f"/{way}") for way in ways for _ in range(each)]
                ended = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            engine.close()
        assert all(isinstance(one, httpx.Response | httpx.TransportError) for one in ended)
        return exchanges

    found: dict[str, Counter[str]] = {way: Counter() for way in ways}
    for one in asyncio.run(all_ways()):
        found[one.name.removeprefix("GET /")][one.error or str(one.status)] += 1
    return found


def test_each_fault_has_its_kind_on_the_raw_wire_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with speaking_tls(tmp_path) as (server, ca):
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        begun = time.monotonic()
        run = load(server.port, *WAYS, "good")
        took = time.monotonic() - begun
    for way, (_, kinds) in WAYS.items():
        rows = samples.of_endpoint(run.table, f"GET /{way}")
        found = samples.errors_by_kind(rows)
        assert rows.num_rows == sum(found.values()) == server.targets[f"GET /{way}"] == EACH, way
        assert set(found) <= kinds, (way, found)
    assert samples.counts(samples.of_endpoint(run.table, "GET /good")) == {
        "sent": EACH, "answered": EACH, "failed": 0, "errors": 0,
    }  # fmt: skip
    assert max(share["rss_mb"] for share in run.facts["shares"]) < 300
    assert took < 30


def test_each_fault_has_its_kind_through_the_client_over_tls(tmp_path: Path) -> None:
    with speaking_tls(tmp_path) as (server, ca):
        found = ask(f"https://localhost:{server.port}", ca, *WAYS, "good")
    for way, (_, kinds) in WAYS.items():
        assert found[way].total() == EACH, way
        assert set(found[way]) <= kinds, (way, found[way])
    assert found["good"] == {"200": EACH}


def test_a_bad_certificate_is_refused_before_any_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other" / "ca.pem"))
    other = tmp_path / "other" / "ca.pem"
    with speaking_tls(tmp_path) as (server, ca):
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        wrong_name = load(server.port, "good", host="127.0.0.1")
        by_client = ask(f"https://127.0.0.1:{server.port}", ca, "good")
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        unknown = load(server.port, "good")
        unknown_by_client = ask(f"https://localhost:{server.port}", other, "good")
    assert server.requests == 0
    assert samples.errors_by_kind(wrong_name.table) == samples.errors_by_kind(unknown.table) == {"certificate": EACH}
    assert by_client["good"] == unknown_by_client["good"] == {"certificate": EACH}


def test_a_server_that_speaks_no_tls_is_an_error_of_tls(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca))
    with serving(answer) as server:
        run = load(server.port, "good")
        by_client = ask(f"https://localhost:{server.port}", ca, "good")
    assert server.requests == 0
    assert set(samples.errors_by_kind(run.table)) <= {"tls", "timeout", "connect_timeout"}
    assert by_client["good"].total() == EACH
    assert "200" not in by_client["good"]
