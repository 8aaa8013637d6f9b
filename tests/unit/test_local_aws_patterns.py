"""Filter patterns: the examples of the CloudWatch Logs User Guide, and refusal of what is not understood."""

from __future__ import annotations

import pytest

from deployments.local.aws.errors import AwsError
from deployments.local.aws.patterns import compile_pattern

REPORT = "REPORT RequestId: 1-a\tDuration: 3.10 ms\t\n"
INIT = "INIT_REPORT Init Duration: 10008.37 ms\tPhase: init\tStatus: timeout\n"
JSON = '{"type":"platform.report","record":{"metrics":{"durationMs":12.5},"status":"success","tags":["a","b"]}}'


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        (None, REPORT, True),
        ("", REPORT, True),
        ("REPORT", REPORT, True),
        ("REPORT", INIT, False),
        ("report", REPORT, False),
        ("REPORT", "reported by REPORTER", False),
        ("?REPORT ?INIT_REPORT", INIT, True),
        ("?REPORT ?INIT_REPORT", REPORT, True),
        ("?REPORT ?INIT_REPORT", "START RequestId: 1", False),
        ('"REPORT RequestId:"', REPORT, True),
        ('"REPORT RequestId:"', "REPORT for school 7", False),
        ("REPORT Duration", REPORT, True),
        ("REPORT missing", REPORT, False),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("ERROR -BAD", "[ERROR 400] BAD REQUEST", False),
        ("ERROR -EXITING", "[ERROR 400] BAD REQUEST", True),
        ('ERROR -"BAD REQUEST"', "[ERROR 400] BAD REQUEST", False),
        ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        ("AUTHORIZED", "[ERROR 401] UNAUTHORIZED REQUEST", False),
        ("%^REPORT%", INIT, False),
        (r'"say \"hi\""', 'they say "hi" now', True),
        ('{ $.type = "platform.report" }', JSON, True),
        ('{ $.type = "platform.*" }', JSON, True),
        ("{ $.type = platform.report }", JSON, True),
        ('{ $.type = "report" }', JSON, False),
        ('{ $.type != "report" }', JSON, True),
        ("{ $.record.metrics.durationMs > 12 }", JSON, True),
        ("{ $.record.metrics.durationMs >= 13 }", JSON, False),
        ('{ $.type = "x" || ($.record.status = "success" && $.record.metrics.durationMs < 20) }', JSON, True),
        ('{ $.record.tags[1] = "b" }', JSON, True),
        ("{ $.nothing NOT EXISTS }", JSON, True),
        ("{ $.type IS NULL }", JSON, False),
        ('{ $.type = "platform.report" }', REPORT, False),
    ],
)
def test_a_pattern_matches(pattern: str | None, message: str, expected: bool) -> None:  # noqa: FBT001  # a table
    assert compile_pattern(pattern)(message) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "[ip, user, ...]",
        "?A B",
        "REPORT RequestId:",
        '"open',
        "%a(b)%",
        "{ $.a }",
        "{ $.a = }",
        '{ $.a > "x" }',
        "{ $.a = 1",
        "a" * 1025,
    ],
)
def test_what_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(AwsError) as refused:
        compile_pattern(pattern)
    assert refused.value.code == "InvalidParameterException"
