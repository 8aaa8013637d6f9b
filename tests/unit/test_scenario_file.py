"""Scenario files: what the owner says of them without running them, and what the worker takes from them."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments.scenarios import ScenarioSettings, parse_entries
from storage.errors import ConfigurationError, NotMeasuredError
from tasks.load.scenario.file import load, looked_at

GOOD = """
from __future__ import annotations
from tasks.load.scenario.scenario import User, from_csv
import helper

data = from_csv("cards.csv", mode="once")

async def on_start(user: User) -> None: ...
async def lunch(user: User) -> None: ...
async def browse(user: User, depth: int = 2) -> None: ...
def plain(user): ...
async def two(user, other): ...
async def nothing(): ...
"""


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    yield
    for name in [name for name in sys.modules if name.startswith("scenario_") or name == "helper"]:
        del sys.modules[name]


@pytest.fixture
def lunch(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    (tmp_path / "cards.csv").write_text("card\nRFID-1\nRFID-2\n")
    path = tmp_path / "lunch.py"
    path.write_text(GOOD)
    return path


def test_weights_and_absolute_paths(lunch: Path) -> None:
    entries = looked_at("lunch.py:lunch=3,lunch.py:browse", lunch.parent)
    assert [(one.file, one.name, one.weight) for one in entries] == [
        (str(lunch), "lunch", 3.0),
        (str(lunch), "browse", 1.0),
    ]


def test_the_owner_does_not_run_a_file(tmp_path: Path) -> None:
    path = tmp_path / "loud.py"
    path.write_text("raise SystemExit('I ran')\nasync def go(user): ...\n")
    assert looked_at(f"{path}:go")[0].name == "go"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lunch.py", r"is not FILE\.py:NAME"),
        ("lunch.py:lunch,lunch.py:lunch", "names of their own"),
        ("lunch.py:lunch=0", "weight 0"),
        ("missing.py:lunch", "cannot be read: No such file"),
        ("lunch.py:dinner", "has no function 'dinner': its async functions are on_start, lunch"),
        ("lunch.py:plain", "async def plain"),
        ("lunch.py:two", "async def two"),
        ("lunch.py:nothing", "async def nothing"),
        ("broken.py:lunch", "not valid Python line 2"),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(lunch: Path, text: str, words: str) -> None:
    lunch.with_name("broken.py").write_text("x = 1\ndef lunch(:\n")
    with pytest.raises(ConfigurationError, match=words):
        looked_at(text, lunch.parent)


def test_every_problem_is_told_at_once(lunch: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        looked_at("lunch.py:dinner,missing.py:x", lunch.parent)
    assert len(caught.value.problems) == 2


def test_the_worker_takes_functions_feeder_and_start(lunch: Path) -> None:
    entries = [{"file": str(lunch), "name": "lunch", "weight": 2.0}]
    (scenario,) = load(entries, 1, 2)
    assert (scenario.name, scenario.weight) == ("lunch", 2.0)
    assert scenario.on_start is not None
    assert scenario.data is not None
    rng = random.Random(1)  # noqa: S311 - test data
    assert scenario.data.draw(rng) == {"card": "RFID-2"}  # share 1 of 2: the second row alone


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "x = 1\nraise RuntimeError('no\\nmore')\nasync def go(user): ...",
            "bad.py fails in line 2: RuntimeError: no$",
        ),
        ("import sys\nsys.exit(3)\nasync def go(user): ...", "bad.py fails in line 2: SystemExit: 3"),
        (
            "from tasks.load.scenario.scenario import from_csv\nd = from_csv('none.csv')\nasync def go(user): ...",
            "none.csv",
        ),
        ("async def go(user): ...\ngo = 3", "go must be `async def go"),
    ],
)
def test_a_file_that_fails_in_the_worker_is_told_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(content)
    with pytest.raises(NotMeasuredError, match=words):
        load([{"file": str(path), "name": "go", "weight": 1.0}])


def test_settings_name_variables_and_hold_no_secret() -> None:
    settings = ScenarioSettings(
        file="a.py:b", variables={"token": "Bearer ${STAGING_API_TOKEN}", "school": "12", "two": "${A}-${B}"}
    )
    assert settings.variable_names() == {"STAGING_API_TOKEN", "A", "B"}
    filled = settings.filled({"STAGING_API_TOKEN": "t0p", "A": "1", "B": "2"})
    assert {name: value.get_secret_value() for name, value in filled.items()} == {
        "token": "Bearer t0p", "school": "12", "two": "1-2",
    }  # fmt: skip
    assert "t0p" not in repr(filled)
    assert ScenarioSettings(variables={"x": "${A}"}).variable_names() == frozenset()
    with pytest.raises(ValidationError, match=r"is not FILE\.py:NAME"):
        ScenarioSettings(file="lunch")
    assert parse_entries("C:/a b.py:x=1.5")[0].weight == 1.5
