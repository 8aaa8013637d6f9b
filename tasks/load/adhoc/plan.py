"""An ad-hoc load test of one URL: what is asked for, checked before anything is sent. Pure but for `body_of`.

Two models. *Open* (a rate): each request has an intended moment, and latency counts from it. *Closed* (a number of
connections): see `tasks.load.adhoc.closed`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from storage.errors import ConfigurationError, NotMeasuredError
from tasks.load.schedule import Jitter, steps
from tasks.load.wire.address import parse

DEFAULT_RATE = 10.0
CEILING = 1000.0
"""Where a search ends at the latest when no `max_rate` is named, requests a second."""

LONGEST_BODY = 16 * 1024 * 1024
"""Bytes of a request's body at most."""

_GROWTH = 1.5

_LONGEST_S = 7200.0
_MOST_RATE = 100_000.0
_MOST_CONNECTIONS = 20_000
_MOST_SHARDS = 64
_TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_TEXT = re.compile(r"^[\t\x20-\x7e\x80-\xff]*$")
_NOT_ASKED = ("CONNECT", "TRACE")
_ENGINES_OWN = ("content-length", "transfer-encoding", "connection")
_TARGET = re.compile(r"^[\x21-\x7e]*$")


@dataclass(frozen=True)
class AdhocPlan:
    """What was asked for; made by `make_plan`. URL, headers and body may hold secrets: `shown` is for the eye.

    `rate` (requests/s, open model) or `connections` (closed model): the other is None. `p95_ms` and `error_ratio`
    are limits; None asks for none. A `search` has its first step at `rate`; each takes `duration_s`, and has to keep
    the limits. `body` is sent as it is.
    """

    origin: str = field(repr=False)
    target: str = field(repr=False)
    shown: str
    rate: float | None
    connections: int | None
    duration_s: float
    ramp_up_s: float
    jitter: Jitter
    method: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    expect: tuple[int, ...]
    timeout_s: float
    max_rate: float | None
    p95_ms: float | None
    error_ratio: float | None
    shards: int
    search: bool = False

    @property
    def rates(self) -> tuple[float, ...]:
        """The steps of a search: each 1.5 times the one before, to `max_rate`."""
        first, last = self.rate or 0.0, self.max_rate or CEILING
        return tuple(steps(last, first=first, growth=_GROWTH, ceiling=last))

    @property
    def model(self) -> Literal["open", "closed"]:
        """Whether requests come by a schedule, or each after the answer to the one before."""
        return "open" if self.rate is not None else "closed"

    @property
    def steady_s(self) -> float:
        """How long it goes at full load, after the ramp."""
        return self.duration_s - self.ramp_up_s

    def endpoint(self) -> dict[str, Any]:
        """The one endpoint, as a worker's plan has it."""
        return {
            "name": f"{self.method} {self.shown}",
            "method": self.method,
            "path": self.target,
            "query": {},
            "body": None,
            "raw": None if self.body is None else base64.b64encode(self.body).decode(),
            "weight": 1.0,
            "expect": list(self.expect),
            "items": 1,
            "expect_body": None,
        }


def make_plan(
    url: str,
    *,
    rate: float | None = None,
    connections: int | None = None,
    duration_s: float = 10.0,
    ramp_up_s: float = 0.0,
    jitter: str = "uniform",
    method: str | None = None,
    headers: Sequence[str] = (),
    body: str | bytes | None = None,
    expect: Sequence[int] = (200,),
    timeout_s: float = 10.0,
    max_rate: float | None = None,
    p95_ms: float | None = None,
    error_ratio: float | None = None,
    shards: int = 1,
    search: bool = False,
) -> AdhocPlan:
    """Check what was asked for; `ConfigurationError` names every problem in a line, and no secret.

    Without rate and connections the rate is 10/s; a body makes the method POST where none is named. A body that is
    not JSON needs a header that says what it is.
    """
    problems: list[str] = []
    if rate is None and connections is None:
        rate = DEFAULT_RATE
    origin, target, shown = _taken_apart(url, problems)
    method = (method or ("GET" if body is None else "POST")).upper()
    problems += _numbers(
        rate=rate,
        connections=connections,
        duration_s=duration_s,
        ramp_up_s=ramp_up_s,
        timeout_s=timeout_s,
        max_rate=max_rate,
        p95_ms=p95_ms,
        error_ratio=error_ratio,
        shards=shards,
    )
    if not _TOKEN.match(method) or method in _NOT_ASKED:
        problems.append(f"--method must be a method of HTTP other than {' and '.join(_NOT_ASKED)}")
    if search:
        problems += _search_problems(
            rate=rate,
            connections=connections,
            duration_s=duration_s,
            ramp_up_s=ramp_up_s,
            max_rate=max_rate,
            p95_ms=p95_ms,
            shards=shards,
        )
    if jitter not in ("none", "uniform", "poisson"):
        problems.append("--jitter must be none, uniform or poisson")
    if not expect or any(not 100 <= status <= 599 for status in expect):  # noqa: PLR2004 - statuses of HTTP
        problems.append("--expect must be a status of HTTP, 100 to 599")
    parsed_headers = _parsed_headers(headers, problems)
    raw_body = _checked_body(body, parsed_headers, problems)
    if problems:
        raise ConfigurationError(problems)
    return AdhocPlan(
        origin=origin,
        target=target,
        shown=shown,
        rate=rate,
        connections=connections,
        duration_s=duration_s,
        ramp_up_s=ramp_up_s,
        jitter=jitter,  # type: ignore[arg-type] # checked above
        method=method,
        headers=parsed_headers,
        body=raw_body,
        expect=tuple(expect),
        timeout_s=timeout_s,
        max_rate=max_rate,
        p95_ms=p95_ms,
        error_ratio=error_ratio,
        shards=shards,
        search=search,
    )


