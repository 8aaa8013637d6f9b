"""`hasivu-perf serve` as a user runs it: it answers, is set up, listens on the loopback alone, and ends with all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from deployments.channels import PRIVATE, WEBHOOK
from deployments.config import known
from deployments.hosting.guardian import free_port
from deployments.local.held import DATABASES
from tests import canaries
from tests.databases import database
from tests.receivers import serving

PROGRAM = Path(sys.executable).with_name("hasivu-perf")
pytestmark = pytest.mark.timeout(900)

FOREIGN = ("PREFECT_", "HASIVU_", "AWS_", "DEVELOPMENT_", "STAGING_", "PRODUCTION_")
READY_S = 240.0
HTTP_S = 60.0
"""How long one request may take on a busy machine."""
END_S = 10.0
GONE_S = 5.0
QUIET_S = 5.0


@dataclass(frozen=True)
class Served:
    """A running `serve`, and everything that it started."""

    process: subprocess.Popen[bytes]
    started: list[psutil.Process]
    port: int
    folder: Path
    variables: Mapping[str, str]

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"


@contextmanager
def served(folder: Path, *arguments: str, **variables: str) -> Iterator[Served]:
    """Serve from a home and a folder for temporary files below `folder`, until ready."""
    (folder / "tmp").mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
    environment = {**clean, "TMPDIR": str(folder / "tmp"), "HASIVU_PERF_HOME": str(folder / "home"), **variables}
    port = free_port()
    command = [str(PROGRAM), "serve", "--port", str(port), *arguments]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True) as process,
    ):
        try:
            until = time.monotonic() + READY_S
            while "until Ctrl-C" not in (folder / "log").read_text():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.2)
            started = psutil.Process(process.pid).children(recursive=True)
            yield Served(process, started, port, folder, environment)
        finally:
            if process.poll() is None:
                process.kill()


def assert_gone(serve: Served, seconds: float) -> None:
    _, alive = psutil.wait_procs(serve.started, timeout=seconds)
    assert [one.cmdline() for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert list((serve.folder / "tmp").iterdir()) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{serve.api}/health", timeout=2)


def listeners(serve: Served) -> set[str]:
    """The addresses that the program and all it started listen at."""
    processes = [psutil.Process(serve.process.pid), *serve.started]
    found = [
        one for process in processes for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN
    ]
    return {one.laddr.ip for one in found}


def posted(serve: Served, path: str) -> list[dict[str, object]]:
    answer = httpx.post(f"{serve.api}{path}", json={}, timeout=HTTP_S)
    answer.raise_for_status()
    found: list[dict[str, object]] = answer.json()
    return found


def test_serve_is_set_up_on_the_loopback_and_ends_when_told(tmp_path: Path) -> None:
    with served(tmp_path) as serve:
        page = httpx.get(f"http://127.0.0.1:{serve.port}/", timeout=HTTP_S)
        assert page.headers["content-type"].startswith("text/html")
        assert httpx.get(f"http://127.0.0.1:{serve.port}/ui-settings", timeout=HTTP_S).json()["api_url"] == serve.api
        assert {"production", "staging"} <= {str(one["name"]) for one in posted(serve, "/deployments/filter")}
        (worker,) = posted(serve, "/work_pools/hasivu-perf/workers/filter")
        assert worker["status"] == "ONLINE"
        assert listeners(serve) == {"127.0.0.1"}

        again = subprocess.run(
            [str(PROGRAM), "serve", "--port", str(serve.port)],
            env=serve.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert again.returncode == 2
        (line,) = again.stderr.splitlines()
        assert line.startswith(f"hasivu-perf: a Prefect server answers at http://127.0.0.1:{serve.port} already")

        serve.process.send_signal(signal.SIGTERM)
        assert serve.process.wait(END_S) == 0
        assert_gone(serve, GONE_S)
    assert (tmp_path / "home" / "prefect" / "prefect.db").stat().st_size > 0
    assert "Traceback" not in (tmp_path / "log").read_text()


class Echo(BaseHTTPRequestHandler):
    """An API that answers every request with an error that repeats all that it was sent; and a receiver of messages.

    A receiver that repeats its own address would have it kept: Prefect stores what it answers with its event.
    """

    def do_GET(self) -> None:
        message = canaries.SECRETS["webhook"] in self.path
        body = b"" if message else f"{self.path}\n{self.headers}".encode()
        self.send_response(200 if message else 500)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-you-sent", self.headers.get("authorization", ""))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def answer_of(ask: Callable[[], httpx.Response]) -> Any:
    """What the server answers; on a busy machine it answers late or "try again", which its own clients do, too."""
    until = time.monotonic() + READY_S
    while True:
        with suppress(httpx.TimeoutException):
            answer = ask()
            if answer.is_success:
                return answer.json()
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
        assert time.monotonic() < until, "it did not answer in time"
        time.sleep(0.5)


def created(serve: Served, deployment: str, params: dict[str, Any]) -> str:
    """A flow run of a deployment; asked for twice it is the same one."""
    url = f"{serve.api}/deployments/{deployment}/create_flow_run"
    body = {"parameters": {"params": params}, "idempotency_key": "once"}
    return str(answer_of(lambda: httpx.post(url, json=body, timeout=HTTP_S))["id"])


def ended(serve: Served, run: str) -> dict[str, Any]:
    """The final state of a flow run."""
    until = time.monotonic() + READY_S
    state: dict[str, Any] = {"type": "unknown"}
    while state["type"] not in {"COMPLETED", "FAILED", "CRASHED"}:
        assert time.monotonic() < until, state
        time.sleep(0.5)
        state = answer_of(lambda: httpx.get(f"{serve.api}/flow_runs/{run}", timeout=HTTP_S))["state"]
    return state


def test_no_secret_of_a_worker_s_environment_is_kept_anywhere(tmp_path: Path) -> None:
    with socket.socket() as holder, serving(ThreadingHTTPServer(("127.0.0.1", 0), Echo)) as echo:
        holder.bind(("127.0.0.1", 0))  # nobody listens there
        dead = holder.getsockname()[1]
        variables = canaries.variables(f"http://127.0.0.1:{echo}", f"ws://127.0.0.1:{echo}/ws", dead) | {
            "DEVELOPMENT_DATABASE_URL": f"postgresql://perf:{canaries.quoted('pooler password')}@127.0.0.1:{dead}/x",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{echo}",
            "AWS_REGION": "ap-south-1",
            WEBHOOK: f"http://127.0.0.1:{echo}/{canaries.SECRETS['webhook']}",
            PRIVATE: "true",
        }
        with canaries.watching_processes() as in_command_lines, served(tmp_path, **variables) as serve:
            found = httpx.get(f"{serve.api}/deployments/name/performance-pipeline/development", timeout=HTTP_S).json()
            overrides = {
                "load.duration_s": "3",
                "load.ramp_up_s": "1",
                "api.headers": '{accept = "application/json", x-token = "Bearer ${LUNCH_TOKEN}"}',
                "database.pooler_variable": '"DEVELOPMENT_PGBOUNCER_URL"',
            }
            params = {**found["parameters"]["params"], "local": False, "overrides": overrides}
            state = ended(serve, created(serve, found["id"], params))
            report = list(tmp_path.glob("home/output/performance-orchestration-reports/*/*/report.json"))
            time.sleep(QUIET_S)  # in which the server tells the channels, and keeps what came of it
            assert canaries.leaks_below(tmp_path) == {}, "Prefect's database, logs, results, reports, temporary files"
            serve.process.send_signal(signal.SIGTERM)
            serve.process.wait(END_S)
    assert state["type"] == "FAILED", "all of it is dead or answers with errors"
    assert report
    assert canaries.leaks_below(tmp_path) == {}
    assert in_command_lines == set()


def test_serve_on_postgresql_with_the_platform_leaves_nothing_after_kill_9(tmp_path: Path) -> None:
    (tmp_path / "serve").mkdir()
    with database(tmp_path) as held:
        url = held.admin.replace("postgresql://", "postgresql+asyncpg://")
        with served(tmp_path / "serve", "--local", **{DATABASES[0]: url}) as serve:
            with psycopg.connect(held.admin) as connection:
                assert connection.execute("SELECT count(*) FROM deployment").fetchone() == (8,)
            worker = next(one for one in serve.started if "worker" in one.cmdline())
            variables = worker.environ()
            assert {f"{name.upper()}_API_URL" for name in known()} <= set(variables)
            assert variables["HASIVU_PERF_OUTPUT"] == str(tmp_path / "serve" / "home" / "output")
            assert listeners(serve) == {"127.0.0.1"}

            password = held.server.passwords.admin
            assert not [one for one in serve.started if password in " ".join(one.cmdline())]
            assert password not in " ".join(variables.values())
            for log in (tmp_path / "serve" / "home" / "logs").iterdir():
                assert password not in log.read_text()

            serve.process.kill()
            serve.process.wait(5)
            assert_gone(serve, GONE_S)
