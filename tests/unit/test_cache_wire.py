"""The Redis wire: addresses, secrets, and commands that read only."""

from __future__ import annotations

import pytest

from storage.errors import NotMeasuredError
from tasks.load.redis.wire import RedisAddress, encode, login_commands, parse_info


def test_an_address_is_taken_apart() -> None:
    address = RedisAddress.parse("rediss://app:p%40ss%2Fword@cache.example.org:6380/3?ssl_cert_reqs=none")
    assert (address.host, address.port, address.db, address.tls, address.verify) == (
        "cache.example.org",
        6380,
        3,
        True,
        False,
    )
    assert (address.username, address.password) == ("app", "p@ss/word")
    assert address.name == "cache.example.org:6380"
    assert RedisAddress.parse("redis://[::1]").name == "[::1]:6379"


def test_the_password_is_not_shown() -> None:
    address = RedisAddress.parse("redis://app:canary@localhost/0")
    assert "canary" not in f"{address!r}{address}{address.name}"


@pytest.mark.parametrize(
    "url", ["http://u:canary@h", "redis://", "redis://h:canary/0", "redis://u:canary@h/x", "redis://u:canary@h:99999"]
)
def test_a_wrong_address_is_an_error_without_its_text(url: str) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        RedisAddress.parse(url)
    assert "canary" not in str(caught.value)
    assert "redis[s]://" in str(caught.value)


def test_commands_are_encoded_as_bulk_strings() -> None:
    assert encode("GET", "ключ") == b"*2\r\n$3\r\nGET\r\n$8\r\n" + "ключ".encode() + b"\r\n"
    assert encode("SCAN", 0, b"COUNT", 5) == b"*4\r\n$4\r\nSCAN\r\n$1\r\n0\r\n$5\r\nCOUNT\r\n$1\r\n5\r\n"


@pytest.mark.parametrize(
    "command", [("SET", "a", "b"), ("DEL", "a"), ("CONFIG", "SET"), ("CLIENT", "KILL"), ("KEYS", "*")]
)
def test_a_command_that_writes_is_never_sent(command: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="reads only"):
        encode(*command)


def test_login_sends_only_what_the_address_asks_for() -> None:
    assert login_commands(RedisAddress("h")) == []
    assert login_commands(RedisAddress("h", password="p")) == [encode("AUTH", "p")]
    assert login_commands(RedisAddress("h", username="u", password="p", db=2)) == [
        encode("AUTH", "u", "p"),
        encode("SELECT", 2),
    ]


def test_info_is_read_by_lines() -> None:
    assert parse_info(b"# Stats\r\nkeyspace_hits:12\r\ndb0:keys=1,expires=0\r\n\r\nodd\r\n") == {
        "keyspace_hits": "12",
        "db0": "keys=1,expires=0",
    }
