"""The slot of an environment, asked for at a real Prefect server that answers slowly."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.config import build_config
from flows.environment_slot import environment_slot
from tests.faults.proxy import Fault, proxy
from tests.prefect_client import forget_server

SLOW_S = 3.2
VARIABLES = build_config("development").environment.variables


def taken(name: str) -> int:
    with get_client(sync_client=True) as client:
        return int(client.read_global_concurrency_limit_by_name(name).active_slots)


def test_a_slot_that_is_granted_late_is_not_lost(server: str) -> None:
    address = urlsplit(server)
    with proxy(address.port or 0, Fault(delay_s=SLOW_S)) as slow:
        there = {PREFECT_API_URL: f"http://127.0.0.1:{slow.port}{address.path}"}
        began = time.monotonic()
        with temporary_settings(there), environment_slot("slow", VARIABLES, lambda _: None):
            assert time.monotonic() - began > 2 * SLOW_S, "the server did answer slowly"
            with temporary_settings({PREFECT_API_URL: server}):
                assert taken("load-slow") == 1
        forget_server()
    assert taken("load-slow") == 0
