"""The door to one AWS account: clients with retries and a deadline, and a count of every request that is made.

A request that AWS refuses becomes `DeniedError` with the permission to allow; an endpoint that does not answer
becomes XX
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError

from deployments.config import Target
from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks import stopping
from tasks.components.lambda_functions.exchange import exchange

ATTEMPTS = 5
PATIENCE_S = 12.0
"""How long one call may be refused, or fail, before it is given up."""

CONNECT_TIMEOUT_S = 5
ANSWER_S = 7.0
"""How long one attempt may take, its name look-up and the last byte of its answer included."""

SILENCES = 2
"""How often a service may give no answer to one call."""

PROBE_S = 3.0
MOST_PAGES = 400
"""More pages than any account has of what is listed here, and than a log that is read line by line should have."""

EMPTY_S = 10.0
"""How long pages may come that hold nothing: FilterLogEvents answers such ones while it searches."""

_NO_PROXY: dict[str, str] = {}
"""Of an endpoint without TLS: what goes there in plain text goes to nobody else, whatever HTTP_PROXY says."""

_SERVICES = {
    "lambda": "lambda",
    "cloudwatch": "cloudwatch",
    "logs": "logs",
    "sts": "sts",
    "iam": "iam",
    "resourcegroupstaggingapi": "tag",
    "events": "events",
    "apigateway": "apigateway",
    "apigatewayv2": "apigateway",
    "compute-optimizer": "compute-optimizer",
    "pricing": "pricing",
}
_BY_METHOD = frozenset({"apigateway"})
"""Services whose permissions name the HTTP method instead of the operation."""

_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, SSOError)
_PARTS: Mapping[str, str] = {
    "sts:GetCallerIdentity": "Account",
    "lambda:ListFunctions": "Functions",
    "lambda:GetAccountSettings": "AccountLimit",
    "lambda:ListEventSourceMappings": "EventSourceMappings",
    "lambda:ListProvisionedConcurrencyConfigs": "ProvisionedConcurrencyConfigs",
    "tag:GetResources": "ResourceTagMappingList",
    "cloudwatch:ListMetrics": "Metrics",
    "cloudwatch:GetMetricData": "MetricDataResults",
    "logs:FilterLogEvents": "events",
    "logs:StartQuery": "queryId",
    "logs:GetQueryResults": "status",
}
"""What an answer must hold to be one, by permission: of what is no answer of AWS botocore makes an empty one."""

_NO_ANSWER = (ResponseParserError, ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""What botocore's parsers raise on something that is no answer of AWS."""

_NOT_AWS = "; check AWS_ENDPOINT_URL and what stands between"
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_CLOCK = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "MissingAuthenticationToken",
    }
)


class DeniedError(NotMeasuredError):
    """A permission that the credentials lack; `permission` is what an IAM policy must allow."""

    def __init__(self, permission: str) -> None:
        self.permission = permission
        super().__init__(
            f"{permission} is denied: allow it in the policy of these credentials: {statement([permission])}"
        )


class DeadlineError(NotMeasuredError):
    """The time for the analysis of the account is used up."""


class NotEnrolledError(NotMeasuredError):
    """A service that the account has not switched on."""


class UnknownResourceError(NotMeasuredError):
    """What was asked for, such as a log group, does not exist."""


def statement(permissions: Iterable[str]) -> str:
    """The IAM policy statement, as JSON on one line, that grants some permissions."""
    actions = ", ".join(f'"{permission}"' for permission in sorted(permissions))
    return f'{{"Effect": "Allow", "Action": [{actions}], "Resource": "*"}}'


