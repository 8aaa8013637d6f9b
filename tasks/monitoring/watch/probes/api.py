"""Asks the API for one thing at a time, from the environment's weighted endpoints that change nothing."""

from __future__ import annotations

import random
import time

import httpx

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError
from tasks.load.figures import address_of
from tasks.load.mix import Mix, Request, endpoint_plan
from tasks.load.wire.address import Address
from tasks.monitoring.watch.counts import Counts
from tasks.monitoring.watch.probe import Looked, window
from tasks.monitoring.watch.window import Samples

_SEED = 20_260
_MOST_BYTES = 16 << 20
_LATENCY = "watch: client time of single requests that were answered as expected, 95th percentile of its window"
_ERRORS = "watch: single requests that were not answered as expected ÷ all, over its window"


class ApiProbe:
    """See the module, and `tasks.monitoring.watch.probe.Probe`."""

    target = "api"

    def __init__(self, config: RunConfig, target: Target, counts: Counts, *, every_s: float, window_s: float) -> None:
        settings = config.environment.api
        url, address = address_of(target.api_url, config.environment.variables.api_url)
        del url
        headers = {name: value.get_secret_value() for name, value in target.headers.items()}
        chosen = [one for one in settings.endpoints if one.method == "GET" and not one.writes]
        if not chosen:
            raise NotMeasuredError("the environment names no endpoint that reads: add one to [[api.endpoints]]")
        self.every_s, self.limit_s = every_s, settings.timeout_s
        self._shown = address.shown
        self._counts = counts
        self._rng = random.Random(_SEED)  # noqa: S311 - which order to ask for is no secret
        self._requests = [Request(endpoint_plan(one), settings.values, address, headers) for one in chosen]
        self._areas = [area_of(one.path) for one in chosen]
        self._mix = Mix([one.weight for one in chosen], self._rng)
        self._samples = Samples(window_s)
        self._client = _client(address, headers, settings.timeout_s)

    def look(self, now: float) -> Looked:
        """One request."""
        number = self._mix.choose()
        request = self._requests[number]
        outcome, seconds, problem = self._ask(request)
        answered_well = seconds if outcome == "ok" else None
        self._counts.request(self._areas[number], request.name, outcome, answered_well)
        self._samples.add(now, None if answered_well is None else answered_well * 1000)
        over = window(self._samples.spans)
        found = (
            self._samples.p95("api.latency.p95", over, _LATENCY),
            self._samples.failures("api.errors.ratio", over, _ERRORS),
        )
        return Looked(found, problem=problem)

    def _ask(self, request: Request) -> tuple[str, float, str]:
        """Outcome, seconds, and why nothing answered."""
        method, target, body = request.parts(self._rng)
        begin = time.perf_counter()
        try:
            with self._client.stream(method, target, content=body) as answer:
                status = answer.status_code
                read = 0
                for chunk in answer.iter_raw():
                    read += len(chunk)
                    if time.perf_counter() - begin > self.limit_s or read > _MOST_BYTES:
                        raise httpx.ReadTimeout(f"no whole answer within {self.limit_s:g} s")
        except httpx.TimeoutException:
            return "timeout", 0.0, f"{self._shown} did not answer within {self.limit_s:g} s"
        except httpx.HTTPError as error:
            return "unreachable", 0.0, f"{self._shown} does not answer ({type(error).__name__})"
        return "ok" if status in request.expect else "wrong_status", time.perf_counter() - begin, ""

    def back(self) -> None:
        """See `Probe.back`."""
        self._samples.clear()

    def close(self) -> None:
        """See `Probe.close`."""
        self._client.close()


def area_of(path: str) -> str:
    """What part of the service a path belongs to: its first word, `api` and versions left out."""
    words = [
        word for word in path.split("/") if word and word != "api" and not (word[0] == "v" and word[1:].isdigit())
    ]
    return words[0] if words else "root"


def _client(address: Address, headers: dict[str, str], timeout_s: float) -> httpx.Client:
    """A client whose targets are absolute: the base path of the address is in them already."""
    given = {"User-Agent": "hasivu-perf", **headers}
    if address.authorization:
        given.setdefault("Authorization", address.authorization)
    return httpx.Client(
        base_url=f"{address.scheme}://{address.authority}",
        headers=given,
        timeout=timeout_s,
        trust_env=False,
        limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=60),
    )
