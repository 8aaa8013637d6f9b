"""The WebSocket component with Socket.IO, as an environment asks for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
from pydantic import SecretStr

from deployments.config import Target, build_config
from tasks.components.base import CollectContext, Samples
from tasks.components.websocket import WEBSOCKET
from tests.socketio_server import running


@dataclass
class Tables:
    kept: dict[str, pa.Table] = field(default_factory=dict)

    def write(self, name: str, table: pa.Table) -> None:
        self.kept[name] = table


def test_an_environment_that_speaks_socketio_is_checked_and_measured() -> None:
    settings = {
        "duration_s": "2",
        "ramp_up_s": "0.5",
        "websocket.pace_s": "0.25",
        "websocket.protocol": "socketio",
        "websocket.storm_at_s": "1",
        "websocket.storm_s": "0.5",
        "websocket.backoff_s": "0.1",
    }
    config, tables = build_config("development", overrides=settings), Tables()
    with running() as servers:
        server = servers.start(pushes=3)
        target = Target(ws_url=SecretStr(f"ws://127.0.0.1:{server.port}/?token=canary"), local=True)
        assert all(one.ok for one in WEBSOCKET.check(config, target))
        collected = WEBSOCKET.collect(CollectContext(config, target, tables))
        told = server.counts()
    found = WEBSOCKET.measure(Samples(tables.kept, collected), config)
    figures = {one.metric: one for one in found if not one.labels}
    assert WEBSOCKET.metrics <= set(figures)
    assert collected.load is not None
    assert collected.load.sent >= told.events.total() > 0
    assert told.connects == 20, "ten, and ten that came back from the storm"
    assert figures["websocket.recovery.max"].n == 10
    assert figures["websocket.connects.ratio"].value == 1
    assert tables.kept["pushes"].num_rows == told.pushed == 60
    assert collected.load_plan["transport"] == "upgrade"
    assert "canary" not in collected.model_dump_json()
