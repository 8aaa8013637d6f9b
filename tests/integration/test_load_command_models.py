"""What `hasivu-perf load` runs, open and closed, against servers that count what they receive."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from tasks.load.adhoc.adhoc import run_adhoc
from tasks.load.adhoc.figures import figures
from tasks.load.adhoc.plan import make_plan
from tests.load_servers import Answer, Received, reply, serving


def load(url: str, **options: Any) -> dict[str, Any]:
    return figures(run_adhoc(make_plan(url, **options)))


def after(delay_s: float, status: int = 200) -> Answer:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_s)
        writer.write(reply(status))

    return answer


@pytest.mark.parametrize("model", [{"rate": 20}, {"connections": 2}])
def test_a_body_a_method_and_a_status_are_what_was_asked_for(model: dict[str, Any]) -> None:
    with serving(after(0.01, 201)) as server:
        url = f"http://127.0.0.1:{server.port}/orders?day=mon"
        asked = {"body": '{"meal": "dal"}', "method": "put", "expect": (200, 201), "headers": ["X-A: b"]}
        found = load(url, duration_s=1, **asked, **model)
    assert found["exit_code"] == 0
    assert found["errors"]["total"] == 0
    assert found["statuses"] == {"201": server.requests}
    assert set(server.targets) == {"PUT /orders"}
    assert all(head.startswith("PUT /orders?day=mon HTTP/1.1") and "X-A: b" in head for head in server.heads)
    assert {json.loads(body)["meal"] for body in server.bodies} == {"dal"}


def test_unexpected_statuses_break_the_limit_of_errors() -> None:
    with serving(after(0, 503)) as server:
        found = load(f"http://127.0.0.1:{server.port}/", rate=40, duration_s=1, error_ratio=0.01)
    assert found["exit_code"] == 1
    assert found["errors"] == {"total": 40, "ratio": 1.0, "by_kind": {"unexpected_status": 40}}
    assert found["statuses"] == {"503": 40}


def test_a_dead_target_is_exit_code_3_with_its_kind() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = load(f"http://127.0.0.1:{port}/", rate=30, duration_s=1)
    assert found["exit_code"] == 3
    assert found["errors"]["by_kind"] == {"connect": 30}
    assert found["latency_ms"]["p50"] is None


@pytest.mark.parametrize("model", [{"rate": 20}, {"connections": 2}])
def test_a_target_that_fails_for_long_ends_the_load_early(model: dict[str, Any]) -> None:
    with serving(after(0.02, 500)) as server:
        found = load(f"http://127.0.0.1:{server.port}/", duration_s=60, **model)
    assert found["exit_code"] == 3
    assert "of requests failing" in found["stopped"]
    assert found["window"]["seconds"] < 30
    assert server.requests == found["sent"] < 1200
    assert found["sent"] + found["unsent"] == found["planned"]


def test_a_closed_load_counts_what_the_server_counted_and_says_what_it_is() -> None:
    with serving(after(0.01)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        found = load(url, connections=4, duration_s=1.5, ramp_up_s=0.5, shards=2)
    assert found["exit_code"] == 0
    assert found["model"] == "closed"
    assert "closed model" in found["caveat"]
    assert found["requests"] == server.requests
    assert found["latency_ms"]["n"] < found["requests"]  # the ramp is not in it
    assert found["connections"] == {"asked": 4, "opened": 4}
    assert 0 < found["rate"]["achieved"] <= 4 / 0.01
    assert found["service_ms"]["p50"] >= 10


def test_shards_send_the_plan_together() -> None:
    with serving(after(0.005)) as server:
        found = load(f"http://127.0.0.1:{server.port}/", rate=60, duration_s=1, shards=2)
    assert found["requests"] == found["planned"] == server.requests == 60


@pytest.mark.parametrize("model", [{"rate": 30}, {"connections": 2}])
def test_tls_is_verified(model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(after(0.005), context=context) as server:
        url = f"https://localhost:{server.port}/"
        bad = load(url, duration_s=1, **model)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        good = load(url, duration_s=1, **model)
    assert (bad["exit_code"], set(bad["errors"]["by_kind"])) == (3, {"tls"})
    assert (good["exit_code"], good["errors"]["total"], set(good["statuses"])) == (0, 0, {"200"})
