"""An S3 emulator on the loopback, as a program and as a service under a guardian.

    python tests/s3_server.py PORT

It is moto's, with one request at a time: moto looks for an object and puts it in two steps, so that two conditional
PUTs at once could both win, which S3 rules out. It ends by itself after `LIFE_S`.
"""

from __future__ import annotations

import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from deployments.hosting.guardian import Guardian, Service, start_on_port

LIFE_S = 600.0
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "canary-secret", "AWS_REGION": "ap-south-1"}


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def serve(port: int) -> None:
    """Serve until the end of its life."""
    application: Any = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def one_at_a_time(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            return list(application(environ, start_response))

    server = make_server("127.0.0.1", port, one_at_a_time, threaded=True, request_handler=_Quiet)
    threading.Timer(LIFE_S, server.shutdown).start()
    server.serve_forever()


def start_s3(guardian: Guardian, *, deadline: float) -> str:
    """Start the emulator under a guardian; return its address."""
    program = Path(__file__).resolve()

    def service(port: int) -> Service:
        environment = {"PYTHONPATH": str(program.parents[1])}
        return Service("s3", (sys.executable, str(program), str(port)), cwd=guardian.folder, env=environment)

    return f"http://127.0.0.1:{start_on_port(guardian, service, _answers, deadline=deadline)}"


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/data.json", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    serve(int(sys.argv[1]))