@contextmanager
def as_documented(what: str) -> Iterator[None]:
    """Within the block, an answer that lacks what AWS documents is a `NotMeasuredError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise NotMeasuredError(f"{what}: AWS's answer lacks {_first_line(str(error))}{_NOT_AWS}") from error


def permission_of(service: str, operation: str) -> str:
    """What an IAM policy must allow for an operation that reads."""
    name = _SERVICES[service]
    return f"{name}:GET" if name in _BY_METHOD else f"{name}:{operation}"


class Account:
    """Clients of one account and region, sharing one deadline (`seconds` from now) and one count of requests."""

    def __init__(self, target: Target, seconds: float, *, attempts: int = ATTEMPTS) -> None:
        if not target.aws_region:
            raise NotMeasuredError("AWS_REGION is not set; set it to the region of the functions, such as ap-south-1")
        self.region = target.aws_region
        self.endpoint = target.aws_endpoint_url
        self.requests: Counter[str] = Counter()
        self._attempts = attempts
        self._ends = time.monotonic() + seconds
        self._seconds = seconds
        self._clients: dict[str, Any] = {}
        self._dead: dict[str, NotMeasuredError] = {}
        self._refused_since = 0.0
        self._last_refusal = ""
        self._session = _session(target)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, 0 once it is past."""
        return max(0.0, self._ends - time.monotonic())

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call by the name of the API's operation, such as `ListFunctions`; its answer as it came."""
        answer: dict[str, Any] = self._guarded(
            service, operation, lambda client, method: getattr(client, method)(**parameters)
        )
        return answer

    def pages(self, service: str, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All pages of an operation, one call each, fetched as they are needed.

        `NotMeasuredError` where there seems to be no end of them.
        """
        pages = self._guarded(
            service, operation, lambda client, method: iter(client.get_paginator(method).paginate(**parameters))
        )
        part = _PARTS.get(permission_of(service, operation))
        number, moved = 0, time.monotonic()
        while True:
            page = self._guarded(service, operation, lambda _client, _method: next(pages, None))
            if page is None:
                return
            if part is None or page[part]:
                number, moved = number + 1, time.monotonic()
            if number > MOST_PAGES or time.monotonic() - moved > EMPTY_S:
                endless = f"{permission_of(service, operation)} gives page after page without an end{_NOT_AWS}"
                raise self._gives_up(service, NotMeasuredError(endless))
            yield page

    def _guarded(self, service: str, operation: str, use: Callable[[Any, str], Any]) -> Any:
        stopping.check()
        permission = permission_of(service, operation)
        if service in self._dead:
            raise self._dead[service]
        self._last_refusal = ""
        try:
            answer = use(self._client(service), _method(operation))
        except ClientError as error:
            raise self._refusal(service, error, permission) from error
        except _NO_CREDENTIALS as error:
            raise _without_credentials(error) from error
        except (HTTPClientError, BotoConnectionError) as error:
            raise self._gives_up(service, self._unreachable(service, error)) from error
        except BotoCoreError as error:
            raise NotMeasuredError(f"{permission} failed: {_first_line(str(error))}{_NOT_AWS}") from error
        except _NO_ANSWER as error:
            raise self._gives_up(service, _strange(permission, type(error).__name__)) from error
        part = _PARTS.get(permission)
        if isinstance(answer, dict) and part is not None and answer.get(part) is None:
            raise self._gives_up(service, _strange(permission, f"no {part}"))
        return answer

    def gave_up(self, service: str) -> bool:
        """Whether a service is asked no more."""
        return service in self._dead

    def _gives_up(self, service: str, error: NotMeasuredError) -> NotMeasuredError:
        self._dead[service] = error
        return error

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            probe = service == "sts"
            config = Config(
                connect_timeout=PROBE_S if probe else CONNECT_TIMEOUT_S,
                read_timeout=PROBE_S if probe else ANSWER_S,
                retries={
                    "mode": "standard" if probe else "adaptive",
                    "total_max_attempts": SILENCES if probe else self._attempts,
                },
                user_agent_extra="hasivu-perf",
                proxies=_NO_PROXY if urlsplit(self.endpoint or "").scheme == "http" else None,
            )
            client = self._session.client(service, endpoint_url=self.endpoint, config=config)  # type: ignore[call-overload]
            # before-send may answer in place of botocore's own exchange, by the same session: TLS, proxies, pool
            session = client._endpoint.http_session  # noqa: SLF001 - botocore has no public way to it
            client.meta.events.register("before-send", self._sender(service, session, PROBE_S if probe else ANSWER_S))
            client.meta.events.register_first("needs-retry", self._judge_silence)
            self._clients[service] = client
        return self._clients[service]

    def _sender(self, service: str, session: Any, seconds: float) -> Callable[..., AWSResponse]:
        def send(*, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
            permission = permission_of(service, event_name.rpartition(".")[2])
            if self.remaining_s <= 0:
                raise DeadlineError(f"the analysis of the account took longer than its {self._seconds:.0f} s")
            if self._last_refusal and time.monotonic() - self._refused_since > PATIENCE_S:
                raise self._gives_up(
                    service,
                    NotMeasuredError(
                        f"{permission} was refused for {PATIENCE_S:.0f} s ({self._last_refusal}); run it again when"
                        " the account is asked less"
                    ),
                )
            self.requests[permission] += 1
            return exchange(session, request, seconds)

        return send

    def _judge_silence(
        self, *, attempts: int, response: Any = None, caught_exception: Exception | None = None, **_: Any
    ) -> None:
        """Called before botocore decides whether to try again: a peer without answers gets `SILENCES` attempts."""
        if caught_exception is not None and attempts >= SILENCES:
            raise caught_exception
        if response is not None and (code := response[1].get("Error", {}).get("Code", "")):
            if not self._last_refusal:
                self._refused_since = time.monotonic()
            self._last_refusal = code

    def _refusal(self, service: str, error: ClientError, permission: str) -> NotMeasuredError:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _CLOCK:
            return NotMeasuredError(
                f"AWS refuses the time of this machine ({code}): set its clock; AWS takes 5 minutes' difference"
            )
        if code in _BAD_CREDENTIALS:
            return NotMeasuredError(f"AWS refuses these credentials ({code}); renew them or set AWS_PROFILE")
        if code in _DENIED or code.startswith("AccessDenied"):
            return DeniedError(permission)
        if code.startswith("OptInRequired"):
            service = permission.partition(":")[0]
            return NotEnrolledError(f"{service} is not switched on in this account")
        if code == "ResourceNotFoundException":
            return UnknownResourceError(f"{permission}: {_first_line(error.response['Error'].get('Message', code))}")
        failed = NotMeasuredError(
            f"{permission} failed ({code}): {_first_line(error.response['Error'].get('Message', ''))}; run it again"
            " later"
        )
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        tried = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        return self._gives_up(service, failed) if tried or status >= HTTPStatus.INTERNAL_SERVER_ERROR else failed

    def _unreachable(self, service: str, error: BotoCoreError) -> NotMeasuredError:
        where = _host(self.endpoint) if self.endpoint else f"the {service} endpoint of {self.region}"
        return TargetUnreachableError(
            f"{where} does not answer ({type(error).__name__}); check AWS_REGION, AWS_ENDPOINT_URL and the network"
        )


def _strange(permission: str, how: str) -> NotMeasuredError:
    return NotMeasuredError(f"{permission} answered what AWS does not ({how}){_NOT_AWS}")


def _session(target: Target) -> boto3.Session:
    if target.local and target.aws_endpoint_url:  # an emulator on this machine never sees real credentials
        return boto3.Session(
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - an emulator takes any
            region_name=target.aws_region,
        )
    try:
        return boto3.Session(region_name=target.aws_region)
    except ProfileNotFound as error:
        raise _without_credentials(error) from error


def _without_credentials(error: BotoCoreError) -> NotMeasuredError:
    return NotMeasuredError(
        f"no usable AWS credentials ({_first_line(str(error))}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
        "or AWS_PROFILE"
    )


def _method(operation: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")


def _host(url: str) -> str:
    """Address without what could be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}" if parts.port else f"{parts.scheme}://{parts.hostname}"


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
