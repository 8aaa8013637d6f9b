"""Addresses of a cache: servers, sentinels, and what is shown of them."""

from __future__ import annotations

import pytest

from storage.errors import NotMeasuredError
from tasks.load.redis.address import RedisAddress


def test_sentinels_and_their_service_are_taken_apart() -> None:
    address = RedisAddress.parse(
        "rediss+sentinel://app:p%40ss@one,[::1]:5000/lunch/3?sentinel_username=s&sentinel_password=canary%2F"
    )
    assert address.sentinels == (("one", 26379), ("::1", 5000))
    assert (address.service, address.db, address.tls, address.password) == ("lunch", 3, True, "p@ss")
    assert address.name == "lunch at one:26379,[::1]:5000"
    sentinel = address.sentinel_at("one", 26379)
    assert (sentinel.username, sentinel.password, sentinel.db, sentinel.service) == ("s", "canary/", 0, None)
    assert "canary" not in f"{address!r}{address.name}{sentinel!r}"


def test_a_node_keeps_the_login_and_the_tls_settings() -> None:
    node = RedisAddress.parse("rediss://u:p@a/2?ssl_ca_certs=/ca.pem").at("b", 7000)
    assert (node.host, node.port, node.db, node.username, node.password) == ("b", 7000, 2, "u", "p")
    assert (node.tls, node.verify, node.ca_file, node.service) == (True, True, "/ca.pem", None)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://canary:5000",
        "redis+sentinel://h:5000/",
        "redis+sentinel://h:canary/lunch",
        "redis+sentinel://h,/canary",
        "redis+sentinel://h/lunch/canary",
        "redis://canary,b/0",
        "memcached://canary",
    ],
)
def test_a_wrong_address_tells_both_forms_and_nothing_of_itself(url: str) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        RedisAddress.parse(url)
    assert "canary" not in str(caught.value)
    assert "redis[s]+sentinel://" in str(caught.value)
