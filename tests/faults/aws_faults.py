"""A proxy before an AWS that is busy, broken or not AWS at all: each fault by name, and what must come of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.faults.forwarding import forwarded, whole_request
from tests.load_servers import listening, reply

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]

ALL, LOGS, METRICS = "", "FilterLogEvents", "GetMetricData"
FUNCTIONS, IDENTITY = r"GET /2015-03-31/functions", "GetCallerIdentity"
INSIGHTS = "GetQueryResults"


@dataclass(frozen=True)
class Fault:
    """What happens to requests that `where` is found in, the first `only` of them.

    `says` is what the refusal of the component, or its notes, must say; `refused` whether nothing at all is measured.
    """

    where: str
    does: Behaviour
    says: str
    refused: bool = False
    only: int = 1 << 30
    slow: bool = False


@dataclass
class Proxied:
    """A proxy that runs: its address, how often it did harm, and how much it wrote in doing so."""

    address: str = ""
    harmed: int = 0
    written: int = 0


def answers(status: int, body: Any, head: str = "") -> Behaviour:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def does(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(status, data, head=head))
        await writer.drain()

    return does


def error(code: str, status: int = 400, message: str = "it says no") -> Behaviour:
    """An error in each of AWS's protocols: a header for REST, a type in JSON, XML for queries."""
    rest = f"x-amzn-ErrorType: {code}\r\nx-amzn-query-error: {code};Sender\r\nRetry-After: 1\r\n"
    as_json = {"__type": code, "message": message, "Code": code}
    as_xml = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"

    async def does(writer: asyncio.StreamWriter) -> None:
        is_query = getattr(writer, "is_query", False)
        body = as_xml.encode() if is_query else json.dumps(as_json).encode()
        writer.write(reply(status, body, head=rest))
        await writer.drain()

    return does


