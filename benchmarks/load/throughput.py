"""Requests per client CPU-second over 50 connections, as fast as the server answers: the engine and its rivals.

Processor seconds of the client hold on a noisy machine where wall times do not. What a rival needs to start is left
out: Locust tells its own figure between start and stop of the test, k6's start is measured apart, wrk's is nothing.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.load.places import CLIENT_CORE, MissingError, pinned, program, run_program
from benchmarks.load.truth import WORKER, k6_start_s
from storage.errors import NotMeasuredError
from tasks.load.adhoc.adhoc import run_adhoc
from tasks.load.adhoc.oracle import run_k6
from tasks.load.adhoc.plan import make_plan
from tasks.load.process import run_worker

CONNECTIONS = 50

_LOCUST = """
import json, time
from locust import FastHttpUser, constant, events, task

class Child(FastHttpUser):
    insecure = True
    wait_time = constant(0)

    @task
    def ask(self):
        self.client.get("/")

began = [0.0]

@events.spawning_complete.add_listener
def started(user_count, **_):
    began[0] = time.process_time()
    events_environment.stats.reset_all()

@events.init.add_listener
def known(environment, **_):
    global events_environment
    events_environment = environment

@events.test_stop.add_listener
def stopped(environment, **_):
    used = time.process_time() - began[0]
    print(json.dumps({"requests": environment.stats.total.num_requests, "cpu_s": used}), flush=True)
"""


def callbacks(url: str, seconds: float) -> float:
    """The closed loop of `hasivu-perf load --connections`."""
    with pinned(CLIENT_CORE):
        run = run_adhoc(make_plan(url, connections=CONNECTIONS, duration_s=seconds))
    return run.table.num_rows / run.client_cpu_s


def api(url: str, seconds: float) -> float:
    """As many users with the httpx client."""
    plan = {"what": "api", "url": url, "users": CONNECTIONS, "seconds": seconds}
    with pinned(CLIENT_CORE):
        facts = run_worker(WORKER, plan, deadline_s=seconds + 40).facts
    return float(facts["requests"] / facts["cpu_s"])


def wrk(url: str, seconds: float) -> float:
    """Wrk with one thread."""
    command = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", url]
    text, cpu_s = run_program(command, limit_s=seconds + 30)
    found = re.search(r"(\d+) requests in", text)
    assert found, text
    return int(found[1]) / cpu_s


def k6(url: str, seconds: float) -> float:
    """k6's constant-vus."""
    binary = program("k6")
    start_s = k6_start_s()
    with pinned(CLIENT_CORE):
        seen = run_k6(make_plan(url, connections=CONNECTIONS, duration_s=seconds), binary)
    return seen.requests / ((seen.client_cpu_seconds or 0.0) - start_s)


def locust(url: str, seconds: float) -> float:
    """Locust's FastHttpUser in one process."""
    binary = program("locust")
    with tempfile.TemporaryDirectory(prefix="hasivu-bench-") as name:
        Path(name, "locustfile.py").write_text(_LOCUST, encoding="utf-8")
        load = [
            "--headless",
            "-u",
            str(CONNECTIONS),
            "-r",
            str(CONNECTIONS),
            "-t",
            f"{seconds + 1:.0f}s",
            "--host",
            url,
        ]
        text, _ = run_program([binary, "-f", "locustfile.py", *load], limit_s=seconds + 60, folder=Path(name))
    lines = [line for line in text.splitlines() if line.startswith('{"requests"')]
    told = json.loads(lines[-1])
    return float(told["requests"] / told["cpu_s"])


TOOLS: dict[str, Callable[[str, float], float]] = {
    "callbacks": callbacks,
    "httpx API": api,
    "wrk": wrk,
    "k6": k6,
    "Locust FastHttpUser": locust,
}


def one(name: str, url: str, seconds: float) -> float | str:
    """One tool's figure; a string where it is not measured."""
    try:
        return TOOLS[name](url, seconds)
    except MissingError as missing:
        return str(missing)
    except NotMeasuredError as error:
        return f"not measured: {error}"
