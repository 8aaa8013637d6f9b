"""`RealTimePerformanceSuite`: the Python door measures what it is given, scores it, and says what it could not."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ConfigurationError
from tasks.suite import RealTimePerformanceSuite, SuiteConfig
from tests.load_servers import Received, reply, serving

SHORT: dict[str, Any] = {"users": 20, "duration_s": 2, "ramp_up_s": 0.5}


async def api(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(201 if target == "POST /orders" else 200, b'{"success": true}'))


def test_an_api_is_loaded_and_scored_and_a_dead_cache_is_not_measured(tmp_path: Path) -> None:
    before = dict(os.environ)
    with serving(api) as received:
        suite = RealTimePerformanceSuite(
            base_url=f"http://127.0.0.1:{received.port}",
            redis_url="redis://127.0.0.1:1/0",
            components=("api", "cache"),
            output=str(tmp_path),
            **SHORT,
        )
        result = suite.run()
    measured = result.components["api"]
    assert measured.measured
    assert measured.measurements["api.errors.ratio"] == 0
    assert measured.measurements["api.latency.p95"]
    assert measured.score is not None
    assert received.requests > 20
    dead = result.components["cache"]
    assert not dead.measured
    assert dead.error
    assert dead.score is None
    assert dead.measurements == {}
    assert set(result.components) == {"api", "cache"}
    assert 0 < result.coverage < 1
    again = json.loads(json.dumps(result.to_json()))
    assert again["components"]["api"]["measurements"]["api.errors.ratio"] == 0
    assert list(tmp_path.glob("performance-orchestration-reports/development/*/report.json"))
    assert dict(os.environ) == before


def test_the_seeds_fields_and_their_defaults() -> None:
    suite = RealTimePerformanceSuite({"base_url": "http://127.0.0.1:1"})
    assert (suite.config.users, suite.config.duration_s, suite.config.ramp_up_s) == (200, 1800, 300)
    assert RealTimePerformanceSuite(SuiteConfig(websocket_url="ws://127.0.0.1:1")).config.users == 200
    assert "127.0.0.1" not in repr(suite.config)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give one of base_url, websocket_url, redis_url"),
        ({"base_ulr": "http://x.test"}, "field 'base_ulr' is unknown"),
        ({"redis_url": "redis://x.test", "scenario": "a.py:b"}, "give base_url"),
        ({"redis_url": "redis://x.test", "components": ("api",)}, "component 'api' has no address"),
    ],
)
def test_a_wrong_configuration_is_told_before_any_load(given: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        RealTimePerformanceSuite(given)
