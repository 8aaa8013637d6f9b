"""Requests per client CPU-second through the httpx API of the load engine, beside wrk, k6 and Locust, as ratios.

`python benchmarks/httpx_api.py [--bin FOLDER] [--rounds N]`: all ask one server for 1 KB of JSON over 50 kept-alive
connections, one after the other, in every round; the client is pinned to one core, the server to another. Requests
are counted by the server, processor time is the client process's own, both in a window after its start, so that no
client's word is taken for it. The API is measured with the kernel's receive stamps and without them, as a closed
loop that saturates itself runs. The server is nginx where it is installed, else a granian application. A rival that
is not installed is left out and named; `--bin` is a folder of programs to look for them in, before PATH.

Targets: at least 0.45 of wrk, 4 times k6, 10 times Locust's FastHttpUser.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.load.client.client import Engine, LoadClient
from tasks.load.wire.wire import Stamps

USERS = 50
WARM_S = 4.0
WINDOW_S = 3.0
TARGETS = {"wrk": 0.45, "k6": 4.0, "locust": 10.0}
BODY = json.dumps({"filling": "x" * 1008})
_TICKS = os.sysconf("SC_CLK_TCK")

K6 = """
import http from "k6/http";
export const options = { vus: %d, duration: "60s", discardResponseBodies: false };
export default function () { http.get("%s/menu"); }
"""
LOCUST = """
from locust import FastHttpUser, constant, task
class User(FastHttpUser):
    wait_time = constant(0)
    @task
    def menu(self):
        self.client.get("/menu")
"""


class Counting:
    """The server where nginx is not installed: 1 KB of JSON, and how many requests there were."""

    asked = 0

    async def __call__(self, scope: dict[str, object], _receive: object, send: object) -> None:
        """Answer as an ASGI application."""
        if scope["type"] != "http":
            return
        assert callable(send)
        Counting.asked += 1
        body = str(Counting.asked).encode() if scope["path"] == "/count" else BODY.encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


app = Counting()


@contextmanager
def running(command: Sequence[str], core: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process on a core of its own, ended with its children afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        process = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    finally:
        os.sched_setaffinity(0, before)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def server_command(folder: Path, port: int) -> list[str]:
    """nginx, or granian with the application above."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if nginx is None:
        interface = ("--interface", "asginl", "--host", "127.0.0.1", "--port", str(port))
        return [sys.executable, "-m", "granian", *interface, f"{Path(__file__).stem}:app"]
    (folder / "nginx.conf").write_text(
        f"worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/errors;"
        "events { worker_connections 1024; } http { access_log off; keepalive_requests 1000000000;"
        f" server {{ listen 127.0.0.1:{port}; location = /count {{ stub_status; }}"
        f" location / {{ default_type application/json; return 200 '{BODY}'; }} }} }}"
    )
    return [nginx, "-c", str(folder / "nginx.conf")]


def asked(url: str) -> int:
    """How many requests the server has answered, by its own count."""
    with urllib.request.urlopen(f"{url}/count", timeout=5) as answer:  # noqa: S310 - the loopback
        text = answer.read().decode()
    return int(text.split()[9]) if text.startswith("Active") else int(text)


def cpu_s(pid: int) -> float:
    """Processor time of a process, its threads included (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measure(command: Sequence[str], url: str, core: int) -> float:
    """Requests per CPU-second of a client."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with running(command, core, **quiet) as process:
        time.sleep(WARM_S)
        first, used = asked(url), cpu_s(process.pid)
        time.sleep(WINDOW_S)
        count, used = asked(url) - first, cpu_s(process.pid) - used
        assert process.poll() is None, f"{command[0]} ended early"
    return count / used


def clients(url: str, folder: Path, where: str) -> dict[str, list[str]]:
    """The command of each client that is installed."""
    (folder / "plan.js").write_text(K6 % (USERS, url))
    (folder / "plan.py").write_text(LOCUST)
    commands = {
        "API": [sys.executable, __file__, "ask", url, "kernel"],
        "API without stamps": [sys.executable, __file__, "ask", url, "loop"],
        "wrk": ["wrk", "-t1", f"-c{USERS}", "-d60", f"{url}/menu"],
        "k6": ["k6", "run", "--quiet", "--no-usage-report", str(folder / "plan.js")],
        "locust": [
            "locust",
            "-f",
            str(folder / "plan.py"),
            "--headless",
            f"-u{USERS}",
            f"-r{USERS}",
            "-t60",
            f"-H{url}",
        ],
    }
    found = {name: shutil.which(command[0], path=where) for name, command in commands.items()}
    for name in (name for name, path in found.items() if path is None):
        print(f"{name} is not installed: left out")
    return {name: [path, *commands[name][1:]] for name, path in found.items() if path is not None}


async def ask(url: str, stamps: Stamps) -> None:
    """Users without a pause, each with a client of its own, until the process is ended."""
    engine = Engine(allow={"127.0.0.1"}, stamps=stamps)
    await engine.prepare(url)

    async def user() -> None:
        async with LoadClient(engine, base_url=url, on_exchange=lambda _: None) as http:
            while True:
                assert (await http.get("/menu")).status_code == 200

    await asyncio.gather(*(user() for _ in range(USERS)))


def main() -> None:
    """Measure every client in turn, some rounds long, and print medians and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default="")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    client_core, server_core = sorted(os.sched_getaffinity(0))[:2]
    folder = Path(tempfile.mkdtemp(prefix="hasivu-bench-"))
    port = 18099
    url = f"http://127.0.0.1:{port}"
    rates: dict[str, list[float]] = {}
    with running(server_command(folder, port), server_core, cwd=Path(__file__).parent):
        time.sleep(1)
        commands = clients(url, folder, f"{options.bin}:{os.environ.get('PATH', '')}")
        for number in range(options.rounds):
            for name, command in commands.items():
                rates.setdefault(name, []).append(measure(command, url, client_core))
            print(f"round {number + 1}:", ", ".join(f"{name} {rate[-1]:,.0f}" for name, rate in rates.items()))
    for name, figures in rates.items():
        print(f"{name}: median {statistics.median(figures):,.0f} requests per client CPU-second")
    for name in ("API", "API without stamps"):
        for rival, target in TARGETS.items():
            if rival in rates:
                ratio = statistics.median(a / b for a, b in zip(rates[name], rates[rival], strict=True))
                print(f"{name}: {ratio:.2f} × {rival}, target {target:g}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["ask"]:
        work = ask(sys.argv[2], "kernel" if sys.argv[3] == "kernel" else "loop")
        try:
            import uvloop
        except ImportError:  # not on every system
            asyncio.run(work)
        else:
            uvloop.run(work)
    else:
        main()
