"""Addresses: taken apart, refused with the variable's name, shown without credentials."""

from __future__ import annotations

import pytest

from storage.errors import NotMeasuredError
from tasks.load.wire.address import parse


def test_an_address_keeps_its_base_path_and_hides_its_credentials() -> None:
    address = parse("https://user:hunter2@Example.org:8443/v1/", variable="STAGING_API_URL")
    assert (address.host, address.port, address.path, address.tls) == ("example.org", 8443, "/v1", True)
    assert address.shown == "https://example.org:8443/v1"
    assert "hunter2" not in repr(address) + address.shown
    assert "dXNlcjpodW50ZXIy" not in repr(address)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://[2001:db8::1]:81", "[2001:db8::1]:81"),
        ("http://127.0.0.1", "127.0.0.1"),
        ("https://example.org:443", "example.org"),
        ("http://bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_the_authority_is_what_the_host_header_needs(url: str, authority: str) -> None:
    assert parse(url, variable="X").authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://hunter2.example.org",
        "http://",
        "http://host:notaport/hunter2",
        "http://host:99999",
        "http://user:hunter2@/path",
        "http://ho st/",
        "http://host/?key=hunter2",
        "http://host/#hunter2",
        "http://host/hunter2 x",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused_by_its_variables_name(url: str) -> None:
    with pytest.raises(NotMeasuredError, match="STAGING_API_URL") as caught:
        parse(url, variable="STAGING_API_URL")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