def _taken_apart(url: str, problems: list[str]) -> tuple[str, str, str]:
    """The URL as origin with credentials, path with query, and what may be shown: neither credentials nor query."""
    try:
        parts = urlsplit(url.strip())
        address = parse(f"{parts.scheme}://{parts.netloc}", variable="the URL")
    except ValueError:
        problems.append("the URL is not valid: write it as http(s)://host[:port][/path][?query]")
        return "", "", ""
    except NotMeasuredError as error:
        problems.append(str(error).replace("set it to", "write it as"))
        return "", "", ""
    if parts.fragment:
        problems.append("the URL has a fragment, which no server sees: remove what follows the #")
    if not _TARGET.match(parts.path + parts.query):
        problems.append("the URL's path or query has characters that must be percent-encoded")
    path = parts.path or "/"
    target = path + (f"?{parts.query}" if parts.query else "")
    shown = f"{address.shown}{path}{'?…' if parts.query else ''}"
    escaped = target.replace("{", "%7B").replace("}", "%7D")  # in a load plan, braces are places of drawn values
    return f"{parts.scheme}://{parts.netloc}", escaped, shown


def _numbers(
    *,
    rate: float | None,
    connections: int | None,
    duration_s: float,
    ramp_up_s: float,
    timeout_s: float,
    max_rate: float | None,
    p95_ms: float | None,
    error_ratio: float | None,
    shards: int,
) -> list[str]:
    """What is wrong with the numbers."""
    wrong = {
        "--rate and --connections exclude each other": rate is not None and connections is not None,
        f"--rate must be above 0 and at most {_MOST_RATE:,.0f}": rate is not None and not 0 < rate <= _MOST_RATE,
        f"--connections must be from 1 to {_MOST_CONNECTIONS:,}": connections is not None
        and not 1 <= connections <= _MOST_CONNECTIONS,
        f"--duration must be above 0 and at most {_LONGEST_S:g} s": not 0 < duration_s <= _LONGEST_S,
        "--ramp-up must be at least 0, and shorter than --duration": not 0 <= ramp_up_s < duration_s,
        "--timeout must be above 0 and at most 300 s": not 0 < timeout_s <= 300,  # noqa: PLR2004 - said beside it
        "--p95 must be above 0 ms": p95_ms is not None and not 0 < p95_ms < math.inf,
        "--errors is a share, from 0 to 1": error_ratio is not None and not 0 <= error_ratio <= 1,
        f"--shards must be from 1 to {_MOST_SHARDS}": not 1 <= shards <= _MOST_SHARDS,
        "--max-rate goes with --rate: a closed loop is as fast as its target": max_rate is not None and rate is None,
    }
    found = [problem for problem, holds in wrong.items() if holds]
    if rate is not None and max_rate is not None and rate > max_rate:
        found.append(f"--rate {rate:g} is above --max-rate {max_rate:g}")
    if connections is not None and shards > connections:
        found.append(f"--shards {shards} is above --connections {connections}")
    return found


def _parsed_headers(lines: Sequence[str], problems: list[str]) -> dict[str, str]:
    """`Name: value` by name; a problem tells the place of the line, since its text may be a secret."""
    headers: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not _TOKEN.match(name) or not _TEXT.match(value):
            problems.append(f"--header number {number} is not of the form 'Name: value'")
        elif name.lower() in _ENGINES_OWN:
            problems.append(f"--header {name} is set by the load engine: remove it")
        else:
            headers[name] = value
    return headers


def _checked_body(body: str | bytes | None, headers: Mapping[str, str], problems: list[str]) -> bytes | None:
    """The body as it is sent."""
    if body is None:
        return None
    raw = body.encode() if isinstance(body, str) else body
    if len(raw) > LONGEST_BODY:
        problems.append(f"--body is above {LONGEST_BODY // 2**20} MiB")
    if "content-type" not in {name.lower() for name in headers}:
        try:
            json.loads(raw)
        except ValueError:  # UnicodeDecodeError is a kind of it
            problems.append("--body is not JSON: say what it is by --header 'Content-Type: …'")
    return raw


def _search_problems(
    *,
    rate: float | None,
    connections: int | None,
    duration_s: float,
    ramp_up_s: float,
    max_rate: float | None,
    p95_ms: float | None,
    shards: int,
) -> list[str]:
    """What is wrong with a search."""
    last = CEILING if max_rate is None else max_rate
    first = rate or 0.0
    wrong = {
        "--search needs --p95, the latency that a step has to keep": p95_ms is None,
        "--search raises a rate: leave --connections out": connections is not None,
        "--search has steps in place of a ramp: leave --ramp-up out": ramp_up_s > 0,
        "--search runs in one process: leave --shards out": shards != 1,
        f"--rate {first:g}, the first step, is above the last one, {last:g}: name a higher --max-rate": first > last,
    }
    found = [problem for problem, holds in wrong.items() if holds]
    if not found and first > 0 and duration_s > 0:
        total = (2 + math.log(max(1.0, last / first), _GROWTH)) * duration_s
        if total > _LONGEST_S:
            found.append(f"--search would take up to {total:,.0f} s: shorten its steps by --duration")
    return found


def body_of(text: str) -> bytes:
    """The body that `--body` names: the text itself, or what the file holds after an @; `ConfigurationError`."""
    if not text.startswith("@"):
        return text.encode()
    try:
        with Path(text[1:]).open("rb") as file:
            return file.read(LONGEST_BODY + 1)
    except OSError as error:
        raise ConfigurationError([f"--body {text}: {error.strerror}; name a file that can be read"]) from None
