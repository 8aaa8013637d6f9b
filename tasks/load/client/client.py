"""The familiar client of httpx on the load engine: the same calls and answers, at a fraction of the processor time.

```python
engine = Engine(allow={"api.school.test"})
await engine.prepare("https://api.school.test")
async with LoadClient(engine, base_url="https://api.school.test", on_exchange=record) as http:
    menu = await http.get("/api/v1/menus/daily", params={"day": 3})
    order = await http.post("/api/v1/orders", json={"item": menu.json()[0]["id"]})
engine.close()
```

What is usual takes a fast path: templates of requests, answers whose parts are made when they are asked for. What is
not is left to httpx itself, over the same connections and clocks, and counted in `fallbacks` by reason.

By design it differs from stock httpx in these points: a time limit for the answer bounds the whole of it, and the
engine's own limits are the longest; bodies are read whole before they are sent and before an answer is handed over,
up to 16 MiB; `HTTP_PROXY` and its like are not followed; only allowed hosts are asked (`HostNotAllowedError`); a
switch of protocols (101), lines that end without CR and a status above 599 are refused (`httpx.RemoteProtocolError`);
a body that only the connection's end bounds is not whole over TLS without its farewell (RFC 9112, 9.8);
there is no log line for each request and no `extensions["network_stream"]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import httpx
from httpx import USE_CLIENT_DEFAULT

from tasks.load.client.engine import Engine
from tasks.load.client.exchange import Exchange, HostNotAllowedError, OnExchange
from tasks.load.client.pool import Call
from tasks.load.client.request import Line, Profile, encode_body, encode_json, unusual, with_query
from tasks.load.client.response import KNOWN_HEADS, LoadResponse, request_of
from tasks.load.client.state import WatchedClient
from tasks.load.client.watch import WatchedJar, cookie_line

__all__ = ["Engine", "Exchange", "HostNotAllowedError", "LoadClient", "OnExchange"]


Plan = tuple[Line, bytes, bool, str, dict[str, float | None] | None]
"""A line, the whole request, whether the connection ends with it, the exchange's name, limits of its own."""

_now = time.monotonic_ns
_BODIES = frozenset(("content", "data", "files", "json"))


def _verb(method: str) -> Callable[..., Coroutine[Any, Any, httpx.Response]]:
    """A method of the client for an HTTP method: without a coroutine of its own, and with httpx's own rules."""
    with_body = method in ("POST", "PUT", "PATCH")

    @wraps(getattr(httpx.AsyncClient, method.lower()))
    def call(self: LoadClient, url: httpx.URL | str, **options: Any) -> Coroutine[Any, Any, httpx.Response]:
        if options and not with_body and not _BODIES.isdisjoint(options):
            raise TypeError(f"{method.lower()}() takes no body: use request({method!r}, ...)")
        return self.request(method, url, **options) if options else self.request(method, url)

    return call


