"""The Socket.IO load against a real python-socketio server in its own process, over each of its transports."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr
from websockets.sync.server import ServerConnection, serve

from deployments.config import ValueRange, build_config
from tasks.components.base import Check
from tasks.components.websocket.check import handshake
from tasks.components.websocket.collect import plan_of
from tasks.components.websocket.measure import missing_pushes
from tasks.load.process import WorkerOutput
from tasks.load.recording.samples import counts
from tasks.load.websocket.address import parse, resolve
from tasks.load.websocket.plan import WebsocketPlan
from tasks.load.websocket.worker import work
from tests.socketio_server import Counts, Running, Servers, running

TRANSPORTS = ["websocket", "polling", "upgrade"]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running() as started:
        yield started


def load(server: Running, query: str = "", **changes: Any) -> WorkerOutput:
    settings: dict[str, Any] = {
        "url": SecretStr(f"ws://127.0.0.1:{server.port}{query}"),
        "protocol": "socketio",
        "transport": "websocket",
        "connections": 6,
        "pace_s": 0.1,
        "ramp_up_s": 0.2,
        "duration_s": 0.8,
        "channel": "orders",
        "orders": ValueRange(template="{n}", last=5),
        "timeout_s": 3,
        "error_ratio": 1,
        "latency_ms": 30_000,
        "after_s": 60,
    }
    plan = WebsocketPlan(**(settings | changes))
    output = work(plan.to_json(), lambda _: None)
    number = counts(output.tables["samples"])
    assert output.facts["planned"] >= number["sent"] == number["answered"] + number["errors"]
    return output


def settled(server: Running, disconnects: int) -> Counts:
    """Counts once the server has noticed that all have left."""
    for _ in range(100):
        told = server.counts()
        if told.disconnects >= disconnects:
            break
        time.sleep(0.05)
    return told


def rows_of(output: WorkerOutput) -> list[dict[str, Any]]:
    return list(output.tables["connections"].to_pylist())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_event_that_the_server_got_is_a_row_and_every_push_is_counted(servers: Servers, transport: str) -> None:
    server = servers.start(pushes=40, push_gaps=[5, 6, 20])
    output = load(server, transport=transport)
    told = settled(server, 6)
    samples = output.tables["samples"]
    assert Counter(samples.column("endpoint").to_pylist()) == told.events
    assert told.events["subscribe"] == told.connects == told.disconnects == 6
    assert told.events["ping"] > 0
    assert told.events["track_order"] > 0
    assert counts(samples) == {
        "sent": told.events.total(), "answered": told.events.total(), "failed": 0, "errors": 0,
    }  # fmt: skip
    assert told.transports == {"polling" if transport == "polling" else "websocket": told.events.total()}
    pushes = output.tables["pushes"]
    assert pushes.num_rows == told.pushed == told.push_acks == 6 * 37, "each push asked for an acknowledgement"
    assert missing_pushes(pushes) == (18, 222)
    assert (output.facts["unparsed"], output.facts["late"]) == (0, 0)
    for row in rows_of(output):
        assert (row["ended_by"], row["close_code"], row["error"]) == ("client", 1000, None)
        assert (row["connected_ns"] is None) == (transport != "websocket")
        assert row["handshake_ms"] > 0
    upgrades = sum(head.startswith("websocket") for head in told.heads)
    asked = Counter(head.split("transport=")[1].split("&")[0] for head in told.heads if head.startswith("http"))
    assert upgrades == (0 if transport == "polling" else 6)
    assert (asked["polling"] > 0) == (transport != "websocket")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_acknowledgements_answer_and_one_that_says_an_error_has_failed(servers: Servers, transport: str) -> None:
    server = servers.start(answer="refuse")
    output = load(server, transport=transport)
    told = settled(server, 6)
    number = counts(output.tables["samples"])
    assert number["answered"] == number["sent"] == told.events.total()
    assert number["failed"] == told.events["track_order"] > 0
    assert output.facts["failures"] == {"ORDER_NOT_FOUND": number["failed"]}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_whom_the_server_does_not_know_it_refuses(servers: Servers, transport: str) -> None:
    server = servers.start(token="good")
    refused = load(server, "/?token=canary", transport=transport)
    accepted = load(server, "/?token=good", transport=transport, duration_s=0.5)
    told = server.counts()
    rows = rows_of(refused)
    assert told.refused == len(rows) == 6
    assert {(row["ended_by"], row["error"], row["reason"]) for row in rows} == {
        ("handshake", "protocol", "not authorised")
    }
    assert refused.tables["samples"].num_rows == 0
    assert refused.facts["stopped"] == "every connection was lost or never opened"
    assert told.connects == 6
    assert all(row["opened_ns"] is not None for row in rows_of(accepted))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_disconnect_by_the_server_is_a_drop_that_is_come_back_from(servers: Servers, transport: str) -> None:
    server = servers.start(kick_after=4)
    output = load(server, transport=transport, backoff_s=0.1, duration_s=1)
    told = server.counts()
    rows = rows_of(output)
    dropped = [row for row in rows if row["dropped"]]
    assert len(dropped) >= 6
    assert {row["ended_by"] for row in dropped} == {"peer"}
    opened = [row for row in rows if row["opened_ns"] is not None]
    assert told.connects == len(opened) > 6
    number = counts(output.tables["samples"])
    assert number["answered"] <= told.events.total() <= number["sent"], "what was on its way then is heard by nobody"
    assert number["errors"] >= len(dropped), "the message at which each was thrown out"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_servers_pings_are_answered(servers: Servers, transport: str) -> None:
    """It drops who leaves a ping unanswered for two seconds, and pings four times a second."""
    server = servers.start(ping_interval=0.25)
    output = load(server, transport=transport, duration_s=2.6, connections=2, pace_s=0.5)
    told = settled(server, 2)
    assert told.connects == 2 == len(rows_of(output))
    assert not any(row["dropped"] for row in rows_of(output))


def test_a_server_that_stops_pinging_is_given_up() -> None:
    def silent(peer: ServerConnection) -> None:
        peer.send('0{"sid":"a","upgrades":[],"pingInterval":200,"pingTimeout":200,"maxPayload":1000}')
        for text in peer:
            if text == "40":
                peer.send('40{"sid":"b"}')

    with serve(silent, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        output = load(Running(port), duration_s=1.5, connections=2, channel="", reconnects=0, timeout_s=5)
        server.shutdown()
        thread.join(10)
    assert [(row["ended_by"], row["error"]) for row in rows_of(output)] == [("lost", "timeout")] * 2


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return tmp_path / "server.pem"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tls_is_verified_on_every_transport(
    servers: Servers, certificate: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    server = servers.start(certificate=str(certificate))
    url = SecretStr(f"wss://127.0.0.1:{server.port}")
    good = load(server, url=url, transport=transport)
    monkeypatch.delenv("SSL_CERT_FILE")
    bad = load(server, url=url, transport=transport)
    number = counts(good.tables["samples"])
    assert number["answered"] == number["sent"] > 6
    assert [(row["ended_by"], row["error"]) for row in rows_of(bad)] == [("handshake", "certificate")] * 6
    assert bad.tables["samples"].num_rows == 0


def test_another_namespace_and_binary_answers(servers: Servers) -> None:
    server = servers.start(namespace="/school", binary=True)
    output = load(server, namespace="/school")
    lost = load(server, namespace="/unknown")
    told = server.counts()
    number = counts(output.tables["samples"])
    assert number["answered"] == number["sent"] == told.events.total() > 0
    assert (number["failed"], output.facts["unparsed"]) == (0, 0)
    assert {(row["ended_by"], row["error"]) for row in rows_of(lost)} == {("handshake", "protocol")}


def test_an_upgrade_that_is_refused_leaves_the_session_on_polling(servers: Servers) -> None:
    server = servers.start(refuse_upgrade=True)
    output = load(server, transport="upgrade")
    told = settled(server, 6)
    assert told.transports == {"polling": told.events.total()}
    number = counts(output.tables["samples"])
    assert number["answered"] == number["sent"] == told.events.total() > 6


def test_a_server_that_offers_no_upgrade_is_polled(servers: Servers) -> None:
    server = servers.start(upgrades=False)
    output = load(server, transport="upgrade")
    told = settled(server, 6)
    assert not [head for head in told.heads if head.startswith("websocket")]
    assert counts(output.tables["samples"])["answered"] == told.events.total() > 6


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_no_socketio_server_fails_the_handshake_with_its_status(servers: Servers, transport: str) -> None:
    server = servers.start()
    output = load(server, "/counters", transport=transport)
    rows = rows_of(output)
    assert {(row["ended_by"], row["error"]) for row in rows} == {("handshake", "protocol")}
    assert len(rows) == 6
    if transport == "websocket":
        assert {row["status"] for row in rows} <= {403, 404, 500}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_check_shakes_hands_in_the_plans_protocol(servers: Servers, transport: str) -> None:
    server = servers.start()
    good = checked(server, "/?token=canary", transport)
    bad = checked(server, "/counters", transport)
    assert (good.ok, bad.ok) == (True, False)
    assert "canary" not in good.detail
    assert "opened in" in good.detail
    assert "HTTP 4" in bad.detail or "does not speak Socket.IO 4" in bad.detail or "HTTP 500" in bad.detail


def checked(server: Running, query: str, transport: str) -> Check:
    url = f"ws://127.0.0.1:{server.port}{query}"
    settings = build_config("development").environment
    plan = plan_of(settings, SecretStr(url)).model_copy(update={"protocol": "socketio", "transport": transport})
    return handshake(plan, resolve(parse(url)))
