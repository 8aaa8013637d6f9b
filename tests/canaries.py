"""Twelve secrets that must never be seen again, in every place where one may stand, and where they turned up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

SECRETS: Mapping[str, str] = {
    "api userinfo": "c4nary-a/pi@1%",
    "api token": "c4nary-token-2",
    "websocket query": "c4nary+ws 3",
    "redis password": "c4nary:redis/4",
    "redis query": "c4nary&sentinel=5",
    "pooler password": "c4nary@pooler#6",
    "aws secret": "c4nary/aws+secret/7",
    "aws session": "c4nary=aws==session8",
    "webhook": "c4nary-webhook-9",
    "slack": "c4nary-slack-10",
    "pagerduty": "c4narypagerduty11",
    "watch token": "c4nary-watch-token-12",
}


def quoted(place: str) -> str:
    """A secret as it stands in an address."""
    return quote(SECRETS[place], safe="")


def variables(api: str, ws: str, dead_port: int) -> dict[str, str]:
    """The environment of a run with every secret: a live API and WebSocket, a cache and a pooler that are dead."""
    return {
        "DEVELOPMENT_API_URL": api.replace("://", f"://parent:{quoted('api userinfo')}@"),
        "DEVELOPMENT_WS_URL": f"{ws}?token={quoted('websocket query')}",
        "DEVELOPMENT_REDIS_URL": f"redis://perf:{quoted('redis password')}@127.0.0.1:{dead_port}/0"
        f"?sentinel_password={quoted('redis query')}",
        "DEVELOPMENT_PGBOUNCER_URL": f"postgresql://perf:{quoted('pooler password')}@127.0.0.1:{dead_port}/pgbouncer",
        "LUNCH_TOKEN": SECRETS["api token"],
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRETS["aws secret"],
        "AWS_SESSION_TOKEN": SECRETS["aws session"],
        "HASIVU_NOTIFY_WEBHOOK": f"http://127.0.0.1:{dead_port}/{SECRETS['webhook']}",
        "HASIVU_NOTIFY_SLACK": f"https://hooks.example.test/services/{SECRETS['slack']}",
        "HASIVU_NOTIFY_PAGERDUTY": SECRETS["pagerduty"],
        "HASIVU_WATCH_TOKEN": SECRETS["watch token"],
    }


OVERRIDES = (
    "--set",
    'api.headers={accept = "application/json", x-token = "Bearer ${LUNCH_TOKEN}"}',
    "--set",
    'database.pooler_variable="DEVELOPMENT_PGBOUNCER_URL"',
)
"""The header that holds the token's variable, and the pooler's."""

_FORMS = {
    place: {form.encode() for form in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))}
    for place, secret in SECRETS.items()
}


def leaks(data: bytes) -> set[str]:
    """Which secrets stand in it, in any form."""
    return {place for place, forms in _FORMS.items() if any(form in data for form in forms)}


def leaks_below(folder: Path) -> dict[str, set[str]]:
    """Which files below a folder hold which secrets; Parquet's pages are decompressed where it is text."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and (seen := leaks(_content(path))):
            found[str(path.relative_to(folder))] = seen
    return found


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq  # noqa: PLC0415 - for these files alone

        table = pq.read_table(path)
        data += repr(table.to_pydict()).encode() + repr(table.schema.metadata).encode()
    return data


@contextmanager
def watching_processes() -> Iterator[set[str]]:
    """While the body runs: which secrets stood in the command line of any process."""
    found: set[str] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    found.update(leaks(path.read_bytes().replace(b"\0", b" ")))
                except OSError:  # it has ended
                    continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
