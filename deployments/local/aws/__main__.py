"""`python -m deployments.local.aws --port P`: serve the AWS API on 127.0.0.1 until SIGTERM or the parent's end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from deployments.local.aws.corpus import Turn, generate
from deployments.local.aws.guard import Guard
from deployments.local.aws.wire import Application

HOST = "127.0.0.1"
PARENT_CHECK_S = 1.0


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive: clients send hundreds of calls
    timeout = 75  # an idle connection is closed after this many seconds

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of single requests."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Seed, serve, and stop; prints the address once it is ready."""
    options = _parser().parse_args(arguments)
    parent = os.getppid()
    guard = Guard(options.deny, dict(options.rate), options.allow)
    application = Application(guard, compute_optimizer=options.compute_optimizer, insights=options.lambda_insights)
    try:
        server = make_server(HOST, options.port, application, threaded=True, request_handler=_Handler)
    except SystemExit:  # how werkzeug says that the port is taken; it has printed why
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _serve(server)
    now_ms = int(options.now.timestamp() * 1000) if options.now else time.time_ns() // 1_000_000
    application.seed(generate(now_ms, extra=options.extra, turn=Turn(options.init, options.used)))
    print(f"http://{HOST}:{server.server_port}", flush=True)  # noqa: T201  # the answer of this program
    while not stop.wait(PARENT_CHECK_S) and os.getppid() == parent:
        pass
    server.shutdown()
    server.server_close()
    return 0


def _serve(server: BaseWSGIServer) -> None:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments.local.aws", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1; 0 takes a free one and prints it")
    parser.add_argument("--now", type=_moment, help="end of the corpus (ISO 8601); default: this hour")
    parser.add_argument(
        "--deny",
        action="append",
        default=[],
        metavar="ACTION",
        help="answer AccessDenied to it, e.g. logs:StartQuery",
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="ACTION", help="IAM says that the caller may do it besides"
    )
    parser.add_argument(
        "--rate",
        action="append",
        default=[],
        type=_rate,
        metavar="SERVICE=N",
        help="throttle beyond N calls a second",
    )
    parser.add_argument("--extra", type=int, default=0, help="this many more functions, of little traffic")
    parser.add_argument("--init", type=float, default=1.0, help="scale of every cold start's time")
    parser.add_argument("--used", type=float, help="share of its memory that each function uses, 0 to 1")
    parser.add_argument("--compute-optimizer", action="store_true", help="switched on, with two recommendations")
    parser.add_argument("--lambda-insights", action="store_true", help="on the functions with tracing")
    return parser


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rate(text: str) -> tuple[str, float]:
    service, _, number = text.partition("=")
    return service, float(number)


if __name__ == "__main__":
    sys.exit(main())
