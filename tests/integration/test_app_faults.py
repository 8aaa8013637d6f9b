"""The application when something fails: planned faults, a dead database, a dead cache."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from deployments.local.app import service
from deployments.local.identity import card_number, key
from deployments.local.platform import Part, Platform, platform

ORDER = f"/orders/{key('order', 1)}"
ROUTE = "GET /orders/{orderId}"
CARD = {"cardNumber": card_number(1)}


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    with platform(
        parts={Part.DATABASE, Part.CACHE, Part.APPLICATION}, application_env={"PLATFORM_FAULTS": "1"}
    ) as started:
        yield started


@pytest.fixture
def api(running: Platform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.api_url, timeout=20) as client:
        yield client
        client.post(service.FAULTS_PATH, json={})


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def application(**variables: str) -> Iterator[httpx.Client]:
    """An application of its own, whose database or cache may be dead."""
    port = free_port()
    process = subprocess.Popen(service.command(port), env={**os.environ, **variables}, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            until = time.monotonic() + 20
            while True:
                try:
                    client.get(service.COUNTERS_PATH)
                    break
                except httpx.TransportError:
                    assert process.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def counted(api: httpx.Client, status: int) -> int:
    found = api.get(service.COUNTERS_PATH).json()["http"]
    return sum(one["count"] for one in found if one["route"] == "/orders/{orderId}" and one["status"] == status)


def test_an_exact_share_of_a_route_fails(api: httpx.Client) -> None:
    before = counted(api, 503)
    assert api.post(service.FAULTS_PATH, json={ROUTE: {"errorShare": 0.25}}).status_code == 200
    statuses = [api.get(ORDER).status_code for _ in range(40)]
    assert (statuses.count(503), statuses.count(200)) == (10, 30)
    assert counted(api, 503) - before == 10
    assert api.get("/subscription-plans").status_code == 200


def test_latency_is_added_to_one_route(api: httpx.Client) -> None:
    api.post(service.FAULTS_PATH, json={ROUTE: {"latencyMs": 150}})
    assert api.get(ORDER).elapsed.total_seconds() >= 0.15


def test_a_dropped_request_breaks_the_connection_and_is_counted_as_unanswered(api: httpx.Client) -> None:
    before = api.get(service.COUNTERS_PATH).json()["httpTotals"]
    api.post(service.FAULTS_PATH, json={ROUTE: {"dropShare": 0.5}})
    broken = 0
    for _ in range(10):
        try:
            assert api.get(ORDER).status_code == 200
        except httpx.RemoteProtocolError:
            broken += 1
    after = api.get(service.COUNTERS_PATH).json()["httpTotals"]
    assert broken == 5
    assert {name: after[name] - before[name] for name in after} == {
        "received": 10,
        "answered": 5,
        "unanswered": 5,
        "inFlight": 0,
    }


def test_a_plan_names_routes_that_exist(api: httpx.Client) -> None:
    answer = api.post(service.FAULTS_PATH, json={"GET /nope": {}})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "GET /nope")
    wrong = api.post(service.FAULTS_PATH, json={ROUTE: {"errorShare": 2}})
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, f"{ROUTE}.errorShare")


def test_a_refused_websocket_and_one_that_ignores(api: httpx.Client, running: Platform) -> None:
    api.post(service.FAULTS_PATH, json={"WS /ws": {"dropShare": 1}})
    with pytest.raises(InvalidStatus):
        connect(running.ws_url)
    api.post(service.FAULTS_PATH, json={"WS /ws": {"dropShare": 0.5}})
    with connect(running.ws_url) as peer:
        for number in range(4):
            peer.send(f'{{"type": "ping", "sequenceId": {number}}}')
        assert [f'"sequenceId":{number}' in str(peer.recv(timeout=5)) for number in (0, 2)] == [True, True]
        with pytest.raises(TimeoutError):
            peer.recv(timeout=0.3)


def test_faults_may_be_planned_from_the_start(running: Platform) -> None:
    variables = {"DATABASE_URL": running.application_database_url, "REDIS_URL": running.redis_url}
    with application(**variables, PLATFORM_FAULT_PLAN='{"*": {"errorShare": 1}}', PLATFORM_RELEASE="r7") as api:
        assert api.get(ORDER).json()["error"]["code"] == "INJECTED_FAULT"
        assert api.get(service.READY_PATH).status_code == 503


def test_without_a_database_it_says_so_and_does_not_end(running: Platform) -> None:
    dead = f"postgresql://app:canary@127.0.0.1:{free_port()}/hasivu"
    with application(DATABASE_URL=dead, REDIS_URL=running.redis_url) as api:
        answer = api.get(ORDER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "POOL_EXHAUSTED")
        health = api.get("/health")
        assert (health.status_code, health.json()["checks"]) == (503, {"database": "down", "cache": "up"})
        assert "canary" not in answer.text + health.text


def test_without_a_cache_it_asks_the_database(running: Platform) -> None:
    dead = f"redis://:canary@127.0.0.1:{free_port()}/0"
    with application(DATABASE_URL=running.application_database_url, REDIS_URL=dead) as api:
        verified = api.post("/rfid/verify", json=CARD)
        assert verified.status_code == 200
        assert verified.json()["warnings"] == ["The verification could not be kept in the cache"]
        assert api.get(f"/api/v1/users/{key('user', 1)}").status_code == 200
        assert api.get(service.READY_PATH).json()["checks"] == {"database": "up", "cache": "down"}
        assert api.get(service.COUNTERS_PATH).json()["cache"]["errors"] > 0


def test_a_defect_of_the_database_is_a_counted_500(running: Platform) -> None:
    empty = running.admin_database_url.rsplit("/", 1)[0] + "/postgres"
    with application(DATABASE_URL=empty, REDIS_URL=running.redis_url) as api:
        answer = api.get(ORDER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
        assert counted(api, 500) == 1


def test_an_application_without_its_variables_ends_and_names_them() -> None:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    done = subprocess.run(
        service.command(free_port()), env=kept, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode != 0
    assert "DATABASE_URL is not set" in done.stdout + done.stderr
    assert "REDIS_URL is not set" in done.stdout + done.stderr