async def hang(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def drip(data: bytes, every_s: float = 0.5) -> Behaviour:
    async def does(writer: asyncio.StreamWriter) -> None:
        for byte in itertools.chain(data, itertools.repeat(32)):
            if writer.is_closing():
                return
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(every_s)

    return does


def endless(head: bytes) -> Behaviour:
    async def does(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(b" " * 65_536)
            await writer.drain()

    return does


def truncated(body: bytes) -> Behaviour:
    async def does(writer: asyncio.StreamWriter) -> None:
        writer.write(reply(200, body)[: -len(body) // 2])
        await writer.drain()
        writer.close()

    return does


def pages(key: str, rows: list[Any], token: str, *, repeat: bool = False) -> Behaviour:
    """Page after page, each with a token for the next one."""
    numbers = itertools.count()

    async def does(writer: asyncio.StreamWriter) -> None:
        number = 0 if repeat else next(numbers)
        writer.write(reply(200, json.dumps({key: rows, token: f"t{number}"}).encode()))
        await writer.drain()

    return does


_FUNCTION = {
    "FunctionName": "hasivu-platform-dev-rfid-endless",
    "FunctionArn": "arn:aws:lambda:ap-south-1:1:function:x",
    "MemorySize": 128,
    "Timeout": 3,
}
_EVENT = {"timestamp": 1, "message": "START", "eventId": "1", "logStreamName": "x"}
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_HTML = b"<html><body>Please log in to the hotel's network</body></html>"
_ODD: dict[str, Any] = {"events": [{"timestamp": "soon"}, 7, None]}


def insights(status: str) -> Behaviour:
    return answers(200, {"status": status, "results": [], "statistics": {"recordsScanned": 1.0}})


def _faults() -> dict[str, Fault]:
    throttle = error("ThrottlingException", message="Rate exceeded")
    denied, gone = error("AccessDeniedException", 403), "does not answer"
    strange, busy = "what AWS does not|not AWS|failed", "refused for|ThrottlingException"
    long, on = "longer than 8 MB", "without an end"
    return {
        # --- it is busy ---
        "throttles-all": Fault(ALL, throttle, "refused for|ThrottlingException", refused=True),
        "throttles-functions": Fault(FUNCTIONS, throttle, busy, refused=True, slow=True),
        "throttles-metrics": Fault(METRICS, error("Throttling"), "refused for|Throttling", slow=True),
        "throttles-logs": Fault(LOGS, throttle, busy, slow=True),
        "throttles-twice": Fault(LOGS, throttle, "", only=2),
        "500": Fault(ALL, error("InternalFailure", 500), "InternalFailure|refused for", refused=True),
        "500-of-logs": Fault(LOGS, error("ServiceUnavailable", 503), "ServiceUnavailable|refused for", slow=True),
        "503-in-html": Fault(METRICS, answers(503, _HTML), "503|refused for", slow=True),
        # --- it says nothing, or not all ---
        "hangs": Fault(ALL, hang, gone, refused=True),
        "hangs-at-functions": Fault(FUNCTIONS, hang, gone, refused=True, slow=True),
        "hangs-at-logs": Fault(LOGS, hang, gone),
        "hangs-once": Fault(METRICS, hang, "", only=1, slow=True),
        "resets": Fault(ALL, reset, gone, refused=True),
        "resets-logs": Fault(LOGS, reset, gone),
        "closes": Fault(METRICS, close, gone),
        "drips-its-head": Fault(ALL, drip(b"HTTP/1.1 200 OK\r\nX: "), gone, refused=True, slow=True),
        "drips-its-body": Fault(LOGS, drip(_OK + b"Content-Length: 9000\r\n\r\n", 0.02), gone, slow=True),
        "cut-off": Fault(LOGS, truncated(b'{"events": []}' + b" " * 100), gone),
        # --- it is no AWS ---
        "garbage": Fault(ALL, answers(200, _HTML), strange, refused=True),
        "garbage-functions": Fault(FUNCTIONS, answers(200, _HTML), strange, refused=True),
        "garbage-metrics": Fault(METRICS, answers(200, b"\xff\x00{["), strange),
        "half-json": Fault(LOGS, answers(200, b'{"events": [{"timest'), strange),
        "empty-bodies": Fault(ALL, answers(200, b""), strange, refused=True),
        "empty-answers": Fault(LOGS, answers(200, {}), strange),
        "null-answers": Fault(LOGS, answers(200, b"null"), strange),
        "odd-types": Fault(LOGS, answers(200, _ODD), "lacks|what AWS does not"),
        "not-http": Fault(
            ALL, answers(200, b"") if False else drip(b"\x15\x03\x03\x00\x02\x02\x28", 0.0), gone, refused=True
        ),
        "endless-body": Fault(LOGS, endless(_OK + b"Connection: close\r\n\r\n"), long),
        "huge-body": Fault(
            FUNCTIONS, endless(_OK + b"Content-Length: 99999999999\r\n\r\n"), "longer than", refused=True
        ),
        "deep-json": Fault(LOGS, answers(200, b"[" * 200_000), strange),
        # --- its pages ---
        "endless-functions": Fault(
            FUNCTIONS, pages("Functions", [_FUNCTION], "NextMarker"), on, refused=True, slow=True
        ),
        "endless-empty-logs": Fault(LOGS, pages("events", [], "nextToken"), on, slow=True),
        "endless-logs": Fault(LOGS, pages("events", [_EVENT], "nextToken"), on, slow=True),
        "the-same-token": Fault(LOGS, pages("events", [], "nextToken", repeat=True), "same next token"),
        # --- it refuses ---
        "denied-identity": Fault(IDENTITY, denied, "sts:GetCallerIdentity is denied", refused=True),
        "denied-functions": Fault(FUNCTIONS, denied, "lambda:ListFunctions is denied", refused=True),
        "denied-logs": Fault(LOGS, denied, "logs:FilterLogEvents is denied"),
        "expired": Fault(ALL, error("ExpiredTokenException"), "renew them", refused=True),
        "expires-amid-the-run": Fault(LOGS, error("ExpiredTokenException"), "renew them"),
        "wrong-clock": Fault(ALL, error("RequestTimeTooSkewed", 403), "set its clock", refused=True),
        "unknown-key": Fault(ALL, error("UnrecognizedClientException"), "AWS_PROFILE", refused=True),
        "wrong-signature": Fault(ALL, error("SignatureDoesNotMatch", 403), "AWS_PROFILE", refused=True),
        "not-in-this-region": Fault(FUNCTIONS, error("UnknownOperationException", 404), "failed", refused=True),
        "moved": Fault(ALL, answers(302, b"", "Location: http://127.0.0.1:9/stolen\r\n"), strange, refused=True),
        # --- Logs Insights ---
        "insights-runs-for-ever": Fault(INSIGHTS, insights("Running"), "stands still as Running", slow=True),
        "insights-never-starts": Fault(INSIGHTS, insights("Scheduled"), "stands still", slow=True),
        "insights-fails": Fault(INSIGHTS, insights("Failed"), "ended as Failed"),
        "insights-times-out": Fault(INSIGHTS, insights("Timeout"), "ended as Timeout"),
    }


FAULTS = _faults()


@contextmanager
def proxied(aws: str, fault: Fault) -> Iterator[Proxied]:
    """Stand before an AWS until the block ends."""
    told = Proxied()
    port = int(urlsplit(aws).port or 0)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await whole_request(reader, writer)
            if told.harmed < fault.only and re.search(fault.where, (head + body).decode(errors="replace")):
                told.harmed += 1
                writer.is_query = b"Action=" in body  # type: ignore[attr-defined] # for `error`
                await fault.does(writer)
                continue
            writer.write(await forwarded(port, head, body))
            await writer.drain()
            return  # the emulator's answer says that it closes

    with listening(connected) as own:
        told.address = f"http://127.0.0.1:{own}"
        yield told
