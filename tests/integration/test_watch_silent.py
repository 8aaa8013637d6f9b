"""Targets that take a connection and say nothing: each is down by itself, and nobody else waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import httpx
from pydantic import SecretStr

from deployments.config import Target, build_config
from tasks.monitoring.watch.alarm import Alert
from tasks.monitoring.watch.exporter import Exporter
from tasks.monitoring.watch.watch import Pace, Watch
from tests.processes import load_per_core

PATIENCE_S = 4
"""How long the watch waits for a target that never answers; much longer than a scrape takes on a busy machine."""


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes every connection, reads, and never answers."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        for one in held:
            one.close()


def test_targets_that_hang_hold_nobody_up() -> None:
    told: list[Alert] = []
    with silent() as port:
        config = build_config(
            "development",
            overrides={"api.timeout_s": str(PATIENCE_S), "database.statement_timeout_ms": str(PATIENCE_S * 1000)},
        )
        target = Target(
            api_url=SecretStr(f"http://127.0.0.1:{port}"),
            ws_url=SecretStr(f"ws://127.0.0.1:{port}/ws"),
            redis_url=SecretStr(f"redis://:c4nary@127.0.0.1:{port}/0"),
            database_url=SecretStr(f"postgresql://perf:c4nary@127.0.0.1:{port}/meals"),
        )
        watch = Watch(config, target, pace=Pace(probe_s=0.2, down_for_s=1, evaluate_s=0.2))
        watch.listeners.append(lambda one: told.append(one) if isinstance(one, Alert) else None)
        exporter = Exporter(watch.registry, ("127.0.0.1", 0), None)
        scrapes, text = [], ""
        try:
            watch.start()
            until = time.monotonic() + 45
            while {one.target for one in told} != {"api", "websocket", "cache", "database"}:
                assert time.monotonic() < until, (told, watch.board.targets())
                begin = time.monotonic()
                text = httpx.get(f"http://127.0.0.1:{exporter.port}/metrics", trust_env=False).text
                scrapes.append(time.monotonic() - begin)
                time.sleep(0.2)
            watch.wait(0.1)
        finally:
            begin = time.monotonic()
            watch.stop()
            ended = time.monotonic() - begin
            exporter.close()
    assert median(scrapes) < PATIENCE_S / 4, "a scrape that waits for a target takes half of its patience"
    assert median(scrapes) < 0.1 * load_per_core()
    assert ended < 6 * load_per_core()
    assert len(told) == 4, "one alert for each"
    assert "c4nary" not in text + repr(told)
    assert 'hasivu_target_up{environment="development",target="runs"} 1.0' in text
