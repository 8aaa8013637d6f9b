"""Hostile HTTP servers: every behaviour is an error of its own kind, counted to the last one, within time and memory.

All behaviours are asked in one run, at once: none may harm what another one counts.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.config import Endpoint, Target, build_config
from deployments.load import Load
from tasks import identity
from tasks.load.http_load import HttpPlan, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.recording import samples
from tasks.load.schedule import Phase
from tests.faults.http_faults import FAULTS, hostile, sized
from tests.load_servers import Received, serving

EACH = 4
SECONDS = 4
PROGRAM = Path(sys.executable).with_name("hasivu-perf")
LOAD = Load(users=1, duration_s=SECONDS, ramp_up_s=1, max_rate=1000, abort_after_s=60)
PAUSING = {"refused-503", "later-silly"}
"""They ask for a pause, which holds for the whole target: asked for apart."""


@pytest.fixture
def target() -> Iterator[Received]:
    with serving(hostile()) as received:
        yield received


def test_each_way_has_its_kind_and_every_request_is_accounted_for(target: Received) -> None:
    ways = [way for way in FAULTS if way not in PAUSING]
    rate = EACH * len(ways) / SECONDS
    plan = HttpPlan(
        url=f"http://127.0.0.1:{target.port}",
        variable="TEST_API_URL",
        endpoints=[endpoint_plan(Endpoint(path=f"/{way}")) for way in ways],
        values={},
        stages=[schedule_stage([Phase("steady", rate, rate, SECONDS)], list(range(len(ways))), jitter="none")],
        load=LOAD,
        timeout_s=1.5,
        max_connections=1000,
    )
    began = time.monotonic()
    run = run_http(plan)
    assert time.monotonic() - began < SECONDS + 15
    assert run.table.num_rows == run.facts["planned"] == EACH * len(ways)
    assert max(share["rss_mb"] for share in run.facts["shares"]) < 300
    wrong = {}
    for way in ways:
        rows = samples.of_endpoint(run.table, f"GET /{way}")
        kinds = samples.errors_by_kind(rows)
        number = samples.counts(rows)
        assert number["sent"] == number["answered"] + number["errors"], way
        expected = FAULTS[way].kinds
        if not (set(kinds) <= expected if expected else not kinds):
            wrong[way] = kinds
    assert not wrong
    assert len(samples.errors_by_kind(run.table)) >= 10


@pytest.mark.parametrize("way", ["refused-503", "later-silly", "redirect-foreign", "body-for-ever", "gzip-bomb"])
def test_a_user_gets_an_exit_code_that_is_documented_and_no_traceback(target: Received, way: str) -> None:
    url = f"http://127.0.0.1:{target.port}/{way}"
    command = [str(PROGRAM), "load", url, "--rate", "20", "--duration", "2", "--timeout", "1", "--json"]
    began = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = json.loads(ended.stdout)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == found["exit_code"] == (0 if way == "gzip-bomb" else 3)
    assert found["planned"] == found["sent"] + found["unsent"] == 40
    assert found["sent"] == found["answered"] + sum(
        count for kind, count in found["errors"]["by_kind"].items() if kind in samples.ERRORS
    )
    assert time.monotonic() - began < 2 + 15


@pytest.mark.parametrize("way", ["drip-head", "head-for-ever", "redirect-foreign", "gzip-bomb", "half-body"])
def test_who_asks_for_the_build_is_neither_held_nor_led_elsewhere(way: str) -> None:
    async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        await FAULTS[way].answer(received, target, body, writer)

    script = (
        "import sys; from pydantic import SecretStr; from deployments.config import Target, build_config;"
        "from tasks import identity;"
        "facts, notes = identity.identify(build_config('development'), Target(api_url=SecretStr(sys.argv[1])));"
        "print(facts, notes)"
    )
    began = time.monotonic()
    with serving(answer) as server:
        url = f"http://127.0.0.1:{server.port}"
        ended = subprocess.run(
            [sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60, check=True
        )
    assert "release is not known" in ended.stdout
    assert time.monotonic() - began < identity.SECONDS + 10, "no thread of it holds the process"


def test_the_build_is_read_where_it_is_told() -> None:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(sized(b'{"release": "v7"}'))

    with serving(answer) as server:
        target = Target(api_url=SecretStr(f"http://127.0.0.1:{server.port}"))
        assert identity.identify(build_config("development"), target) == ({"release": "v7"}, ())
