"""The address of a target, taken apart and checked; what is shown of it never holds a credential."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from storage.errors import NotMeasuredError
from tasks.load.wire.deadline import greeted, resolved

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_HOST = re.compile(r"^[A-Za-z0-9_.-]+$")
_PATH = re.compile(r"^[\x21-\x7e]*$")


@dataclass(frozen=True)
class Address:
    """Where to connect, under which name and path; `authorization` is the header made of the URL's credentials."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme in ("https", "wss")

    @property
    def authority(self) -> str:
        """The value of the Host header: IPv6 in brackets, the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The address for a person: without credentials."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str, *, variable: str, schemes: Sequence[str] = ("http", "https")) -> Address:
    """Take a URL apart; `NotMeasuredError` names the variable that held it and the remedy, never the URL's secrets.

    A path is kept as the base of every request; a query or fragment has no meaning there and is refused.
    """
    wanted = " or ".join(f"{scheme}://host[:port][/path]" for scheme in schemes)
    try:
        parts = urlsplit(url.strip())
        scheme, host = parts.scheme.lower(), parts.hostname
        port = parts.port if parts.port is not None else _PORTS.get(scheme, 0)
    except ValueError:
        raise NotMeasuredError(f"{variable} is not a valid URL: set it to {wanted}") from None
    if scheme not in schemes or not host or not 0 < port < 65536:  # noqa: PLR2004 - ports have 16 bits
        raise NotMeasuredError(f"{variable} is not a valid URL: set it to {wanted}")
    if parts.query or parts.fragment:
        raise NotMeasuredError(f"{variable} has a query or fragment, which a base URL cannot have: remove it")
    if not _PATH.match(parts.path):
        raise NotMeasuredError(f"{variable} has a path with characters that must be percent-encoded")
    return Address(scheme, _host(host, variable), port, parts.path.rstrip("/"), _authorization(parts))


def _host(host: str, variable: str) -> str:
    """An IP address as it stands, a name in its wire form (IDNA)."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass  # a name, then
    try:
        name = host.encode("idna").decode()
    except UnicodeError:
        name = ""
    if not _HOST.match(name):
        raise NotMeasuredError(f"{variable} names a host that is not a valid name: correct it")
    return name


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def resolve(address: Address) -> list[tuple[socket.AddressFamily, str]]:
    """IP addresses of the host, in the system's order, each once; `NotMeasuredError` where it has none."""
    try:
        return resolved(address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise NotMeasuredError(
            f"{address.host} has no address ({error}): correct the URL, or the name service"
        ) from None


@dataclass(frozen=True)
class Probe:
    """What a look at an address found, without any request: the IP that accepts, or why none does."""

    ip: str
    accepts: bool
    detail: str
    tls: str | None = None


def probe(address: Address, *, timeout_s: float = 3.0) -> Probe:
    """Resolve, connect, and greet by TLS where the scheme asks for it: no application request is sent.

    The first IP that accepts is the one; where none does, the first is named with its error. `timeout_s` bounds
    each connection. `NotMeasuredError` where the name has no address.
    """
    failures: list[Probe] = []
    for family, ip in resolve(address):
        start = time.monotonic()
        try:
            with socket.socket(family, socket.SOCK_STREAM) as plain:
                plain.settimeout(timeout_s)
                plain.connect((ip, address.port))
                connected = (time.monotonic() - start) * 1e3
                version = _greet(plain, address, timeout_s) if address.tls else None
        except ssl.SSLError as error:
            failures.append(Probe(ip, accepts=False, detail=f"TLS failed: {error.reason or error}"))
        except OSError as error:
            failures.append(Probe(ip, accepts=False, detail=f"no connection: {error.strerror or error}"))
        else:
            detail = f"{ip} port {address.port} accepts in {connected:.1f} ms{f', {version}' if version else ''}"
            return Probe(ip, accepts=True, detail=detail, tls=version)
    return failures[0]


def _greet(plain: socket.socket, address: Address, timeout_s: float) -> str:
    """Shake hands by TLS within a total time, however slowly the peer trickles; the version that was agreed."""
    context = ssl.create_default_context()
    with greeted(plain, context, address.host, time.monotonic() + timeout_s) as wrapped:
        return wrapped.version() or "TLS"
