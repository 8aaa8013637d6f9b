"""What is asked of an ad-hoc load test is checked before anything is sent, and no secret is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.errors import ConfigurationError, ExitCode
from tasks.load.adhoc.adhoc import phases_of
from tasks.load.adhoc.oracle import k6_plan
from tasks.load.adhoc.plan import LONGEST_BODY, body_of, make_plan

SECRET = "hunter2"
URL = "http://example.org/a"


def test_defaults_are_a_modest_open_load() -> None:
    plan = make_plan(URL)
    assert (plan.model, plan.rate, plan.duration_s, plan.method, plan.expect) == ("open", 10.0, 10.0, "GET", (200,))


def test_a_body_makes_it_a_post() -> None:
    plan = make_plan(URL, body='{"a": [1]}')
    assert (plan.method, plan.body) == ("POST", b'{"a": [1]}')


def test_path_and_query_are_sent_and_neither_query_nor_credentials_shown() -> None:
    plan = make_plan(
        f"https://me:{SECRET}@example.org:8443/v1/x?token={SECRET}&a={{b}}", headers=[f"X-Key: {SECRET}"]
    )
    assert plan.shown == "https://example.org:8443/v1/x?…"
    assert plan.target == f"/v1/x?token={SECRET}&a=%7Bb%7D"
    assert plan.headers == {"X-Key": SECRET}
    assert SECRET not in repr(plan)


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("ftp://example.org", {}, "URL"),
        ("example.org", {}, "URL"),
        ("http://", {}, "URL"),
        ("http://[::1", {}, "URL"),
        ("http://example.org:99999/", {}, "URL"),
        ("http://example.org/a#b", {}, "fragment"),
        ("http://example.org/a b", {}, "percent-encoded"),
        (URL, {"rate": 5, "connections": 5}, "exclude"),
        (URL, {"rate": 0}, "--rate"),
        (URL, {"rate": float("nan")}, "--rate"),
        (URL, {"connections": 0}, "--connections"),
        (URL, {"duration_s": 0}, "--duration"),
        (URL, {"duration_s": 5, "ramp_up_s": 5}, "--ramp-up"),
        (URL, {"timeout_s": 0}, "--timeout"),
        (URL, {"rate": 50, "max_rate": 40}, "--max-rate 40"),
        (URL, {"connections": 5, "max_rate": 40}, "--max-rate"),
        (URL, {"p95_ms": 0}, "--p95"),
        (URL, {"error_ratio": 1.5}, "--errors"),
        (URL, {"shards": 0}, "--shards"),
        (URL, {"connections": 2, "shards": 3}, "--shards"),
        (URL, {"method": "CONNECT"}, "--method"),
        (URL, {"method": "GE T"}, "--method"),
        (URL, {"search": True}, "--search needs --p95"),
        (URL, {"search": True, "p95_ms": 5, "connections": 2}, "leave --connections out"),
        (URL, {"search": True, "p95_ms": 5, "ramp_up_s": 2}, "leave --ramp-up out"),
        (URL, {"search": True, "p95_ms": 5, "shards": 2}, "leave --shards out"),
        (URL, {"search": True, "p95_ms": 5, "rate": 2000}, "name a higher --max-rate"),
        (URL, {"search": True, "p95_ms": 5, "duration_s": 3600}, "shorten its steps"),
        (URL, {"body": b"\xff"}, "--body is not JSON"),
        (URL, {"jitter": "some"}, "--jitter"),
        (URL, {"expect": (99,)}, "--expect"),
        (URL, {"body": "{"}, "--body"),
        (URL, {"headers": [f"Authorization {SECRET}"]}, "--header number 1"),
        (URL, {"headers": ["A: b", f"X-Key: {SECRET}\r\nEvil: 1"]}, "--header number 2"),
        (URL, {"headers": [f"Content-Length: {SECRET}"]}, "Content-Length"),
        (f"http://me:{SECRET}@/", {"rate": 0}, "URL"),
    ],
)
def test_what_cannot_be_is_refused_by_name(url: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        make_plan(url, **options)
    assert refused.value.exit_code is ExitCode.USAGE
    assert SECRET not in str(refused.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        make_plan("nowhere", rate=-1, shards=0)
    assert len(refused.value.problems) == 3


def test_the_ramp_is_part_of_the_duration() -> None:
    plan = make_plan(URL, rate=100, duration_s=10, ramp_up_s=4)
    ramp, steady = phases_of(plan, 100)
    assert (ramp.duration_s, ramp.expected, steady.duration_s, steady.expected) == (4, 200, 6, 600)


@pytest.mark.parametrize(
    ("options", "scenario"),
    [
        (
            {"rate": 2.5},
            {"executor": "constant-arrival-rate", "rate": 250, "timeUnit": "100s", "duration": "10000ms"},
        ),
        (
            {"rate": 10, "ramp_up_s": 4},
            {
                "executor": "ramping-arrival-rate",
                "startRate": 0,
                "timeUnit": "100s",
                "stages": [{"duration": "4000ms", "target": 1000}, {"duration": "6000ms", "target": 1000}],
            },
        ),
        ({"connections": 7}, {"executor": "constant-vus", "vus": 7, "duration": "10000ms"}),
        (
            {"connections": 7, "ramp_up_s": 4},
            {
                "executor": "ramping-vus",
                "startVUs": 0,
                "stages": [{"duration": "4000ms", "target": 7}, {"duration": "6000ms", "target": 7}],
            },
        ),
    ],
)
def test_k6_gets_the_same_model(options: dict[str, Any], scenario: dict[str, Any]) -> None:
    made = k6_plan(make_plan(f"http://me:{SECRET}@example.org/a?b=1", expect=[200, 404], timeout_s=3, **options))
    assert made["scenario"].items() >= scenario.items()
    assert made["url"] == f"http://me:{SECRET}@example.org/a?b=1"
    assert (made["expect"], made["timeout_ms"]) == ([200, 404], 3000)


def test_a_search_has_steps_of_half_as_much_again_to_its_ceiling() -> None:
    assert make_plan(URL, search=True, p95_ms=5, rate=20, max_rate=60).rates == (20, 30, 45, 60)
    assert make_plan(URL, search=True, p95_ms=5).rates[-1] == 1000


def test_a_body_comes_from_a_file_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(b"<a>{b}</a>")
    assert body_of(f"@{tmp_path}/a.xml") == b"<a>{b}</a>"
    assert body_of('{"a": 1}') == b'{"a": 1}'
    assert make_plan(URL, body=b"<a/>", headers=["content-type: text/xml"]).body == b"<a/>"
    with pytest.raises(ConfigurationError, match="No such file"):
        body_of(f"@{tmp_path}/none")
    (tmp_path / "big").write_bytes(b"0" * (LONGEST_BODY + 1))
    with pytest.raises(ConfigurationError, match="above 16 MiB"):
        make_plan(URL, body=body_of(f"@{tmp_path}/big"))
