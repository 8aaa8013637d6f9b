"""A lean HTTP layer: a handler takes a Call and gives an Answer; errors become JSON that names the field.

Handlers raise InvalidInputError (400), NotFoundError (404) or RefusedError (its status). A database that cannot be
reached, has no free connection or takes too long gives 503; anything else is a defect and gives 500.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import orjson
import psycopg
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from starlette.types import Receive, Scope, Send

from deployments.local.app.faults import InjectedDropError, InjectedError
from deployments.local.app.services import Services

MAX_BODY_BYTES = 1_048_576
MAX_PROBLEMS = 10
UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

_UUID = re.compile(UUID_PATTERN.replace("$", r"\Z"))
_JSON_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS

Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
"""A key of a row: any UUID."""

Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
"""Free text; PostgreSQL stores no NUL."""

Word = Annotated[str, StringConstraints(max_length=40, pattern=r"^[A-Za-z_]+$")]
"""A status, role or category."""


Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 12, 31))]
"""A day; far ones are mistakes, and calendars overflow there."""


class Body(BaseModel):
    """A request's body or query: camelCase names, unknown ones are ignored as the platform does."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


BodyT = TypeVar("BodyT", bound=BaseModel)
Problem = tuple[str, str]


class InvalidInputError(Exception):
    """The request is wrong: pairs of field and what is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in problems))
        self.problems = tuple(problems)


class NotFoundError(Exception):
    """There is no such thing: `field` names the identifier that found nothing."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class RefusedError(Exception):
    """The platform's rules refuse the request, with a status and a code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a payload: bytes are JSON already."""

    payload: Any
    status: int = 200


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it."""

    services: Services
    path: Mapping[str, str]
    body: bytes
    scope: Scope

    def id(self, name: str) -> str:
        """The identifier `name` of the path; raises NotFoundError where it has not even the form of one."""
        value = self.path[name]
        if _UUID.match(value) is None:
            raise NotFoundError(name, f"{name} is unknown")
        return value

    def json(self, model: type[BodyT]) -> BodyT:
        """The body as `model`; raises InvalidInputError that names every wrong field."""
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            raise InvalidInputError(problems_of(error)) from None

    def query(self, model: type[BodyT]) -> BodyT:
        """The query string as `model`; raises InvalidInputError that names every wrong parameter."""
        text = self.scope["query_string"].decode("latin-1")
        try:
            return model.model_validate(dict(parse_qsl(text)) if text else {})
        except ValidationError as error:
            raise InvalidInputError(problems_of(error)) from None

    def header(self, name: bytes) -> str | None:
        """A header by its lower-case name."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value.decode("latin-1"))
        return None


Handler = Callable[[Call], Awaitable[Answer]]
RouteEntry = tuple[str, str, Handler]


class Endpoint:
    """The ASGI application of one route."""

    def __init__(self, services: Services, route: str, handler: Handler) -> None:
        self._services = services
        self._route = route
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, run the handler, send its answer."""
        try:
            body = await _read(receive)
            await self._services.faults.strike(self._route)
            answer = await self._handler(Call(self._services, scope["path_params"], body, scope))
        except InjectedDropError:
            await _break_off(scope, send)
            return
        except _EXPECTED as error:
            answer = _refusal(error)
        await send_answer(send, answer)


_EXPECTED = (
    InvalidInputError,
    NotFoundError,
    RefusedError,
    InjectedError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
)


async def send_answer(send: Send, answer: Answer) -> None:
    """Send `answer` as JSON."""
    payload = answer.payload
    body = payload if isinstance(payload, bytes) else encode(payload)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def encode(payload: Any) -> bytes:
    """JSON bytes; times without a zone are UTC, as the platform stores them."""
    return orjson.dumps(payload, option=_JSON_OPTIONS)


def problems_of(error: ValidationError) -> list[Problem]:
    """Field and message of every problem that pydantic found, the first MAX_PROBLEMS."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_PROBLEMS]
    return [(".".join(map(str, problem["loc"])) or "body", problem["msg"]) for problem in found]


def failure(code: str, message: str, **more: Any) -> dict[str, Any]:
    """The body of every answer that is not a success."""
    return {"success": False, "error": {"code": code, "message": message, **more}}


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404 to what no route serves; refuse such a WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await send_answer(send, Answer(failure("ROUTE_NOT_FOUND", "No such route"), 404))


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError(413, "BODY_TOO_LARGE", f"The body is larger than {MAX_BODY_BYTES} bytes")
    return body


async def _break_off(scope: Scope, send: Send) -> None:
    """Promise more than is sent, so that the server closes the connection in the middle of the answer."""
    scope["broken"] = True
    headers = [(b"content-type", b"application/json"), (b"content-length", b"64")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


def _refusal(error: Exception) -> Answer:
    match error:
        case InvalidInputError():
            return Answer(_invalid(error), 400)
        case NotFoundError():
            return Answer(failure("NOT_FOUND", str(error), field=error.field), 404)
        case RefusedError():
            return Answer(failure(error.code, str(error)), error.status)
        case InjectedError():
            return Answer(failure("INJECTED_FAULT", "A planned fault"), 503)
        case _:
            return Answer(failure(*_database_failure(error)), 503)


def _database_failure(error: Exception) -> tuple[str, str]:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "DATABASE_TIMEOUT", "The database took too long"
    if isinstance(error, PoolTimeout):
        return "POOL_EXHAUSTED", "No database connection became free in time"
    return "DATABASE_UNAVAILABLE", "The database cannot be reached"


def _invalid(error: InvalidInputError) -> dict[str, Any]:
    field, message = error.problems[0]
    fields = [{"field": name, "message": text} for name, text in error.problems]
    return failure("VALIDATION_ERROR", f"{field}: {message}", field=field, fields=fields)
