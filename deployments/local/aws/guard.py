"""What a caller may do: denied actions, and how many calls a second each service takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

from deployments.local.aws.errors import AwsError
from deployments.local.aws.names import ACCOUNT_ID

_THROTTLED = {"lambda": ("TooManyRequestsException", 429), "cloudwatch": ("Throttling", 400)}


class Guard:
    """Refuses denied actions (`logs:StartQuery`) and calls beyond a service's rate (a token bucket of one second).

    `allowed` are actions that the caller's policies allow though nothing here carries them out: IAM tells them.
    """

    def __init__(
        self, denied: Iterable[str] = (), rates: Mapping[str, float] | None = None, allowed: Iterable[str] = ()
    ) -> None:
        self._denied = frozenset(denied)
        self.allowed = frozenset(allowed)
        self._rates = dict(rates or {})
        self._tokens = {service: (rate, time.monotonic()) for service, rate in self._rates.items()}
        self._lock = threading.Lock()

    def admit(self, service: str, operation: str) -> None:
        """Pass, or raise what AWS answers."""
        action = f"{service}:{operation}"
        if action in self._denied:
            user = f"arn:aws:iam::{ACCOUNT_ID}:user/local"
            message = f"User: {user} is not authorized to perform: {action} on resource: *"
            raise AwsError(
                "AccessDeniedException", message, status=403 if service in {"lambda", "apigateway", "iam"} else 400
            )
        if service in self._rates and not self._take(service):
            code, status = _THROTTLED.get(service, ("ThrottlingException", 400))
            raise AwsError(code, "Rate exceeded", status=status)

    def _take(self, service: str) -> bool:
        rate = self._rates[service]
        with self._lock:
            tokens, since = self._tokens[service]
            now = time.monotonic()
            tokens = min(max(rate, 1.0), tokens + (now - since) * rate)
            self._tokens[service] = (tokens - 1.0 if tokens >= 1.0 else tokens, now)
            return tokens >= 1.0
