"""The application's settings and the command that starts it."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest

from deployments.local.app import service, settings
from storage.errors import ConfigurationError

COMPLETE = {"DATABASE_URL": "postgresql://app:canary@127.0.0.1/x", "REDIS_URL": "redis://:canary@127.0.0.1/0"}


def test_the_defaults_are_those_that_are_documented() -> None:
    found = settings.read(COMPLETE)
    assert (found.release, found.pool_size, found.tick_s, found.faults_allowed) == ("local", 10, 2.0, False)


def test_every_problem_is_said_at_once_and_no_value_is() -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings.read({"PLATFORM_POOL_SIZE": "canary", "PLATFORM_TICK_S": "-1"})
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "DATABASE_URL",
        "REDIS_URL",
        "PLATFORM_POOL_SIZE",
        "PLATFORM_TICK_S",
    ]
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("text", ["nan", "inf", "0", "-3", "ten"])
def test_a_tick_is_a_number_above_zero(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PLATFORM_TICK_S"):
        settings.read({**COMPLETE, "PLATFORM_TICK_S": text})


@pytest.mark.parametrize("text", ["0.5", "0", "2.5"])
def test_a_pool_holds_whole_connections(text: str) -> None:
    with pytest.raises(ConfigurationError, match="PLATFORM_POOL_SIZE"):
        settings.read({**COMPLETE, "PLATFORM_POOL_SIZE": text})


def test_passwords_are_not_in_the_repr() -> None:
    assert "canary" not in repr(settings.read(COMPLETE))


def test_the_command_serves_the_loopback_alone() -> None:
    command = service.command(4321)
    assert command[:3] == [sys.executable, "-m", "granian"]
    pairs = dict(pairwise(command))
    assert (pairs["--host"], pairs["--port"], pairs["--workers"]) == ("127.0.0.1", "4321", "1")
    assert "--no-access-log" in command
