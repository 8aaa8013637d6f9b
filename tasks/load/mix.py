"""Turns weighted endpoints with drawn values into the bytes of HTTP/1.1 requests. Pure but for its own generator.

Every draw comes from one generator with a fixed seed and in the order of the schedule, so the same plan asks for
the same things in the same order.
"""

from __future__ import annotations

import base64
import json
import random
import re
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any
from urllib.parse import quote

from deployments.config import Endpoint, ValueRange
from storage.errors import NotMeasuredError
from tasks.load.wire.address import Address

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
_TEXT = re.compile(r"^[\t\x20-\x7e\x80-\xff]*$")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

Piece = str | tuple[str, Callable[[str], str]]


def endpoint_plan(
    endpoint: Endpoint, *, name: str | None = None, items: int = 1, expect_body: str | None = None
) -> dict[str, Any]:
    """An endpoint as it stands in a worker's plan; `expect_body` is a pattern that a good answer's body holds."""
    return endpoint.model_dump(mode="json") | {
        "name": name or endpoint.name,
        "items": items,
        "expect_body": expect_body,
    }


def draw(values: ValueRange, rng: random.Random) -> str:
    """A value: n = first + ⌊(last − first + 1) · u^hot⌋ for uniform u in [0, 1)."""
    span = values.last - values.first + 1
    return values.value(values.first + int(span * rng.random() ** values.hot))


class Request:
    """One endpoint, ready to be rendered again and again.

    Its plan may hold `raw` in place of a JSON body: bytes in base64, which are sent as they are.
    """

    def __init__(
        self, plan: Mapping[str, Any], values: Mapping[str, ValueRange], address: Address, headers: Mapping[str, str]
    ) -> None:
        self.name = str(plan["name"])
        self.items = int(plan["items"])
        self.expect = frozenset(int(status) for status in plan["expect"])
        self.expect_body = re.compile(plan["expect_body"].encode()) if plan["expect_body"] else None
        self._target = _target(address, plan)
        body = plan["body"]
        self._raw = base64.b64decode(plan["raw"]) if plan.get("raw") is not None else None
        self._body = None if body is None else _pieces(json.dumps(body), _json)
        self._values = {place: values.get(place) for place in self._places()}
        missing = sorted(place for place, found in self._values.items() if found is None)
        if missing:
            raise NotMeasuredError(
                f"{self.name}: no values for {', '.join(missing)}: add them to the [*.values] table"
            )
        self._method = str(plan["method"])
        self._head = _head(address, headers, body is not None or self._raw is not None)
        self._same = None if self._values else self._rendered({})

    def _places(self) -> set[str]:
        return {piece[0] for piece in (*self._target, *(self._body or ())) if not isinstance(piece, str)}

    def accepts(self, body: bytes | bytearray) -> bool:
        """Whether the body of an answer holds what a good one holds."""
        return self.expect_body is None or self.expect_body.search(body) is not None

    def render(self, rng: random.Random) -> bytes:
        """The next request: each name is drawn once, and has the same value wherever it stands in this request."""
        if self._same is not None:
            return self._same
        return self._rendered(self._drawn(rng))

    def parts(self, rng: random.Random) -> tuple[str, str, bytes | None]:
        """The next request as method, target and body, for a client that puts its own requests together."""
        drawn = self._drawn(rng)
        return self._method, _fill(self._target, drawn), self._filled(drawn)

    @property
    def head_only(self) -> bool:
        """Whether no body follows its answers."""
        return self._method == "HEAD"

    def _filled(self, drawn: Mapping[str, str]) -> bytes | None:
        """The body; a raw one is sent as it is, whatever braces it has."""
        return self._raw if self._body is None else _fill(self._body, drawn).encode()

    def _drawn(self, rng: random.Random) -> dict[str, str]:
        return {place: draw(found, rng) for place, found in self._values.items() if found is not None}

    def _rendered(self, drawn: Mapping[str, str]) -> bytes:
        line = f"{self._method} {_fill(self._target, drawn)} {self._head}"
        body = self._filled(drawn)
        if body is not None:
            return f"{line}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
        length = "Content-Length: 0\r\n" if self._method in _WITH_BODY else ""
        return f"{line}{length}\r\n".encode("latin-1")


class Mix:
    """Chooses the next endpoint by weight."""

    def __init__(self, weights: Sequence[float], rng: random.Random) -> None:
        self._edges = list(accumulate(weights))
        self._rng = rng

    def choose(self) -> int:
        """The position of the next endpoint among the weights."""
        edges = self._edges
        if len(edges) == 1:
            return 0
        return min(bisect(edges, self._rng.random() * edges[-1]), len(edges) - 1)


def _target(address: Address, plan: Mapping[str, Any]) -> tuple[Piece, ...]:
    pieces = [address.path, *_pieces(str(plan["path"]), _segment)]
    for number, (name, value) in enumerate(dict(plan["query"]).items()):
        pieces += ["&" if number else "?", quote(name, safe=""), "=", *_pieces(str(value), _segment)]
    whole = [_quoted(piece) if isinstance(piece, str) else piece for piece in pieces]
    return tuple(whole)


def _pieces(template: str, encode: Callable[[str], str]) -> tuple[Piece, ...]:
    parts = _PLACE.split(template)
    return tuple((part, encode) if number % 2 else part for number, part in enumerate(parts))


def _fill(pieces: Sequence[Piece], drawn: Mapping[str, str]) -> str:
    return "".join([piece if isinstance(piece, str) else piece[1](drawn[piece[0]]) for piece in pieces])


def _segment(value: str) -> str:
    return quote(value, safe="")


def _json(value: str) -> str:
    """A value inside a JSON string."""
    return json.dumps(value)[1:-1]


def _quoted(text: str) -> str:
    """The fixed part of a request's target: what is not allowed there is percent-encoded, the rest kept."""
    return quote(text, safe="/?&=%:@!$'()*+,;~")


def _head(address: Address, headers: Mapping[str, str], has_body: bool) -> str:  # noqa: FBT001 - private
    """All that follows the target but the length of the body: the same for each request of an endpoint."""
    given = {name.lower() for name in headers}
    lines = [] if "host" in given else [f"Host: {address.authority}"]
    if address.authorization and "authorization" not in given:
        lines.append(f"Authorization: {address.authorization}")
    if "user-agent" not in given:
        lines.append("User-Agent: hasivu-perf")
    if has_body and "content-type" not in given:
        lines.append("Content-Type: application/json")
    for name, value in headers.items():
        if not _TOKEN.match(name) or not _TEXT.match(value):
            raise NotMeasuredError(f"the header {name!r} is not valid: correct it in the [api] headers")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise NotMeasuredError(f"the header {name!r} is set by the load engine: remove it from the headers")
        lines.append(f"{name}: {value}")
    return "HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n"
