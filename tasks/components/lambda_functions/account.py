"""The door to one AWS account: clients with retries and a deadline, and a count of every request that is made.

A request that AWS refuses becomes `DeniedError` with the permission to allow; an endpoint that does not answer
becomes `TargetUnreachableError`; missing credentials become `NotMeasuredError`. Each is one line with its remedy.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
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

from deployments.config import Target
from storage.errors import NotMeasuredError, TargetUnreachableError

ATTEMPTS = 8
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
PROBE_TIMEOUT_S = 3

_SERVICES = {
    "lambda": "lambda",
    "cloudwatch": "cloudwatch",
    "logs": "logs",
    "sts": "sts",
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
        """All pages of an operation, one call each, fetched as they are needed."""
        pages = self._guarded(
            service, operation, lambda client, method: iter(client.get_paginator(method).paginate(**parameters))
        )
        while True:
            page = self._guarded(service, operation, lambda _client, _method: next(pages, None))
            if page is None:
                return
            yield page

    def _guarded(self, service: str, operation: str, use: Callable[[Any, str], Any]) -> Any:
        permission = permission_of(service, operation)
        try:
            return use(self._client(service), _method(operation))
        except ClientError as error:
            raise self._refusal(error, permission) from error
        except _NO_CREDENTIALS as error:
            raise _without_credentials(error) from error
        except (HTTPClientError, BotoConnectionError) as error:
            raise self._unreachable(service, error) from error
        except BotoCoreError as error:
            raise NotMeasuredError(f"{permission} failed: {_first_line(str(error))}") from error

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            probe = service == "sts"
            config = Config(
                connect_timeout=PROBE_TIMEOUT_S if probe else CONNECT_TIMEOUT_S,
                read_timeout=PROBE_TIMEOUT_S if probe else READ_TIMEOUT_S,
                retries={
                    "mode": "standard" if probe else "adaptive",
                    "total_max_attempts": 2 if probe else self._attempts,
                },
                user_agent_extra="hasivu-perf",
            )
            client = self._session.client(service, endpoint_url=self.endpoint, config=config)  # type: ignore[call-overload]
            client.meta.events.register("before-send", self._before_send(service))
            self._clients[service] = client
        return self._clients[service]

    def _before_send(self, service: str) -> Callable[..., None]:
        def check(*, event_name: str, **_: Any) -> None:
            if self.remaining_s <= 0:
                raise DeadlineError(f"the analysis of the account took longer than its {self._seconds:.0f} s")
            self.requests[permission_of(service, event_name.rpartition(".")[2])] += 1

        return check

    def _refusal(self, error: ClientError, permission: str) -> NotMeasuredError:
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
        return NotMeasuredError(
            f"{permission} failed ({code}): {_first_line(error.response['Error'].get('Message', ''))}"
        )

    def _unreachable(self, service: str, error: BotoCoreError) -> NotMeasuredError:
        where = _host(self.endpoint) if self.endpoint else f"the {service} endpoint of {self.region}"
        return TargetUnreachableError(
            f"{where} does not answer ({type(error).__name__}); check AWS_REGION, AWS_ENDPOINT_URL and the network"
        )


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
