"""What a load client keeps, and when it changes: what was made from it holds until then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from httpx import USE_CLIENT_DEFAULT

from tasks.load.client.call import Caller
from tasks.load.client.engine import Engine
from tasks.load.client.exchange import OnExchange
from tasks.load.client.request import Line, Profile
from tasks.load.client.transport import EngineTransport, StampedTransport
from tasks.load.client.watch import Watch, WatchedHeaders, watched


class WatchedClient(httpx.AsyncClient):
    """The part of a load client that is not its requests; see `client.LoadClient`.

    `_ready` holds the lines that the next request may take as they are, as long as `_watch.changes` is `_ready_at`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        base_url: httpx.URL | str = "",
        on_exchange: OnExchange | None = None,
        headers: Any = None,
        params: Any = None,
        auth: Any = None,
        cookies: Any = None,
        timeout: Any = USE_CLIENT_DEFAULT,
        follow_redirects: bool = False,
        max_redirects: int = 20,
        event_hooks: Mapping[str, list[Callable[..., Any]]] | None = None,
        default_encoding: str | Callable[[bytes], str] = "utf-8",
        http2: bool = False,
        proxy: Any = None,
        mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.engine = engine
        self.fallbacks: Counter[str] = Counter()
        self._caller = caller = Caller(engine, on_exchange)
        self._watch = Watch()
        self._ready: dict[tuple[str, Any], Line] = {}
        self._ready_at = self._profile_at = -1
        self._kept: Profile
        self._loop = engine.loop
        self._hooked = event_hooks is not None
        own = timeout is not USE_CLIENT_DEFAULT
        super().__init__(
            base_url=base_url,
            headers=headers,
            params=params,
            auth=auth,
            cookies=cookies,
            timeout=timeout if own else engine.timeout,
            follow_redirects=follow_redirects,
            max_redirects=max_redirects,
            event_hooks=event_hooks,
            default_encoding=default_encoding,
            verify=engine.http2_context if proxy is not None else True,
            proxy=proxy,
            mounts=mounts,
            transport=EngineTransport(caller),
        )
        self._cookies = watched(self._cookies, self._watch)
        self._limits = self._own_limits()
        self._elsewhere = self._use_others(http2=http2, proxied=proxy is not None, transport=transport)

    def _use_others(self, *, http2: bool, proxied: bool, transport: httpx.AsyncBaseTransport | None) -> str | None:
        """Have other transports tell of their exchanges; why every request takes one, None where none does."""
        self._mounts = {
            pattern: None if mounted is None else StampedTransport(mounted, self._caller)
            for pattern, mounted in self._mounts.items()
        }
        if transport is not None:
            self._transport = StampedTransport(transport, self._caller)
            return "transport"
        if http2:
            limits = httpx.Limits(max_connections=self.engine.connections)
            own = httpx.AsyncHTTPTransport(verify=self.engine.http2_context, http2=True, limits=limits)
            self._transport = StampedTransport(own, self._caller)
            return "http2"
        if proxied:
            return "proxy"
        return "mounts" if self._mounts else None

    # --- what may change, and with it what was made from it ---

    @property
    def intended_ns(self) -> int:
        """When the next request should begin (monotonic ns): its latency counts from it; 0 is when it is made."""
        return self._caller.intended_ns

    @intended_ns.setter
    def intended_ns(self, value: int) -> None:
        self._caller.intended_ns = value

    @property
    def headers(self) -> httpx.Headers:
        """See `httpx.AsyncClient`."""
        return self._headers

    @headers.setter
    def headers(self, headers: Any) -> None:
        httpx.AsyncClient.headers.fset(self, headers)  # type: ignore[attr-defined] # a property of the class
        self._headers = WatchedHeaders(self._headers, self._watch)
        self._watch.changes += 1

    @property
    def cookies(self) -> httpx.Cookies:
        """See `httpx.AsyncClient`."""
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._cookies = watched(httpx.Cookies(cookies), self._watch)
        self._watch.changes += 1

    @property
    def base_url(self) -> httpx.URL:
        """See `httpx.AsyncClient`."""
        return self._base_url

    @base_url.setter
    def base_url(self, url: httpx.URL | str) -> None:
        self._base_url = self._enforce_trailing_slash(httpx.URL(url))
        self._watch.changes += 1

    @property
    def params(self) -> httpx.QueryParams:
        """See `httpx.AsyncClient`."""
        return self._params

    @params.setter
    def params(self, params: Any) -> None:
        self._params = httpx.QueryParams(params)
        self._watch.changes += 1

    @property
    def auth(self) -> httpx.Auth | None:
        """See `httpx.AsyncClient`."""
        return self._auth

    @auth.setter
    def auth(self, auth: Any) -> None:
        self._auth = self._build_auth(auth)
        self._watch.changes += 1

    @property
    def timeout(self) -> httpx.Timeout:
        """See `httpx.AsyncClient`; limits longer than the engine's change nothing."""
        return self._timeout

    @timeout.setter
    def timeout(self, timeout: Any) -> None:
        self._timeout = httpx.Timeout(timeout)
        self._watch.changes += 1
        self._limits = self._own_limits()

    def _own_limits(self) -> dict[str, float | None] | None:
        limits = self._timeout.as_dict()
        return None if limits == self.engine.limits else limits

    @property
    def event_hooks(self) -> dict[str, list[Callable[..., Any]]]:
        """See `httpx.AsyncClient`."""
        self._hooked = True  # its lists may be changed at any time from now on
        self._watch.changes += 1
        return self._event_hooks

    @event_hooks.setter
    def event_hooks(self, event_hooks: dict[str, list[Callable[..., Any]]]) -> None:
        self._hooked = True
        self._watch.changes += 1
        httpx.AsyncClient.event_hooks.fset(self, event_hooks)  # type: ignore[attr-defined] # a property of the class

    def _profile(self) -> Profile:
        """The profile that fits the client as it is now, shared by all clients that are alike."""
        if self._profile_at == self._watch.changes:
            return self._kept
        headers: httpx.Headers = self._headers
        if type(self._auth) is httpx.BasicAuth:
            signed = httpx.Request("GET", "http://anywhere", headers=headers, stream=httpx.ByteStream(b""))
            headers = next(self._auth.auth_flow(signed)).headers
        self._kept = self.engine.profile(self._base_url, headers, self._params)
        self._profile_at = self._watch.changes
        return self._kept

    async def aclose(self) -> None:
        """See `httpx.AsyncClient.aclose`; the engine stays open."""
        self._watch.changes += 1
        await super().aclose()
