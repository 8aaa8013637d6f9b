"""A world to operate in: the platform, a full Prefect server set up by the program, workers, short loads."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from deployments.config import ENVIRONMENTS
from deployments.hosting.guardian import Guardian, Service
from deployments.local.app import service as application
from deployments.local.platform import Platform, answers
from deployments.local.registry import start_time
from tests.door import Door

SHORT = {"duration_s": 8, "ramp_up_s": 2, "users": 10, "days": 2}
"""Of the load, and of the logs of Lambda functions."""
BUSY_S = 60.0
WAIT_S = 400.0
"""How long may take what no document promises a time for, on a busy machine."""

UNDER_WORKER = "PREFECT__FLOW_RUN_ID"
"""The variable by which Prefect's worker tells a process which flow run is its own."""

FINAL = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


def short_environments(folder: Path) -> Path:
    """The environment files with a load and logs that a test can wait for."""
    folder.mkdir()
    for path in ENVIRONMENTS.glob("*.toml"):
        text = path.read_text(encoding="utf-8")
        for name, value in SHORT.items():
            text, count = re.subn(rf"^{name} = \S+$", f"{name} = {value}", text, count=1, flags=re.MULTILINE)
            assert count == 1, f"{path.name} has no {name}"
        shared = "" if "\nindicative" in text else "indicative = true\n"  # the targets are on this machine
        (folder / path.name).write_text(shared + text, encoding="utf-8")
    return folder


