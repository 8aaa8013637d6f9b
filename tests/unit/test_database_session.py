"""Addresses and messages of database sessions: what is shown, what is masked, what is refused."""

from __future__ import annotations

import pytest

from storage.errors import NotMeasuredError
from tasks.load.database.session import MARK, marked, parse

CANARY = "c4n@ry/p:ss"
QUOTED = "c4n%40ry%2Fp%3Ass"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://app:{QUOTED}@db.example.test:6432/meals", "db.example.test:6432/meals"),
        ("postgres://app@10.0.0.1/meals?sslmode=require", "10.0.0.1:5432/meals"),
        ("host=db.example.test user=app dbname=meals", "db.example.test:5432/meals"),
        ("postgresql://app:x@[::1]:5433/meals", "::1:5433/meals"),
    ],
)
def test_a_server_is_shown_by_host_port_and_database(url: str, shown: str) -> None:
    assert parse(url, "STAGING_DATABASE_URL").shown == shown


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://app:{CANARY}@db.example.test/meals",
        "postgresql://app:c4n@ry@db.example.test/meals",
        "postgresql://app:c4nary/pass@db.example.test/meals",
        "postgresql://app:c4n%zzry@db.example.test/meals",
        "c4nary",
        "mysql://app:c4nary@db.example.test/meals",
    ],
)
def test_an_address_that_could_leak_half_a_password_is_refused_without_it(url: str) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        parse(url, "STAGING_DATABASE_URL")
    text = str(caught.value)
    assert text.startswith("STAGING_DATABASE_URL is not a valid PostgreSQL address")
    assert "c4n" not in text
    assert "ry" not in text.replace("query", "")
    assert caught.value.__cause__ is None


def test_messages_are_one_line_without_the_password_in_either_form() -> None:
    server = parse(f"postgresql://app:{QUOTED}@db.example.test/meals", "X")
    cleaned = server.clean(f"first {CANARY} and {QUOTED}\nsecond line")
    assert cleaned == "first *** and ***"
    assert "c4n" not in repr(server)


def test_an_empty_or_long_message_is_still_one_short_line() -> None:
    server = parse("postgresql://app@db.example.test/meals", "X")
    assert server.clean("\n \n") == "no message"
    assert len(server.clean("x" * 5000)) == 300


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", f"SELECT {MARK} 1"),
        ("\n  select a from t", f"\n  select {MARK} a from t"),
        ("(SELECT 1)", f"(SELECT 1) {MARK}"),
    ],
)
def test_statements_bear_the_mark(sql: str, expected: str) -> None:
    assert marked(sql) == expected
