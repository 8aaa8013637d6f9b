"""The rfid component against a real server of a known capacity."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from pydantic import SecretStr

from deployments.config import RunConfig, Target, build_config
from storage.records import Measurement
from tasks.components.base import CollectContext, Samples
from tasks.components.rfid import RFID
from tests.load_servers import Answer, Received, reply, serving
from tests.sinks import Sink


def configure(**load: str) -> RunConfig:
    overrides = {"duration_s": "8", "ramp_up_s": "1", "rfid.target_rate": "200", "rfid.latency_limit_ms": "60"}
    return build_config("development", overrides=overrides | load)


def verifying(per_second: float) -> Answer:
    """Verifies one card after the other at a fixed rate; a bulk takes a slot, too."""
    free_at = [0.0]

    async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        free_at[0] = max(free_at[0], time.monotonic()) + 1 / per_second
        await asyncio.sleep(max(0.0, free_at[0] - time.monotonic()))
        sent = json.loads(body)
        if target == "POST /rfid/verify":
            valid = sent["cardNumber"].startswith("RFID-") and "readerId" in sent
            writer.write(reply(200 if valid else 400, json.dumps({"success": valid}).encode()))
        else:
            results = [{"success": True} for _ in sent["verifications"]]
            writer.write(reply(200, json.dumps({"success": True, "results": results}).encode()))

    return answer


def measured(answer: Answer, config: RunConfig) -> tuple[Received, Samples, list[Measurement]]:
    with serving(answer) as server:
        sink = Sink()
        target = Target(api_url=SecretStr(f"http://127.0.0.1:{server.port}"))
        collected = RFID.collect(CollectContext(config, target, sink))
    samples = Samples(sink, collected)
    return server, samples, RFID.measure(samples, config)


def figure(measurements: list[Measurement], metric: str) -> Measurement:
    return next(m for m in measurements if m.metric == metric and not m.labels)


def test_the_search_finds_a_capacity_below_the_target() -> None:
    config = configure()
    server, samples, measurements = measured(verifying(150), config)
    assert samples.collected.load is not None
    assert server.requests == samples.tables["samples"].num_rows == samples.collected.load.sent
    throughput = figure(measurements, "rfid.throughput")
    assert throughput.value is not None
    # Steps of 40, 60, 90, 135, 200 verifications a second: the highest that a server of 150/s sustains is 135.
    # A busy machine may break a step earlier, but none can sustain the one above.
    assert 35 <= throughput.value <= 150
    latency = figure(measurements, "rfid.latency.p95").value
    assert latency is not None
    assert 6 <= latency <= 40
    assert figure(measurements, "rfid.errors.ratio").value == 0
    plan = samples.collected.load_plan
    assert plan["search_start"] < plan["search_end"]
    cards = [json.loads(body) for body in server.bodies]
    bulks = [card for card in cards if "verifications" in card]
    assert {len(bulk["verifications"]) for bulk in bulks} == {config.environment.rfid.bulk_size}
    assert figure(measurements, "rfid.bulk.p95").n == len(bulks)
    steps = samples.tables["steps"].to_pylist()
    assert [step["sustained"] for step in steps[-2:]] == [False, False]
    found = {finding.id for finding in RFID.advise(samples, measurements, config)}
    assert steps[-1]["generator_limited"] or "rfid.throughput:verify" in found


def test_max_rate_bounds_the_search_and_the_figure_says_so() -> None:
    config = configure(max_rate="100")
    _, samples, measurements = measured(verifying(1000), config)
    throughput = figure(measurements, "rfid.throughput")
    assert throughput.value == pytest.approx(100, rel=0.06)
    assert "below the target of 200/s" in throughput.note
    assert any("max_rate 100/s is below the target" in note for note in samples.collected.notes)


def test_a_body_that_says_no_is_a_failure_whatever_the_status() -> None:
    async def refusing(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, b'{"success": false, "error": "unknown card"}'))

    config = configure(duration_s="3")
    _, samples, measurements = measured(refusing, config)
    assert figure(measurements, "rfid.errors.ratio").value == 1.0
    throughput = figure(measurements, "rfid.throughput")
    assert throughput.value is None
    assert samples.collected.load is not None
    assert samples.collected.load.failed == samples.collected.load.answered > 0
