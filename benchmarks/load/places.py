"""Where things run: the generator on one core, the server on another; programs of others, and servers to ask."""

from __future__ import annotations

import os
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

CORES = sorted(os.sched_getaffinity(0))
CLIENT_CORE, SERVER_CORE = CORES[0], CORES[-1]
RIVALS = "HASIVU_PERF_RIVALS"
"""A folder of programs that PATH does not have."""


class MissingError(Exception):
    """A program is not here: what it would do is not measured."""


def program(name: str) -> str:
    """A program of PATH or of the rivals' folder."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get(RIVALS, ""), os.environ.get("PATH", "")]))
    if found is None:
        raise MissingError(f"not measured: {name} is not on PATH")
    return found


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and every process that it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Certificate:
    """A server's key and certificate in one file, and the authority that vouches for it in another."""

    server: Path
    authority: Path

    @classmethod
    def of(cls, folder: Path) -> Certificate:
        """A fresh one for localhost, the authority trusted by this process and its children."""
        authority = trustme.CA()
        made = cls(folder / "server.pem", folder / "authority.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(made.server))
        authority.cert_pem.write_to_path(str(made.authority))
        os.environ["SSL_CERT_FILE"] = str(made.authority)
        return made


@contextmanager
def started(command: Sequence[str], *, core: int, folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process on a core, ended with the block."""
    with pinned(core):
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def delay_server(*options: str, certificate: Certificate | None = None) -> Iterator[str]:
    """The server of known delays; its URL."""
    command = [sys.executable, "-m", "benchmarks.load.delay_server", *options]
    if certificate:
        command += ["--cert", str(certificate.server)]
    with started(command, core=SERVER_CORE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"


@contextmanager
def fast_server(certificate: Certificate | None = None) -> Iterator[str]:
    """Nginx with 1 KB of JSON; its URL."""
    nginx = program("nginx") if shutil.which("nginx") else program("/usr/sbin/nginx")
    with tempfile.TemporaryDirectory(prefix="hasivu-bench-") as name:
        port = _free_port()
        tls = (
            f" ssl; ssl_certificate {certificate.server}; ssl_certificate_key {certificate.server}"
            if certificate
            else ""
        )
        body = '{"meal": "' + "x" * 1000 + '"}'
        Path(name, "nginx.conf").write_text(
            f"""daemon off; master_process off; pid {name}/pid; error_log {name}/error.log;
            events {{ worker_connections 1024; }}
            http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 300;
              client_body_temp_path {name}; proxy_temp_path {name}; fastcgi_temp_path {name};
              uwsgi_temp_path {name}; scgi_temp_path {name};
              server {{ listen 127.0.0.1:{port}{tls};
                location / {{ default_type application/json; return 200 '{body}'; }} }} }}""",
            encoding="utf-8",
        )
        with started([nginx, "-p", name, "-c", f"{name}/nginx.conf"], core=SERVER_CORE):
            url = f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"
            _await(url)
            yield url


def fetch(url: str) -> bytes:
    """The body at a URL."""
    context = ssl.create_default_context() if url.startswith("https") else None
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:  # noqa: S310 - our own server
        body: bytes = answer.read()
        return body


def _await(url: str) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            fetch(url)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    import socket  # noqa: PLC0415 - for this alone

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def run_program(command: Sequence[str], *, limit_s: float, folder: Path | None = None) -> tuple[str, float]:
    """Run a program of others on the client's core; its standard output and the processor seconds it used."""
    before = _children_cpu_s()
    with pinned(CLIENT_CORE):
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=limit_s, check=True, stdin=subprocess.DEVNULL
        )
    return done.stdout, _children_cpu_s() - before


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
