"""Headers and cookies of a client that tell when they were changed, so that what was made from them can be kept."""

from __future__ import annotations

import time
from http.cookiejar import Cookie, CookieJar
from typing import Any

import httpx

_LIMIT = 256


class Watch:
    """Counts the changes of what it watches."""

    __slots__ = ("changes",)

    def __init__(self) -> None:
        self.changes = 0


class WatchedHeaders(httpx.Headers):
    """Headers that count their changes."""

    def __init__(self, headers: httpx.Headers, watch: Watch) -> None:
        super().__init__(headers)
        self._watch = watch

    def update(self, headers: Any = None) -> None:  # type: ignore[override] # as httpx narrows it
        """See `httpx.Headers.update`."""
        self._watch.changes += 1
        super().update(headers)

    def __setitem__(self, key: str, value: str) -> None:
        self._watch.changes += 1
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._watch.changes += 1
        super().__delitem__(key)


class WatchedJar(CookieJar):
    """A jar that counts its changes."""

    _cookies: dict[str, Any]  # the base's own, by domain

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch
        self._lines: dict[str, tuple[int, float, bytes]] = {}

    @property
    def filled(self) -> bool:
        """Whether there may be a cookie in it."""
        return bool(self._cookies)

    def set_cookie(self, cookie: Cookie) -> None:
        """See `CookieJar.set_cookie`."""
        self._watch.changes += 1
        super().set_cookie(cookie)

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """See `CookieJar.clear`."""
        self._watch.changes += 1
        super().clear(domain, path, name)

    def line(self, url: str) -> bytes:
        """The Cookie header for a URL, empty where no cookie is for it; kept until the jar changes or one expires."""
        known = self._lines.get(url)
        if known is not None and known[0] == self._watch.changes and known[1] > time.time():
            return known[2]
        line = cookie_line(httpx.Cookies(self), url)
        ends = min((one.expires for one in self if one.expires is not None), default=float("inf"))
        if len(self._lines) >= _LIMIT:
            self._lines.clear()
        self._lines[url] = (self._watch.changes, ends, line)
        return line


def cookie_line(cookies: httpx.Cookies, url: str) -> bytes:
    """The Cookie header that httpx would send to a URL, empty where there is none."""
    request = httpx.Request("GET", url)
    cookies.set_cookie_header(request)
    value = request.headers.get("cookie")
    return b"" if value is None else b"Cookie: %b\r\n" % value.encode()


def watched(cookies: httpx.Cookies, watch: Watch) -> httpx.Cookies:
    """The same cookies in a watched jar; a jar of the user's own class stays as it is."""
    if type(cookies.jar) is not CookieJar:
        return cookies
    jar = WatchedJar(watch)
    for cookie in cookies.jar:
        jar.set_cookie(cookie)
    return httpx.Cookies(jar)
