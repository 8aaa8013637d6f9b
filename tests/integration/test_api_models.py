"""The api component by users (closed model), and its stepped search, against servers whose behaviour is known."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from deployments.config import ApiSettings, Endpoint, RunConfig, Target, ValueRange, build_config
from deployments.scenarios import ScenarioSettings
from storage.records import Collected, Measurement
from tasks.components.api import API
from tasks.components.base import CollectContext, Samples
from tasks.load.capacity import steps_from
from tasks.load.recording import samples
from tests.load_servers import Answer, Received, reply, serving
from tests.sinks import Sink

SETTINGS = ApiSettings(
    headers={"accept": "application/json"},
    values={"id": ValueRange(template="o {n}", first=1, last=9)},
    endpoints=(
        Endpoint(path="/orders/{id}", query={"day": "{id}"}, weight=3),
        Endpoint(method="POST", path="/verify", body={"card": "{id}"}, expect=(201,)),
        Endpoint(method="DELETE", path="/orders", writes=True, weight=100),
    ),
    timeout_s=2,
)


def configure(scenario: str = "", shards: int = 1, **load: str) -> RunConfig:
    fields = {"duration_s": "2", "ramp_up_s": "0.5", "max_rate": "400", "abort_after_s": "60", **load}
    config = build_config("development", components=("api",), overrides={**fields, "scale.shards": str(shards)})
    changes = {"api": SETTINGS, "writes": False, "scenario": ScenarioSettings(file=scenario)}
    return config.model_copy(update={"environment": config.environment.model_copy(update=changes)})


def measured(config: RunConfig, answer: Answer) -> tuple[Received, Collected, Sink, list[Measurement]]:
    sink = Sink()
    with serving(answer) as server:
        target = Target(api_url=SecretStr(f"http://u:hunter2@127.0.0.1:{server.port}/base"))
        collected = API.collect(CollectContext(config, target, sink))
    return server, collected, sink, API.measure(Samples(sink, collected), config)


def figure(measurements: list[Measurement], metric: str, **labels: str) -> Measurement:
    return next(one for one in measurements if one.metric == metric and one.labels == labels)


async def usual(_received: Received, target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.01)
    writer.write(reply(201 if target.startswith("POST") else 200))


def test_users_ask_for_the_mix_one_request_after_the_other_and_their_figures_say_so() -> None:
    config = configure(model="users", users="8", pace_s="0.1")
    server, collected, sink, found = measured(config, usual)
    table = sink["samples"]
    assert set(sink) == {"samples"}
    assert server.requests == table.num_rows
    assert samples.endpoints(table) == ["GET /orders/{id}", "POST /verify"]
    posts = samples.of_endpoint(table, "POST /verify")
    assert posts.num_rows == server.targets["POST /base/verify"] > 0
    assert {one for one in server.targets if one.startswith("GET")} <= {
        f"GET /base/orders/o%20{n}" for n in range(1, 10)
    }
    assert all(json.loads(body)["card"].startswith("o ") for body in server.bodies if body)
    assert all(
        "Authorization: Basic dTpodW50ZXIy" in head.replace("authorization", "Authorization") for head in server.heads
    )
    # 8 users, one request per 0.1 s each at most: 120 in the 1.5 s at full load, about 20 in the ramp
    steady = samples.of_phase(table, "steady")
    assert 60 <= steady.num_rows <= 128
    assert figure(found, "api.errors.ratio").value == 0, "201 is what one of them expects"
    p95 = figure(found, "api.latency.p95")
    assert p95.value is not None
    assert p95.value >= 10
    assert "coordinated omission" in p95.note
    assert "closed model" in p95.source
    assert "open model" not in figure(found, "api.latency.p50", endpoint="POST /verify").source
    assert collected.load is not None
    assert collected.load.planned == collected.load.sent == server.requests
    assert any(reason.startswith("closed model") for reason in collected.load.reasons)
    assert collected.load.late_p99_ms is not None
    assert collected.load_plan["model"].startswith("closed model")
    assert "hunter2" not in collected.model_dump_json()


def test_thinking_users_ask_less() -> None:
    server, collected, sink, _ = measured(
        configure(model="users", users="8", pace_s="0.01", think_s="[0.3,0.5]"), usual
    )
    assert 16 <= server.requests <= 60, "8 users, each 2 s ÷ at least 0.31 s"
    assert collected.load_plan["think_s"] == "0.3 to 0.5"
    for reason in collected.load.reasons if collected.load else ():
        assert "no answer at all" not in reason, "to think is no stall"
    assert (
        figure(API.measure(Samples(sink, collected), configure(model="users")), "api.latency.p50").value is not None
    )


def test_a_stall_of_the_target_is_named_where_users_waited_for_it() -> None:
    begun: list[float] = []

    async def stalling(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        begun.append(time.monotonic())
        since = begun[-1] - begun[0]
        if 0.8 <= since < 1.6:
            await asyncio.sleep(1.6 - since)
        await asyncio.sleep(0.005)
        writer.write(reply(200))

    config = configure(model="users", users="4", pace_s="0.02")
    _, collected, _, found = measured(config, stalling)
    assert collected.load is not None
    told = [reason for reason in collected.load.reasons if "gave no answer at all for" in reason]
    assert len(told) == 1
    assert "requests are missing" in told[0]
    assert told[0] in figure(found, "api.latency.p95").note


def test_users_that_meet_errors_go_on_and_each_has_its_kind() -> None:
    async def torn(_received: Received, target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        if target.startswith("POST"):
            writer.close()
        else:
            writer.write(reply(503))

    config = configure(model="users", users="6", pace_s="0.05", abort_error_ratio="1")
    server, collected, sink, found = measured(config, torn)
    table = sink["samples"]
    assert server.requests == table.num_rows > 60
    assert samples.errors_by_kind(table) == {"closed": server.targets["POST /base/verify"]}
    assert samples.counts(table)["failed"] == table.num_rows - server.targets["POST /base/verify"]
    assert figure(found, "api.errors.ratio").value == 1
    assert not any("journey" in note for note in collected.notes)


def test_shards_share_the_users() -> None:
    config = configure(shards=2, model="users", users="5", pace_s="0.1", duration_s="1.5")
    server, collected, sink, _ = measured(config, usual)
    assert server.requests == sink["samples"].num_rows
    first, second = np.bincount(samples.column(sink["samples"], "worker")).tolist()
    assert first > second > 0, "three users and two"
    assert collected.load_plan["shards"].startswith("2, ")


def one_after_the_other(seconds: float, paths: Mapping[str, int] | None = None) -> Answer:
    """A server of one worker: it takes so long for each request, whoever waits meanwhile."""
    free = [0.0]

    async def answer(_received: Received, target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        free[0] = max(free[0], time.monotonic()) + seconds
        await asyncio.sleep(free[0] - time.monotonic())
        writer.write(reply(201 if target.startswith("POST") else (paths or {}).get(target, 200)))

    return answer


SEARCH = "{target = 100, margin = 4, step_s = 0.6, p95_ms = 100}"
"""Steps at 40, 60, 100, 150, 225, 338 a second: what takes 8.5 ms, one at a time, breaks at 150."""


def test_a_search_follows_the_load_and_finds_what_the_server_sustains() -> None:
    config = configure(users="20", search=SEARCH)
    server, collected, sink, found = measured(config, one_after_the_other(0.0085))
    steps = steps_from(sink["steps"])
    assert [(one.rate, one.sustained) for one in steps] == [
        (40, True), (60, True), (100, True), (150, False), (150, False),
    ]  # fmt: skip
    capacity = figure(found, "api.capacity")
    assert capacity.value == pytest.approx(100, rel=0.05)
    assert "sustained at 100/s; 150/s broke twice" in capacity.note
    assert server.requests == sink["samples"].num_rows
    assert collected.load_plan["search_ended"] == "limit"
    assert figure(found, "api.errors.ratio").n == 35, "it speaks of the load before the search"
    assert all("step:" not in one.labels.get("period", "") for one in found)
    # the search begins after the load's end and a pause
    load = samples.of_phase(sink["samples"], "steady")
    search = samples.of_phase(sink["samples"], "step:1")
    assert samples.column(search, "intended_ns").min() > samples.column(load, "intended_ns").max() + 1.9e9


LUNCH = """
async def lunch(user):
    await user.http.get("/menu")
    with user.group("pay"):
        await user.http.post("/orders", json={})
"""


def test_a_search_of_journeys_finds_what_the_server_sustains(tmp_path: Path) -> None:
    path = tmp_path / "lunch.py"
    path.write_text(LUNCH)
    config = configure(scenario=f"{path}:lunch", users="10", search=SEARCH)
    environment = config.environment.model_copy(update={"writes": True})
    config = config.model_copy(update={"environment": environment})
    server, collected, sink, found = measured(config, one_after_the_other(0.00425))
    steps = steps_from(sink["steps"])
    # two requests of 4.25 ms a journey
    assert [(one.rate, one.sustained) for one in steps] == [
        (40, True), (60, True), (100, True), (150, False), (150, False),
    ]  # fmt: skip
    capacity = figure(found, "api.capacity")
    assert capacity.value == pytest.approx(100, rel=0.05)
    assert capacity.source == "capacity search: good journeys a second of the highest sustained step"
    assert server.requests == sink["samples"].num_rows
    assert collected.load is not None
    assert collected.load.sent == server.requests
    assert figure(found, "api.journey.errors").n < sum(one.planned for one in steps)
    assert collected.load_plan["search_ended"] == "limit"