@dataclass
class World:
    """Addresses, variables and what can be done to them; `api` is the Prefect server's REST API."""

    platform: Platform
    guardian: Guardian
    api: httpx.Client
    ui: str
    variables: Mapping[str, str]
    redis: Door
    folder: Path
    workers: dict[str, int] = field(default_factory=dict)

    # --- workers ---

    def only_worker(self, name: str, **more: str) -> None:
        """Let this worker run and no other, which would take its runs, whatever a test before has left behind.

        It is on a machine of its own: other home, other working folder, other results of Prefect's.
        """
        services = self.guardian.alive()
        running = {one for one in self.workers if services[f"worker-{one}"].running}
        for other in running - {name}:
            self.stop_worker(other)
        if name not in running:
            self._start_worker(name, **more)

    def _start_worker(self, name: str, **more: str) -> None:
        machine = self.folder / f"machine-{name}"
        for part in ("tmp", "home"):
            (machine / part).mkdir(parents=True, exist_ok=True)
        environment = {
            **self.variables,
            "HOME": str(machine / "home"),
            "TMPDIR": str(machine / "tmp"),
            "PREFECT_HOME": str(machine / "prefect"),
            "PREFECT_LOCAL_STORAGE_PATH": str(machine / "results"),
            **more,
        }
        argv = (sys.executable, "-m", "prefect", "worker", "start", "--pool", "hasivu-perf", "--type", "process")
        service = Service(f"worker-{name}", (*argv, "--name", name), cwd=machine, env=environment)
        self.workers[name] = self.guardian.start(service)

    def stop_worker(self, name: str) -> None:
        """End a worker as an operator does."""
        self.guardian.stop(f"worker-{name}")

    def engine(self, run: str, worker: str) -> int | None:
        """The process in which a worker runs this flow run, as soon as it is there."""
        mine = f"{UNDER_WORKER}={run}".encode()
        return next((pid for pid in children(self.workers[worker]) if mine in environ(pid)), None)

    # --- flow runs ---

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment of the pipeline."""
        return self._get(f"/deployments/name/performance-pipeline/{name}")

    def create(self, deployment: str, **params: Any) -> str:
        """Start a flow run of a deployment, with some of its parameters changed; returns its id."""
        found = self.deployment(deployment)
        given = {"params": {**found["parameters"]["params"], **params}}
        return str(self._post(f"/deployments/{found['id']}/create_flow_run", {"parameters": given})["id"])

    def flow_run(self, run: str) -> dict[str, Any]:
        """A flow run as the server has it."""
        return self._get(f"/flow_runs/{run}")

    def wait(
        self, run: str, state: Iterable[str] = FINAL, *, count: int = 1, seconds: float = WAIT_S
    ) -> dict[str, Any]:
        """Wait until a flow run that was started so often is in one of these states."""
        wanted = set(state)

        def there() -> dict[str, Any] | None:
            found = self.flow_run(run)
            return found if found["state_type"] in wanted and found["run_count"] >= count else None

        return until(there, seconds, lambda: f"{self.flow_run(run)['state']}\n{self.log(run)}")

    def set_state(self, run: str, kind: str, name: str) -> None:
        """What the buttons of the UI do."""
        self._post(f"/flow_runs/{run}/set_state", {"state": {"type": kind, "name": name}, "force": True})

    def task_runs(self, run: str) -> dict[str, dict[str, Any]]:
        """The newest task run of each name."""
        found = self._list("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {one["name"]: one for one in sorted(found, key=lambda one: one["start_time"] or "")}

    def artifacts(self, run: str) -> dict[str, Any]:
        """The newest artifact of each key of a flow run."""
        found = self._list("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return {one["key"]: one["data"] for one in sorted(found, key=lambda one: str(one["created"]))}

    def log(self, run: str) -> str:
        """What a flow run said."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(one["message"] for one in self._list("/logs/filter", body))

    def slots(self, environment: str) -> int:
        """How many runs hold the load slot of an environment."""
        return int(self._get(f"/v2/concurrency_limits/load-{environment}")["active_slots"])

    # --- the platform ---

    def redeploy(self, release: str) -> None:
        """End the application and start it as another release, at the same address."""
        running = self.platform
        port = running.application_port or 0
        running.guardian.stop("application")
        environment = {
            "DATABASE_URL": running.application_database_url,
            "REDIS_URL": running.redis_url,
            "PLATFORM_RELEASE": release,
        }
        command = tuple(application.command(port))
        service = Service("application", command, cwd=running.folder / "application", env=environment)
        running.guardian.start(service)
        until(lambda: answers(port, application.READY_PATH), 30)

    def counted(self) -> dict[str, int]:
        """How many requests the application answered, by route."""
        rows = httpx.get(f"{self.platform.api_url}/__platform__/counters", timeout=10).json()["http"]
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["route"]] = counts.get(row["route"], 0) + row["count"]
        return counts

    def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", path)
        return found

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("POST", path, body)
        return found

    def _list(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("POST", path, body)
        return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The server's answer; while its database is busy that is 503, nothing was done, and it is asked again."""
        end = time.monotonic() + BUSY_S
        while True:
            answer = self.api.request(method, path, json=body)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > end:
                assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
                return answer.json()
            time.sleep(0.5)


_T = TypeVar("_T")


def until(ask: Callable[[], _T | None], seconds: float, words: Callable[[], str] = lambda: "") -> _T:
    """Ask again and again until there is an answer."""
    end = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {words()}"
        time.sleep(0.25)
    return found


def children(pid: int) -> list[int]:
    """The direct children of a process, whichever of its threads started them."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # the thread has ended
            found += [int(one) for one in listed.read_text(encoding="utf-8").split()]
    return found


def environ(pid: int) -> list[bytes]:
    """The variables that a process was started with; none once it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def load_workers(engine: int) -> dict[int, str]:
    """Pid and start time of the processes in which an engine's load runs."""
    found = {}
    for pid in children(engine):
        with suppress(FileNotFoundError):  # it has ended
            if "tasks.load" in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8"):
                found[pid] = start_time(pid) or ""
    return found


def alive(processes: Mapping[int, str]) -> list[int]:
    """Which of some processes still are the ones that they were."""
    return [pid for pid, started in processes.items() if start_time(pid) == started]


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


def last_json(text: str) -> dict[str, Any]:
    """The JSON object that a program printed."""
    found: dict[str, Any] = json.loads(text)
    return found
