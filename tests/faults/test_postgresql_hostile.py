"""Hostile PostgreSQL servers: what each of them does is told in its own words, on time, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.config import Target, build_config
from storage.errors import NotMeasuredError
from tasks.components.database import DATABASE
from tasks.components.database.advisor.recommend import recommend
from tasks.load.database.session import parse
from tasks.monitoring.database_watch.watch import DatabaseWatch
from tests.changing import Change, plan
from tests.faults.outcome import SECRET, WHOLE, Outcome, judge, outcome, wrong
from tests.faults.postgresql_faults import ENDLESS, EXPECTED, address, hostile

LIMIT_S = 15
MEMORY_MB = 60
CONFIG = build_config(
    "development", overrides={"duration_s": "2", "ramp_up_s": "0", "database.advice.enabled": "false"}
)

HANGING = {"silent", "silent-after-ssl", "authentication-hangs", "never-ready", "statement-hangs", "statement-drips"}
QUICK = [way for way in EXPECTED if way not in HANGING]
"""A connection's time-outs are the same code for every command: in `make test` the component alone waits for them."""

NO_STATEMENTS = {"no-rows": "no pg_stat_statements"}
"""What is told otherwise by the advice, which asks for something else first."""


def told(way: str, found: Outcome, word: str) -> str:
    """What is wrong with what was told; empty where nothing is."""
    problem = judge(found, LIMIT_S)
    if problem or word in found.refused:
        return problem if found.refused or problem else "was measured"
    return f"{way} without {word!r}: {found.refused!r}"


def refusal(ask: Callable[[], object]) -> Outcome:
    """What asking came to."""
    began = time.monotonic()
    try:
        ask()
    except NotMeasuredError as error:
        return Outcome(time.monotonic() - began, str(error))
    return Outcome(time.monotonic() - began, "")


def test_the_component_is_not_measured_in_the_words_of_each() -> None:
    def one(way: str) -> str:
        with hostile(way) as port:
            target = Target(database_url=SecretStr(address(way, port)), local=True)
            return told(way, outcome(DATABASE, CONFIG, target), EXPECTED[way])

    assert wrong(EXPECTED, one) == {}


def test_advice_is_refused_in_the_words_of_each() -> None:
    def one(way: str) -> str:
        with hostile(way) as port:
            server = parse(address(way, port), "--dsn")
            return told(way, refusal(lambda: recommend(server)), NO_STATEMENTS.get(way, EXPECTED[way]))

    assert wrong(EXPECTED if WHOLE else QUICK, one) == {}


def test_a_change_is_refused_in_the_words_of_each(tmp_path: Path) -> None:
    def one(way: str) -> str:
        with hostile(way) as port:
            change = Change(address(way, port), tmp_path / way)
            return told(way, refusal(lambda: change.run(plan())), EXPECTED[way])

    assert wrong(EXPECTED if WHOLE else [*QUICK, "statement-hangs"], one) == {}


def test_a_watch_tells_of_each_and_goes_on() -> None:
    def one(way: str) -> str:
        lost, reasons = threading.Event(), []

        def heard(event: object) -> None:
            reasons.append(getattr(event, "reason", ""))
            lost.set()

        began = time.monotonic()
        with hostile(way) as port:
            watch = DatabaseWatch(parse(address(way, port), "X"))
            watch.listeners.add("lost", heard)
            with watch:
                came = lost.wait(LIMIT_S)
        found = Outcome(time.monotonic() - began, reasons[0] if came else "")
        return told(way, found, EXPECTED[way])

    assert wrong(EXPECTED if WHOLE else QUICK, one) == {}


def high_water_mb() -> float:
    """The most memory that this process has had at once since `clear_high_water` (proc(5))."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="high-water marks are Linux's")
def test_no_answer_is_taken_whole() -> None:
    with hostile("no-rights") as port:
        refusal(lambda: recommend(parse(address("no-rights", port), "--dsn")))
    Path("/proc/self/clear_refs").write_text("5")
    before = high_water_mb()
    for way in ENDLESS:
        with hostile(way) as port:
            server = parse(address(way, port), "--dsn")
            assert EXPECTED[way] in refusal(partial(recommend, server)).refused
    assert high_water_mb() - before < MEMORY_MB


@pytest.mark.parametrize("way", ["hostile-error", "wrong-password"])
def test_the_command_ends_with_one_line_and_its_exit_code(way: str) -> None:
    with hostile(way) as port:
        program = Path(sys.executable).with_name("hasivu-perf")
        done = subprocess.run(
            [str(program), "advise", "--dsn", address(way, port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert EXPECTED[way] in line
    assert "\x1b" not in line
    assert SECRET not in line
