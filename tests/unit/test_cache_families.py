"""Key families: globs as SCAN takes them, prefixes that are safe to show, and no key text anywhere."""

from __future__ import annotations

import pytest

from deployments.config import CacheFamily
from tasks.components.cache.families import OTHER, Families, glob_regex


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("rfid_card:*", b"rfid_card:RFID-1", True),
        ("rfid_card:*", b"xrfid_card:1", False),
        ("h?llo", b"hello", True),
        ("h?llo", b"hllo", False),
        ("h[ae]llo", b"hallo", True),
        ("h[^e]llo", b"hello", False),
        ("h[a-c]llo", b"hbllo", True),
        (r"a\*b", b"a*b", True),
        (r"a\*b", b"axb", False),
        ("a.b", b"axb", False),
        ("*", b"any\nthing\xff", True),
        ("a[", b"a[", True),
    ],
)
def test_globs_match_as_the_server_does(pattern: str, key: bytes, matches: bool) -> None:  # noqa: FBT001
    assert (glob_regex(pattern).fullmatch(key) is not None) is matches


def test_a_configured_family_goes_before_a_prefix() -> None:
    families = Families([CacheFamily(name="cards", pattern="rfid_card:*")])
    assert families.of(b"rfid_card:1") == "cards"
    assert families.of(b"session:abc") == "session:*"


@pytest.mark.parametrize("key", [b"no-colon", b"a@example.org:1", b"0123:x", b"x" * 60 + b":1", b"\xff\xfe:1"])
def test_what_may_be_a_secret_is_never_a_name(key: bytes) -> None:
    assert Families([]).of(key) == OTHER


def test_a_prefix_of_few_keys_is_not_named() -> None:
    families = Families([CacheFamily(name="cards", pattern="c:*")])
    seen = [("token:*", number) for number in range(4)] + [("menu:*", number) for number in range(5)] + [("cards", 1)]
    assert families.rare([*seen, *seen]) == {"token:*"}


def test_a_marker_stands_for_one_key_within_one_run() -> None:
    one, other = Families([]), Families([])
    assert one.marker(b"session:1") == one.marker(b"session:1") != one.marker(b"session:2")
    assert one.marker(b"session:1") != other.marker(b"session:1")
    assert 0 <= one.marker(b"session:1") < 1 << 63
