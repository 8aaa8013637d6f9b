"""A scenario in the pipeline: the api component makes its journeys, by an environment's field and by the suite."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deployments.config import build_config, missing_variables, resolve_target
from deployments.parameters import Overrides
from storage.errors import ConfigurationError
from tasks.suite import RealTimePerformanceSuite
from tests.load_servers import Received, reply, serving

LUNCH = """
async def lunch(user):
    user.check((await user.http.get("/menus/daily")).is_success, "the menu is there")
    with user.group("pay"):
        await user.http.post("/orders", json={}, headers={"x-token": user.variables["token"]})
"""


async def kitchen(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(201 if target == "POST /orders" else 200))


def test_journeys_take_the_place_of_the_weighted_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lunch.py"
    path.write_text(LUNCH)
    monkeypatch.setenv("LUNCH_TOKEN", "t0ps3cret-token")
    with serving(kitchen) as received:
        result = RealTimePerformanceSuite(
            base_url=f"http://127.0.0.1:{received.port}",
            scenario=f"{path}:lunch",
            overrides={"scenario.variables": '{ token = "${LUNCH_TOKEN}" }'},
            users=20,
            duration_s=2,
            ramp_up_s=0.5,
            output=str(tmp_path / "out"),
        ).run()
    (outcome,) = result.components.values()
    assert outcome.measured
    figures = outcome.measurements
    assert figures["api.errors.ratio"] == figures["api.journey.errors"] == figures["api.checks.failed"] == 0
    assert figures["api.journey.p95"] is not None
    assert figures["api.journey.p95"] >= (figures["api.latency.p50"] or 0)
    (measured,) = [one for one in result.report.components if one.status == "measured"]
    named = {one.labels["journey"] for one in measured.measurements if "journey" in one.labels}
    assert named == {"lunch", "lunch / pay"}
    asked = {target for target in received.targets if not target.endswith("/status")}  # that is which build it is
    assert asked == {"GET /menus/daily", "POST /orders"}
    assert received.targets["GET /menus/daily"] == received.targets["POST /orders"] > 20
    assert any("x-token: t0ps3cret-token" in head.lower() for head in received.heads)
    written = [file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert written
    assert not any(b"t0ps3cret" in content for content in written)
    assert measured.collected.load_plan["journeys"].startswith(f"{received.targets['POST /orders']} began, 0 of")


def test_a_variable_that_is_missing_is_named() -> None:
    overrides = {"scenario.file": "lunch.py:lunch", "scenario.variables": '{ token = "Bearer ${LUNCH_TOKEN}" }'}
    config = build_config("development", components=("api",), overrides=overrides)
    here = {"DEVELOPMENT_API_URL": "http://127.0.0.1:1"}
    assert missing_variables(config, here) == ["LUNCH_TOKEN"]
    target = resolve_target(config, here | {"LUNCH_TOKEN": "t0p"})
    assert target.variables["token"].get_secret_value() == "Bearer t0p"
    assert "t0p" not in repr(target)


def test_the_command_lines_scenario_has_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Overrides(scenario="lunch.py:a=3,lunch.py:b").fields() == {
        "scenario.file": f"{tmp_path}/lunch.py:a=3,{tmp_path}/lunch.py:b=1"
    }
    with pytest.raises(ConfigurationError, match=r"FILE\.py:NAME"):
        Overrides(scenario="lunch").fields()
