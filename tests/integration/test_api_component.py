"""The api component against a real server: counts agree, writes are left out, dead targets are measured."""

from __future__ import annotations

import asyncio
import socket

import pytest
from pydantic import SecretStr

from deployments.config import ApiSettings, Endpoint, RunConfig, Target, ValueRange, build_config
from storage.errors import NotMeasuredError
from storage.records import Collected, Measurement
from tasks.components.api import API
from tasks.components.base import CollectContext, Progress, Samples
from tests.load_servers import Received, reply, serving
from tests.sinks import Sink

SETTINGS = ApiSettings(
    headers={"accept": "application/json"},
    values={"id": ValueRange(template="o{n}", first=1, last=9)},
    endpoints=(
        Endpoint(path="/orders/{id}", weight=8),
        Endpoint(path="/broken", weight=2),
        Endpoint(method="POST", path="/orders", body={"id": "{id}"}, writes=True, weight=5),
    ),
    timeout_s=2,
)


def configure(*, writes: bool = False, seconds: float = 3) -> RunConfig:
    config = build_config("development", overrides={"users": "60", "duration_s": str(seconds), "ramp_up_s": "1"})
    environment = config.environment.model_copy(update={"api": SETTINGS, "writes": writes})
    return config.model_copy(update={"environment": environment})


async def answer(_received: Received, target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.01)
    writer.write(reply(503 if "broken" in target else 200, head="X-Release: 2024.6\r\n"))


def collect(url: str, config: RunConfig, **headers: str) -> tuple[Collected, Sink, list[Progress]]:
    sink, told = Sink(), list[Progress]()
    target = Target(api_url=SecretStr(url), headers={name: SecretStr(value) for name, value in headers.items()})
    context = CollectContext(config, target, sink, told.append)
    return API.collect(context), sink, told


def figure(measurements: list[Measurement], metric: str) -> Measurement:
    return next(m for m in measurements if m.metric == metric and not m.labels)


def test_what_the_server_counted_is_what_the_samples_hold() -> None:
    config = configure()
    with serving(answer) as server:
        collected, sink, told = collect(f"http://user:hunter2@127.0.0.1:{server.port}/base", config)
    assert collected.load is not None
    assert collected.load.planned == collected.load.sent == sink["samples"].num_rows == server.requests == 150
    assert collected.fingerprint == {"target": f"http://127.0.0.1:{server.port}/base", "x-release": "2024.6"}
    assert collected.notes == ("left out, because this environment forbids writes: POST /orders",)
    assert "hunter2" not in collected.model_dump_json()
    assert all(target.startswith("GET /base/") for target in server.targets)
    assert all("Authorization: Basic dXNlcjpodW50ZXIy" in head for head in server.heads)
    assert [progress.component for progress in told] == ["api"] * len(told)
    assert told
    samples = Samples(sink, collected)
    measurements = API.measure(samples, config)
    p50, ratio = figure(measurements, "api.latency.p50"), figure(measurements, "api.errors.ratio")
    assert p50.value is not None
    assert 10 <= p50.value <= 25
    broken = server.targets["GET /base/broken"]
    assert ratio.value == broken / 150
    findings = API.advise(samples, measurements, config)
    failing = next(finding for finding in findings if finding.id == "api.errors:GET /broken")
    assert failing.detail == f"{broken} of {broken}: {broken} × status 503."


def test_a_token_is_sent_and_stored_nowhere() -> None:
    with serving(answer) as server:
        url = f"http://127.0.0.1:{server.port}"
        collected, sink, _ = collect(url, configure(seconds=2), authorization="Bearer canary")
    assert server.requests == sink["samples"].num_rows > 0
    assert all("authorization: Bearer canary\r\n" in head for head in server.heads)
    assert "canary" not in collected.model_dump_json() + str(sink["samples"].to_pydict())


def test_writes_are_sent_where_they_are_allowed() -> None:
    with serving(answer) as server:
        collected, sink, _ = collect(f"http://127.0.0.1:{server.port}", configure(writes=True, seconds=2))
    assert collected.notes == ()
    assert server.targets["POST /orders"] > 0
    assert sink["samples"].num_rows == server.requests


def test_a_dead_api_is_measured_with_every_request_failed() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = configure(seconds=2)
    collected, sink, _ = collect(f"http://127.0.0.1:{port}", config)
    measurements = API.measure(Samples(sink, collected), config)
    assert figure(measurements, "api.errors.ratio").value == 1.0
    assert figure(measurements, "api.latency.p95").note == "no data: 60 of 60 requests got no answer (60 refused)"
    assert "api.unreachable:target" in {
        finding.id for finding in API.advise(Samples(sink, collected), measurements, config)
    }


def test_a_wrong_address_is_not_measured() -> None:
    with pytest.raises(NotMeasuredError, match="DEVELOPMENT_API_URL is not a valid URL"):
        collect("not a url", configure())


def test_doctor_looks_without_any_request() -> None:
    with serving(answer) as server:
        target = Target(api_url=SecretStr(f"http://127.0.0.1:{server.port}"))
        checks = API.check(configure(), target)
    assert [(check.name, check.ok) for check in checks] == [("API address", True), ("API connection", True)]
    assert server.requests == 0
    (_, dead) = API.check(configure(), target)
    assert not dead.ok
    assert dead.remedy
