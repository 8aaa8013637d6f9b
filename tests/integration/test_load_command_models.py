"""What `hasivu-perf load` runs, open and closed, against servers that count what they receive."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from storage.errors import ExitCode
from tasks.load.adhoc.adhoc import run_adhoc
from tasks.load.adhoc.figures import figures
from tasks.load.adhoc.plan import body_of, make_plan
from tasks.load.adhoc.text import live_row, summary
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
    assert found["errors"] == {"total": 40, "ratio": 1.0, "by_kind": {"unavailable": 40}}
    assert found["statuses"] == {"503": 40}


def test_a_dead_target_is_exit_code_3_with_its_kind() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = load(f"http://127.0.0.1:{port}/", rate=30, duration_s=1)
    assert found["exit_code"] == 3
    assert found["errors"]["by_kind"] == {"refused": 30}
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
    assert (bad["exit_code"], set(bad["errors"]["by_kind"])) == (3, {"certificate"})
    assert (good["exit_code"], good["errors"]["total"], set(good["statuses"])) == (0, 0, {"200"})


@pytest.mark.parametrize("model", [{"rate": 20}, {"connections": 2}])
def test_head_is_answered_without_a_body_on_connections_that_stay(model: dict[str, Any]) -> None:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        await asyncio.sleep(0.01)

    with serving(answer) as server:
        found = load(f"http://127.0.0.1:{server.port}/", duration_s=1, method="HEAD", timeout_s=3, **model)
    assert (found["exit_code"], found["errors"]["total"]) == (0, 0)
    assert server.targets == {"HEAD /": found["requests"]}
    assert found["connections"]["opened"] <= 4


@pytest.mark.parametrize("model", [{"rate": 20}, {"connections": 2}])
def test_a_body_of_bytes_is_sent_as_it_is(model: dict[str, Any], tmp_path: Path) -> None:
    raw = bytes(range(256)) + b'{not} a "place"'
    (tmp_path / "body.bin").write_bytes(raw)
    with serving(after(0.005)) as server:
        url = f"http://127.0.0.1:{server.port}/upload"
        found = load(
            url, body=body_of(f"@{tmp_path}/body.bin"), headers=["Content-Type: application/octet-stream"],
            method="propfind", duration_s=1, **model,
        )  # fmt: skip
    assert found["exit_code"] == 0
    assert set(server.bodies) == {raw}
    assert set(server.targets) == {"PROPFIND /upload"}
    assert all(head.count("Content-Type: application/octet-stream\r\n") == 1 for head in server.heads)


def test_a_search_raises_the_rate_until_the_latency_breaks() -> None:
    """What takes 8.5 ms, one at a time, is sustained at 90 a second and not at 135."""
    free = [0.0]

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        free[0] = max(free[0], time.monotonic()) + 0.0085
        await asyncio.sleep(free[0] - time.monotonic())
        writer.write(reply())

    told: list[Mapping[str, Any]] = []
    with serving(answer) as server:
        plan = make_plan(
            f"http://127.0.0.1:{server.port}/", search=True, rate=40, duration_s=0.7, p95_ms=100, max_rate=500
        )
        run = run_adhoc(plan, told.append)
    found = figures(run)
    search = found["search"]
    assert [(one["rate"], one["sustained"]) for one in search["steps"]] == [
        (40, True), (60, True), (90, True), (135, False), (135, False),
    ]  # fmt: skip
    assert (search["sustained_rate"], search["ended"]) == (90, "limit")
    doubted = found["trust"]["level"] == "not_trusted"  # one process serves and asks, for 0.7 s a step
    assert found["exit_code"] == (ExitCode.INCOMPLETE if doubted else 0)
    assert search["achieved"] == pytest.approx(90, rel=0.05)
    assert found["requests"] == server.requests
    assert found["latency_ms"]["n"] == 63, "the figures are of the best step"
    text = summary(found)
    assert text.startswith("SUSTAINED  90/s")
    assert "135/s broke twice: p95 was" in text
    live = live_row(told[-1])
    assert "p50" in live
    assert "late" in live


def test_a_search_whose_first_step_breaks_is_exit_code_1_and_never_passes_its_ceiling() -> None:
    with serving(after(0.05)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        slow = load(url, search=True, rate=20, duration_s=0.5, p95_ms=20, max_rate=40)
        for _ in range(3):  # a generator that was late in half a second doubts itself: it is asked again
            before = server.requests
            quick = load(url, search=True, rate=20, duration_s=0.5, p95_ms=300, max_rate=40)
            if quick["exit_code"] != ExitCode.INCOMPLETE:
                break
    assert (slow["exit_code"], slow["search"]["sustained_rate"]) == (1, None)
    assert summary(slow).startswith("NOT SUSTAINED")
    assert (quick["exit_code"], quick["search"]["sustained_rate"], quick["search"]["ended"]) == (0, 40, "ceiling")
    assert before >= slow["requests"] == 20
    assert server.requests - before == quick["requests"] == 10 + 15 + 20
