"""The examples of docs/scenarios.md, each run against the embedded platform or a server that verifies it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from deployments.load import Load
from deployments.local.platform import Part, platform
from deployments.scenarios import SigV4Settings
from tasks.load.recording import samples
from tasks.load.scenario.file import looked_at
from tasks.load.scenario.load import ScenarioRun, run_scenario
from tasks.load.scenario.plan import ScenarioPlan
from tests.load_servers import Received, reply, serving

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
LOAD = Load(users=8, duration_s=3, ramp_up_s=1, max_rate=200)
KEYS = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with platform(parts={Part.DATABASE, Part.CACHE, Part.APPLICATION}) as started:
        assert started.api_url
        yield started.api_url


def run(url: str, text: str, **more: object) -> ScenarioRun:
    plan = ScenarioPlan(url, "TEST_API_URL", looked_at(text, EXAMPLES), LOAD, 10, writes=True, **more)  # type: ignore[arg-type]
    return run_scenario(plan)


def checks(found: ScenarioRun) -> dict[str, tuple[int, int]]:
    return {row["name"]: (row["passed"], row["failed"]) for row in found.checks.to_pylist()}


def test_lunch_is_ordered_paid_and_collected(url: str) -> None:
    found = run(url, "lunch.py:lunch=3,lunch.py:browse=1")
    assert found.exceptions == {}
    lunches = samples.of_endpoint(found.journeys, "lunch").num_rows
    assert lunches > 5
    assert checks(found) == {
        "the menu is there": (lunches, 0),
        "the payment is taken": (lunches, 0),
        "the card is known": (lunches, 0),
    }
    for part in ("order", "pay", "collect"):
        rows = samples.of_endpoint(found.journeys, f"lunch / {part}")
        assert rows.num_rows == lunches
        whole = samples.latency_ms(samples.of_endpoint(found.journeys, "lunch")).sum()
        assert 0 < samples.latency_ms(rows).sum() < whole
    names = samples.endpoints(found.table)
    assert names == [
        "GET /menus/daily",
        "GET /menus/plans",
        "POST /orders",
        "POST /payments/orders",
        "POST /rfid/verify",
        "is it open",
    ]


def test_users_sign_in_once(url: str) -> None:
    found = run(url, "login.py:orders")
    assert found.exceptions == {}
    assert samples.of_endpoint(found.table, "POST /auth/login").num_rows == LOAD.users
    assert checks(found)["there are orders"] == (found.facts["journeys"]["begun"], 0)


def test_each_card_once(url: str) -> None:
    load = Load(users=40, duration_s=4, ramp_up_s=1, max_rate=200)
    plan = ScenarioPlan(
        url, "TEST_API_URL", looked_at("once.py:present", EXAMPLES), load, 10, harmless=["/rfid/verify"]
    )
    found = run_scenario(plan)
    assert checks(found)["the card is known"] == (40, 0)
    assert found.facts["journeys"]["used_up"]


def test_a_token_comes_from_a_variable_and_is_in_no_fact() -> None:
    async def door(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        known = "authorization: Bearer t0ps3cret-token\r\n" in received.heads[-1]
        writer.write(reply(200 if known else 401))

    with serving(door) as received:
        found = run(f"http://127.0.0.1:{received.port}", "bearer.py:status", variables={"token": "t0ps3cret-token"})
    assert received.requests == found.facts["journeys"]["begun"] > 10
    assert found.facts["journeys"]["failed"] == 0
    assert "t0ps3cret" not in f"{found.facts}{found.table.slice(0, 2).to_pylist()}"


def verified(head: str, body: bytes) -> bool:
    """Whether the signature in a request's head is the one that botocore makes of it."""
    line, *rows = head.strip().split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
    moment = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - as botocore signs
    signed: dict[str, str] = {name: value for name, value in headers.items() if name in {"host", "content-type"}}
    twin = AWSRequest(method, f"http://{headers['host']}{target}", headers=signed, data=body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda **_: moment)
        SigV4Auth(Credentials(*KEYS), "execute-api", "ap-south-1").add_auth(twin)
    return bool(twin.headers["Authorization"] == headers["authorization"])


def test_every_request_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)

    async def gateway(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply())

    with serving(gateway) as received:
        found = run(f"http://127.0.0.1:{received.port}", "signed.py:order", sigv4=SigV4Settings(region="ap-south-1"))
    assert received.requests == 2 * found.facts["journeys"]["begun"] > 20
    assert all(verified(head, body) for head, body in zip(received.heads, received.bodies, strict=True))
    assert found.facts["fallbacks"] == {"auth": received.requests}
    assert KEYS[1] not in str(found.facts)
