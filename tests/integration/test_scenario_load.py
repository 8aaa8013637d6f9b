"""Scenarios against real servers: what the server counted, when journeys began, how they ended."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deployments.config import build_config
from deployments.load import Load
from deployments.scenarios import Entry
from storage.errors import ConfigurationError, NotMeasuredError
from storage.records import Trust
from tasks.load.closed import CLOSED
from tasks.load.recording import samples
from tasks.load.scenario.figures import check_measurements, journey_measurements, whole_journeys
from tasks.load.scenario.file import looked_at
from tasks.load.scenario.load import ScenarioRun, run_scenario
from tasks.load.scenario.plan import ScenarioPlan
from tests.load_servers import Answer, Received, reply, serving

LUNCH = """
from tasks.load.scenario.scenario import User, from_rows

data = from_rows([{"card": "RFID-1"}, {"card": "RFID-2"}])

async def lunch(user: User) -> None:
    menu = await user.http.get("/menus/daily", params={"schoolId": 7})
    user.check(menu.json()["dishes"], "the menu has dishes")
    with user.group("pay"):
        order = await user.http.post("/orders", json={"card": user.data["card"]})
        await user.http.get(f"/orders/{order.json()['id']}")

async def browse(user: User) -> None:
    await user.http.get("/menus/daily", extensions={"name": "the menu"})
