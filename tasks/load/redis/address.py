"""Where a cache is: the address of one server, or of the sentinels that know it. What is shown holds no secret."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from storage.errors import NotMeasuredError

_PORT = 6379
_SENTINEL_PORT = 26379
_SENTINEL = "+sentinel"
_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel")
_REMEDY = (
    "give it the form redis[s]://[user:password@]host[:port][/db] "
    "or redis[s]+sentinel://[user:password@]host[:port][,host[:port]…]/service[/db]"
)

HostPort = tuple[str, int]


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis-protocol server is and how to log in; `name` is all of it that may be shown.

    Where `service` is set, `sentinels` know which server it is at the moment, and `host` and `port` are the first
    of them: see `tasks.load.redis.topology`.
    """

    host: str
    port: int = _PORT
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    verify: bool = True
    ca_file: str | None = None
    service: str | None = None
    sentinels: tuple[HostPort, ...] = ()
    sentinel_username: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """`host:port`, or `service at host:port,…` of its sentinels, as messages show it."""
        if self.service is None:
            return _shown((self.host, self.port))
        return f"{self.service} at {','.join(_shown(one) for one in self.sentinels)}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read an address; the text of a `NotMeasuredError` tells its form and never shows it.

        `redis[s]://[[user]:password@]host[:port][/db]` or
        `redis[s]+sentinel://[[user]:password@]host[:port][,host[:port]…]/service[/db]`; the query may hold
        `ssl_cert_reqs=none`, `ssl_ca_certs`, `db`, and `sentinel_username`, `sentinel_password`.
        """
        try:
            parts = urlsplit(url)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            hosts = _hosts(parts)
            path = [unquote(piece) for piece in parts.path.split("/") if piece]
            service = path.pop(0) if parts.scheme.endswith(_SENTINEL) and path else None
            db = int(query.get("db") or "".join(path) or 0)
        except ValueError:
            raise NotMeasuredError(f"the address of the cache cannot be read; {_REMEDY}") from None
        sentinel = parts.scheme.endswith(_SENTINEL)
        if parts.scheme not in _SCHEMES or not hosts or db < 0 or sentinel != (service is not None):
            raise NotMeasuredError(f"the address of the cache is not one of Redis; {_REMEDY}")
        return cls(
            host=hosts[0][0],
            port=hosts[0][1],
            db=db,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme.startswith("rediss"),
            verify=query.get("ssl_cert_reqs", "required") != "none",
            ca_file=query.get("ssl_ca_certs"),
            service=service,
            sentinels=tuple(hosts) if sentinel else (),
            sentinel_username=query.get("sentinel_username"),
            sentinel_password=query.get("sentinel_password"),
        )

    def at(self, host: str, port: int) -> RedisAddress:
        """The same login at one server: a node of the cluster, or the one that sentinels named."""
        return RedisAddress(host, port, self.db, self.username, self.password, self.tls, self.verify, self.ca_file)

    def sentinel_at(self, host: str, port: int) -> RedisAddress:
        """One of the sentinels, with their login."""
        login = (self.sentinel_username, self.sentinel_password)
        return RedisAddress(host, port, 0, *login, self.tls, self.verify, self.ca_file)

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS settings, None for a plain connection; verification is off only where the URL says so.

        `NotMeasuredError` where its file of authorities cannot be read.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise NotMeasuredError(
                f"the authorities for TLS to the cache at {self.name} cannot be read ({type(error).__name__}); "
                "correct ssl_ca_certs in its address"
            ) from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _shown(place: HostPort) -> str:
    host, port = place
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _hosts(parts: SplitResult) -> list[HostPort]:
    """Hosts and ports of the authority; several, separated by commas, for sentinels alone."""
    places = parts.netloc.rpartition("@")[2].split(",")
    sentinel = parts.scheme.endswith(_SENTINEL)
    if len(places) > 1 and not sentinel:
        raise ValueError("one server has one host")
    found = []
    for place in places:
        one = urlsplit(f"//{place}")
        if not one.hostname:
            raise ValueError("a host is missing")
        found.append((one.hostname, one.port or (_SENTINEL_PORT if sentinel else _PORT)))
    return found