class LoadClient(WatchedClient):
    """`httpx.AsyncClient` on an engine; one for each virtual user, cheap to make.

    `on_exchange` is told of every request on the wire. Its name there is "METHOD /path/{id}", or what a request says
    by `extensions={"name": "menu"}`, its redirects included. `http2`, `proxy`, `mounts` and `transport` have httpx
    do it all, stamped by the event loop. The other arguments are httpx's.
    """

    async def request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """See `httpx.AsyncClient.request`."""
        taken = _now()
        # the usual case: no options but a JSON body, and nothing was changed since the last request
        line = self._ready.get((method, url)) if self._watch.changes == self._ready_at else None
        if line is None or line.pool is None:
            return await self._planned(taken, method, str(url), options)
        if not options:
            data = line.bare
        elif len(options) == 1 and options.get("json") is not None and line.json_start:
            data = line.with_json(encode_json(options["json"]))
        else:
            return await self._planned(taken, method, str(url), options)
        caller, pool = self._caller, line.pool
        call = Call(caller.intended_ns or taken, taken, data, self._loop.create_future(), line.head_only)
        caller.intended_ns = 0
        pool.submit(call)
        try:
            await call.done
        except BaseException:  # given up by whoever awaits it
            caller.give_up(call, line.name, pool)
            raise
        head = KNOWN_HEADS.get(call.head) if call.error is None else None
        if head is None:
            head = caller.head_of(call, line.name, partial(request_of, line.method, line.url, data))
        response = LoadResponse(head, call, caller.tell(call, line.name), line)
        return await self._more(response, options) if head.special else response

    async def _planned(self, taken: int, method: str, url: str, options: Mapping[str, Any]) -> httpx.Response:
        try:
            plan = self._plan(method, url, options)
        except httpx.TransportError:  # what cannot be sent: httpx raises it with the request that it was
            plan = "illegal"
        if isinstance(plan, str):
            return await self._by_httpx(plan, method, url, options)
        line, data, closes, name, limits = plan
        caller = self._caller
        call = caller.call(taken, data, head_only=line.head_only, close=closes)
        answer = await caller.perform(
            call, name, line.origin, lambda: request_of(line.method, line.url, data), limits
        )
        line.pool = self.engine.pools.get(line.origin)
        response = LoadResponse(answer.head, call, answer.exchange, line)
        if self._default_encoding != "utf-8":
            response.default_encoding = self._default_encoding
        return await self._more(response, options) if answer.head.special else response

    def _plan(  # noqa: PLR0911 - one for each reason
        self, method: str, url: str, options: Mapping[str, Any]
    ) -> Plan | str:
        """How a request goes over the fast path, or why it does not; what is ready for the next one is noted."""
        if self.is_closed:
            raise RuntimeError("Cannot send a request, as the client has been closed.")
        if self._elsewhere is not None:
            return self._elsewhere
        if self._hooked and (self._event_hooks["request"] or self._event_hooks["response"]):
            return "event_hooks"
        if self._auth is not None and type(self._auth) is not httpx.BasicAuth:
            return "auth"
        profile = self._profile()
        if profile.block.odd:
            return "framing"
        jar = self._cookies.jar
        if options or not isinstance(jar, WatchedJar) or jar.filled:
            return self._rich_plan(profile, method, url, options)
        line = profile.lines.get((method, url)) or self._line(profile, method, url, None)
        if line is None:
            return "userinfo"
        plain = not self._hooked and not profile.block.close and self._limits is None
        if plain and self._default_encoding == "utf-8":
            self._ready, self._ready_at = profile.lines, self._watch.changes
        return line, line.bare, profile.block.close, line.name, self._limits

    def _rich_plan(self, profile: Profile, method: str, url: str, options: Mapping[str, Any]) -> Plan | str:
        reason = unusual(options)
        if reason is not None:
            return reason
        block = profile.block_with(options.get("headers"))
        if block.odd:
            return "framing"
        params = options.get("params")
        if params is not None:
            whole = None if self._params else with_query(url, params)
            url, params = (url, params) if whole is None else (whole, None)
        line = profile.lines.get((method, url)) if params is None else None
        line = line or self._line(profile, method, url, params)
        if line is None:
            return "userinfo"
        cookie = b"" if block.has_cookie else self._cookie_line(line.url)
        data = line.with_body(block, cookie, *encode_body(options))
        if "timeout" not in options and "extensions" not in options:
            return line, data, block.close, line.name, self._limits
        extensions = self._extensions(options)
        return line, data, block.close, extensions.get("name") or line.name, extensions.get("timeout", self._limits)

    def _line(self, profile: Profile, method: str, url: str, params: Any) -> Line | None:
        """The line of a request that was not known; None for a URL with credentials, which become a header."""
        if params is None and not self._params:
            line = profile.line(method, url)
            if line is not None:
                return line
        merged = self._merge_url(url)
        every = self._merge_queryparams(params)
        if every is not None:
            merged = httpx.URL(merged, params=every)
        return profile.line(method, url if params is None else str(merged), merged)

    def _cookie_line(self, url: str) -> bytes:
        jar = self._cookies.jar
        if isinstance(jar, WatchedJar):
            return jar.line(url) if jar.filled else b""
        return cookie_line(self._cookies, url) if self._cookies else b""

    async def _more(self, response: LoadResponse, options: Mapping[str, Any]) -> httpx.Response:
        """What an answer asks for besides being handed over: keep its cookies, decode it, follow its redirect."""
        head = response.head
        if head.sets_cookie:
            self._cookies.extract_cookies(response)
        if head.encoded:
            response.decode()
        if not head.redirects:
            return response
        response.request.extensions = self._extensions(options)
        following = self._build_redirect_request(response.request, response)
        follow = options.get("follow_redirects", USE_CLIENT_DEFAULT)
        if not (self.follow_redirects if follow is USE_CLIENT_DEFAULT else follow):
            response.next_request = following
            return response
        self._count("redirect")
        self._set_timeout(following)
        last = await self._send_handling_redirects(following, follow_redirects=True, history=[response])
        await last.aread()
        return last

    def _extensions(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What a request tells its redirects besides: its name, and limits of its own."""
        extensions = dict(options.get("extensions") or {})
        timeout = options.get("timeout", USE_CLIENT_DEFAULT)
        if timeout is not USE_CLIENT_DEFAULT:
            extensions.setdefault("timeout", httpx.Timeout(timeout).as_dict())
        return extensions

    async def _by_httpx(
        self, reason: str, method: str, url: httpx.URL | str, options: Mapping[str, Any]
    ) -> httpx.Response:
        """Have httpx make the request, over the engine where it can."""
        self._count(reason)
        options = dict(options)
        sending = {name: options.pop(name) for name in ("auth", "follow_redirects") if name in options}
        return await super().send(self.build_request(method, url, **options), **sending)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """See `httpx.AsyncClient.send`: left to httpx, and counted."""
        self._count("stream" if options.get("stream") else "send")
        return await super().send(request, **options)

    def _count(self, reason: str) -> None:
        self.fallbacks[reason] += 1
        self.engine.fallbacks[reason] += 1

    if not TYPE_CHECKING:  # to a type checker they are httpx's own
        get, options, head = _verb("GET"), _verb("OPTIONS"), _verb("HEAD")
        delete = _verb("DELETE")
        post, put, patch = _verb("POST"), _verb("PUT"), _verb("PATCH")