"""

DUE = 50
"""Journeys of the usual plan: 40 a second for a second, and half of it for the half second of the ramp."""


async def kitchen(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    if target.startswith("POST /orders"):
        writer.write(reply(201, json.dumps({"id": 100_000 + received.requests}).encode()))
    else:
        writer.write(reply(200, b'{"dishes": [1]}'))


def plan_of(
    folder: Path,
    text: str,
    received: Received,
    names: str = "lunch",
    *,
    model: str = "open",
    timeout_s: float = 2,
    drain_s: float = 5,
    most_users: int | None = None,
    writes: bool = True,
    **load: float,
) -> ScenarioPlan:
    path = folder / "lunch.py"
    path.write_text(text)
    entries: list[Entry] = looked_at(",".join(f"{path}:{name}" for name in names.split(",")))
    given = {"users": 40, "duration_s": 1.5, "ramp_up_s": 0.5, "max_rate": 400, "abort_after_s": 60} | load
    return ScenarioPlan(
        f"http://127.0.0.1:{received.port}",
        "TEST_API_URL",
        entries,
        Load.model_validate(given),
        timeout_s,
        model=model,
        drain_s=drain_s,
        most_users=most_users,
        writes=writes,
        harmless=["/rfid/verify"],
        secrets=["t0ps3cret-value"],
    )


def run(
    folder: Path, text: str, names: str = "lunch", answer: Answer = kitchen, **more: float
) -> tuple[Received, ScenarioRun]:
    with serving(answer) as received:
        found = run_scenario(plan_of(folder, text, received, names, **more))  # type: ignore[arg-type]
    return received, found


def value(found: ScenarioRun, metric: str, **labels: str) -> float | None:
    rows = [
        *journey_measurements(found.journeys, ["steady"]),
        *check_measurements(found.checks, found.window),
    ]
    (one,) = [row for row in rows if row.metric == metric and row.labels == labels]
    return one.value


def test_journeys_and_requests_are_what_the_server_counted(tmp_path: Path) -> None:
    received, found = run(tmp_path, LUNCH, "lunch=3,browse=1")
    assert found.table.num_rows == received.requests
    counts = {name: samples.of_endpoint(found.table, name).num_rows for name in samples.endpoints(found.table)}
    posts = received.targets["POST /orders"]
    menus = received.targets["GET /menus/daily"]
    browsed = samples.of_endpoint(found.journeys, "browse").num_rows
    assert counts == {
        "GET /menus/daily": menus - browsed,
        "POST /orders": posts,
        "GET /orders/{id}": posts,
        "the menu": browsed,
    }
    journeys = whole_journeys(found.journeys)
    assert journeys.num_rows == found.facts["journeys"]["due"] == DUE
    assert samples.of_endpoint(found.journeys, "lunch").num_rows == posts
    assert samples.of_endpoint(found.journeys, "lunch / pay").num_rows == posts
    assert 0.05 < browsed / DUE < 0.5
    assert value(found, "api.journey.errors") == 0
    assert value(found, "api.checks.failed", journey="lunch", check="the menu has dishes") == 0
    assert {json.loads(body)["card"] for body in received.bodies if body} == {"RFID-1", "RFID-2"}
    assert set(samples.phases(found.table)) == {"ramp", "steady"}
    assert found.notes() == ()
    assert not found.facts["fallbacks"]
    summary = found.journey_summary(steady=["steady"], judged=["steady"], rate=40, seconds=1, same_machine=True)
    assert summary.achieved_rate == pytest.approx(40, rel=0.1)
    assert summary.trust is not Trust.TRUSTED


def test_arrivals_wait_for_no_answer_and_latency_counts_from_them(tmp_path: Path) -> None:
    """A target that stands still for a second: the open model goes on, and every journey shows what it waited."""
    stalled = {"until": 0.0}

    async def stalling(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        now = time.monotonic()
        if received.requests == 12:
            stalled["until"] = now + 1.0
        await asyncio.sleep(max(0.0, stalled["until"] - now))
        writer.write(reply(200, b"{}"))

    text = "async def lunch(user):\n    await user.http.get('/')\n"
    received, found = run(tmp_path, text, answer=stalling)
    assert received.requests == found.facts["journeys"]["due"] == DUE
    waited = samples.latency_ms(whole_journeys(found.journeys))
    late = int((waited > 100).sum())
    assert 25 <= late <= DUE - 11  # of those that arrive from the twelfth on, but for those of its last 100 ms
    assert float(waited.max()) == pytest.approx(1000, abs=150)


def test_a_closed_model_asks_less_of_a_slow_target_and_says_so(tmp_path: Path) -> None:
    async def slow(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(reply())

    text = "async def lunch(user):\n    await user.http.get('/')\n"
    received, found = run(tmp_path, text, answer=slow, model="closed", users=10, pace_s=0.1, duration_s=2.5)  # type: ignore[arg-type]
    assert 30 <= received.requests <= 50  # ten users, 0.5 s an answer, 2.5 s with the ramp: 45, and not 250
    assert CLOSED in found.notes()
    starts = samples.column(whole_journeys(found.journeys), "intended_ns")
    first_ten = (np.sort(starts)[:10] - starts.min()) / 1e6
    assert first_ten == pytest.approx([50 * k for k in range(10)], abs=25)  # user k of 10 at k/10 of the ramp
    summary = found.journey_summary(steady=["steady"], judged=["steady"], rate=100, seconds=2, same_machine=True)
    assert CLOSED in summary.reasons


def test_a_pace_holds_a_closed_user_back(tmp_path: Path) -> None:
    text = "async def lunch(user):\n    await user.http.get('/')\n"
    received, _ = run(tmp_path, text, model="closed", users=5, pace_s=0.5, duration_s=2, ramp_up_s=0)  # type: ignore[arg-type]
    assert received.requests == 20


def test_an_exception_ends_its_journey_alone_and_is_told_without_secrets(tmp_path: Path) -> None:
    text = (
        "async def lunch(user):\n"
        "    await user.http.get('/')\n"
        "    if user.rng.random() < 0.3:\n"
        "        raise ValueError('t0ps3cret-value is wrong\\nsecond line')\n"
        "    user.check(False, 'never')\n"
    )
    received, found = run(tmp_path, text)
    assert received.requests == DUE
    (kind,) = found.exceptions
    assert kind == "ValueError: *** is wrong (lunch.py:4)"
    broken = found.exceptions[kind]
    assert 5 <= broken <= 30
    assert value(found, "api.journey.errors") == 1.0  # the others failed their check
    assert value(found, "api.checks.failed", journey="lunch", check="never") == 1.0
    timed = whole_journeys(found.journeys)
    assert int((samples.column(timed, "items") == 0).sum()) == broken
    assert found.notes()[0].startswith("EVERY journey failed (50 of 50)")


def test_a_dead_target_ends_journeys_by_the_kind_of_the_error(tmp_path: Path) -> None:
    async def closing(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.close()

    text = "async def lunch(user):\n    await user.http.get('/')\n    await user.http.get('/never')\n"
    received, found = run(tmp_path, text, answer=closing)
    assert set(received.targets) == {"GET /"}
    kinds = samples.errors_by_kind(whole_journeys(found.journeys))
    assert sum(kinds.values()) == DUE
    assert set(kinds) <= {"closed", "reset"}
    assert kinds == samples.errors_by_kind(found.table)
    assert value(found, "api.journey.p50") is None


def test_the_bound_on_users_makes_arrivals_wait_and_counts_them(tmp_path: Path) -> None:
    async def slow(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(reply())

    text = "async def lunch(user):\n    await user.http.get('/')\n"
    received, found = run(tmp_path, text, answer=slow, most_users=4, drain_s=20)
    assert received.requests == DUE  # none is dropped: 4 users make 20 a second, so they end after 2.5 s
    assert found.facts["journeys"]["waited"] > 20
    assert float(samples.latency_ms(whole_journeys(found.journeys)).max()) > 700
    verdict = found.verdict(["steady"], same_machine=False)
    assert verdict.trust is Trust.NOT_TRUSTED  # the load came later than its plan
    assert any("waited for a user" in note for note in found.notes())


def test_journeys_that_hang_are_ended_after_the_drain(tmp_path: Path) -> None:
    text = (
        "import asyncio\n"
        "async def lunch(user):\n"
        "    await user.http.get('/')\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    except asyncio.CancelledError:\n"
        "        if user.number % 2:\n"
        "            await asyncio.sleep(60)\n"  # one that does not let itself be ended
        "        raise\n"
    )
    began = time.monotonic()
    received, found = run(tmp_path, text, drain_s=0.5, duration_s=1, ramp_up_s=0, users=20)
    assert time.monotonic() - began < 15
    assert received.requests == 20
    assert samples.errors_by_kind(whole_journeys(found.journeys)) == {"aborted": 20}


def test_the_guard_stops_a_load_that_fails(tmp_path: Path) -> None:
    async def failing(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(500))

    text = (
        "async def lunch(user):\n"
        "    for _ in range(100):\n"
        "        await user.http.get('/')\n"
        "        await user.think(0.05)\n"
    )
    _, found = run(tmp_path, text, answer=failing, duration_s=20, abort_after_s=2, users=5)
    assert found.stopped is not None
    assert "100% of requests failing" in found.stopped
    assert found.window.seconds < 12
    assert samples.errors_by_kind(whole_journeys(found.journeys)).get("aborted", 0) > 0
    assert int(samples.failed(found.table).sum()) == found.table.num_rows


def test_max_rate_and_retry_after_hold_requests_back(tmp_path: Path) -> None:
    async def busy(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        refused = received.requests == 20
        writer.write(reply(429, head="Retry-After: 1\r\n") if refused else reply())

    text = "async def lunch(user):\n    for _ in range(20):\n        await user.http.get('/')\n"
    received, found = run(tmp_path, text, answer=busy, users=20, max_rate=50, duration_s=2, ramp_up_s=0, drain_s=2)
    sent = np.sort(samples.column(found.table, "sent_ns"))
    within = np.searchsorted(sent, sent + 1_000_000_000) - np.arange(len(sent))
    assert int(within.max()) <= 50 + 4 * 50**0.5 + 10  # stamped on the wire, a moment after the gate
    assert float(np.diff(sent).max()) / 1e9 > 0.8  # the pause
    assert found.facts["journeys"]["paused"] + found.facts["runs"][0]["withheld"] > 0
    assert found.facts["runs"][0]["held_back"] > 0
    assert received.requests == found.table.num_rows


def test_rows_that_serve_once_end_the_load(tmp_path: Path) -> None:
    text = (
        "from tasks.load.scenario.scenario import from_rows\n"
        "data = from_rows([{'n': n} for n in range(25)], 'once')\n"
        "async def lunch(user):\n    await user.http.get('/', params=user.data)\n"
    )
    received, found = run(tmp_path, text)
    assert received.requests == 25
    assert found.facts["journeys"]["failed"] == 0
    assert any("every row of a list of rows was used" in note for note in found.notes())


def test_users_start_before_the_load_and_keep_their_cookie(tmp_path: Path) -> None:
    async def door(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        if target == "POST /auth/login":
            writer.write(reply(200, head="Set-Cookie: session=abc; Path=/\r\n"))
        else:
            known = "cookie: session=abc" in received.heads[-1].lower() or any(
                "session=abc" in head for head in received.heads[-8:]
            )
            writer.write(reply(200 if known else 401))

    text = (
        "async def on_start(user):\n"
        "    (await user.http.post('/auth/login', json={})).raise_for_status()\n"
        "async def lunch(user):\n"
        "    (await user.http.get('/me')).raise_for_status()\n"
    )
    received, found = run(tmp_path, text, answer=door)
    logins = received.targets["POST /auth/login"]
    assert logins == 40  # the load's users, once each
    mine = [head for head in received.heads if head.startswith("GET /me")]
    assert len(mine) == DUE
    assert all("session=abc" in head for head in mine)
    assert samples.of_phase(found.table, "start").num_rows == 40
    assert found.facts["journeys"]["failed"] == 0


def test_a_login_that_fails_fails_the_journeys(tmp_path: Path) -> None:
    async def door(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(401))

    text = (
        "async def on_start(user):\n"
        "    (await user.http.get('/login')).raise_for_status()\n"
        "async def lunch(user):\n    await user.http.get('/me')\n"
    )
    received, found = run(tmp_path, text, answer=door, users=5)
    assert set(received.targets) == {"GET /login"}
    assert found.notes()[0].startswith("EVERY journey failed")
    assert any(kind.startswith("HTTPStatusError: Client error '401 X'") for kind in found.exceptions)


def test_only_the_environments_host_is_asked_and_nothing_is_written_where_that_is_forbidden(tmp_path: Path) -> None:
    text = (
        "async def lunch(user):\n"
        "    await user.http.post('/rfid/verify', json={})\n"
        "    await user.http.get('http://elsewhere.test/')\n"
        "async def write(user):\n"
        "    await user.http.post('/orders', json={})\n"
    )
    received, found = run(tmp_path, text, "lunch,write", writes=False)
    assert set(received.targets) == {"POST /rfid/verify"}
    refused = found.facts["refused_hosts"]["elsewhere.test"]
    assert refused > 5
    assert samples.errors_by_kind(found.table) == {"forbidden": refused}
    assert samples.errors_by_kind(whole_journeys(found.journeys)) == {"forbidden": refused}
    assert any("POST /orders was not sent: this environment forbids writes" in kind for kind in found.exceptions)


def test_thinking_is_in_the_journey_and_in_no_request(tmp_path: Path) -> None:
    text = (
        "import asyncio\n"
        "async def lunch(user):\n"
        "    await user.think((0.2, 0.3))\n"
        "    await user.http.get('/')\n"
        "async def sleepy(user):\n"
        "    await asyncio.sleep(0.25)\n"
        "    await user.http.get('/')\n"
    )
    _, found = run(tmp_path, text, "lunch,sleepy")
    assert float(np.median(samples.latency_ms(found.table))) < 100
    journeys = samples.latency_ms(whole_journeys(found.journeys))
    assert float(journeys.min()) >= 199
    assert 235 < float(np.median(journeys)) < 400


def test_two_processes_share_arrivals_users_and_rows(tmp_path: Path) -> None:
    text = (
        "from tasks.load.scenario.scenario import from_rows\n"
        "data = from_rows([{'n': n} for n in range(1000)])\n"
        "async def lunch(user):\n    await user.http.get('/', headers={'x-row': str(user.data['n'])})\n"
    )
    config = build_config("development", components=("api",), overrides={"scale.shards": "2"})
    with serving(kitchen) as received:
        plan = replace(plan_of(tmp_path, text, received), config=config)
        found = run_scenario(plan)
    assert received.requests == found.table.num_rows == found.facts["journeys"]["begun"] == DUE
    rows = [line for head in received.heads for line in head.split("\r\n") if line.startswith("x-row")]
    assert len(set(rows)) == DUE  # no row twice
    assert set(samples.column(found.journeys, "worker").tolist()) == {0, 1}
    gaps = np.diff(np.sort(samples.column(found.table, "intended_ns")))
    assert float(np.median(gaps)) / 1e6 < 50  # both at once, not one after the other


def test_a_closed_model_has_no_day(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no periods of a day"):
        plan_of(tmp_path, "async def lunch(user): ...", Received(), model="closed", day="school")  # type: ignore[arg-type]


def test_a_file_that_fails_is_told_by_the_owner(tmp_path: Path) -> None:
    with pytest.raises(NotMeasuredError, match=r"lunch\.py fails in line 1: ZeroDivisionError"):
        run(tmp_path, "1 / 0\nasync def lunch(user): ...\n")
