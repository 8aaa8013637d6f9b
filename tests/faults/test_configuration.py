"""Broken configuration by the hundred: it is read, or refused with exit code 2's error that names file and field."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from deployments.config import ENVIRONMENTS, THRESHOLDS, load_environment, load_gate, load_thresholds
from storage.errors import ConfigurationError

SECRET = "canary-secret"
VALUES: tuple[Any, ...] = (
    -1,
    0,
    2**63 - 1,
    -(2**63),
    1e308,
    float("nan"),
    float("inf"),
    -0.0,
    True,
    "",
    "x" * 100_000,
    "\x1b[31m<script>alert(1)</script>",
    "../../etc/passwd",
    "${HOME}",
    f"https://user:{SECRET}@example.test/",
    [],
    {},
    [[[[]]]],
    ["a", 1, {}],
    {"a": {"b": {"c": 1}}},
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values stand in a file."""
    if path:
        yield path
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from places(value, (*path, key))


def broken(source: Path, chance: random.Random) -> bytes:
    """A file of which one to three places, or some bytes, are other ones."""
    if chance.random() < 0.3:
        data = bytearray(source.read_bytes())
        for _ in range(chance.randint(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
    tree = tomllib.loads(source.read_text(encoding="utf-8"))
    for _ in range(chance.randint(1, 3)):
        *parents, last = chance.choice(list(places(tree)))
        node: Any = tree
        for key in parents:
            if not isinstance(node, dict | list) or (isinstance(node, dict) and key not in node):
                break
            node = node[key] if isinstance(node, dict) or key < len(node) else {}
        if isinstance(node, dict):
            how = chance.randrange(3)
            if how == 0:
                node.pop(last, None)
            elif how == 1:
                node[f"{last}_s"] = chance.choice(VALUES)
            else:
                node[last] = chance.choice(VALUES)
    return tomli_w.dumps(tree).encode()


def refused(error: ConfigurationError, name: str) -> None:
    """One line for each problem, each with the place, none with a secret or a control character."""
    lines = str(error).splitlines()
    assert lines
    for line in lines:
        assert name in line, line
        assert SECRET not in line
        assert "\x1b" not in line
        assert len(line) < 2000


@pytest.mark.parametrize("name", ["development", "staging", "production"])
def test_a_broken_environment_file_is_read_or_refused_by_name(name: str, tmp_path: Path) -> None:
    chance, refusals = random.Random(name), 0  # noqa: S311 - a test
    for _ in range(100):
        (tmp_path / f"{name}.toml").write_bytes(broken(ENVIRONMENTS / f"{name}.toml", chance))
        try:
            load_environment(name, tmp_path)
        except ConfigurationError as error:
            refused(error, name)
            refusals += 1
    assert refusals > 50


def test_broken_thresholds_are_read_or_refused_by_name(tmp_path: Path) -> None:
    chance, refusals = random.Random(4), 0  # noqa: S311 - a test
    path = tmp_path / "thresholds.toml"
    for _ in range(100):
        path.write_bytes(broken(THRESHOLDS, chance))
        try:
            load_thresholds("production", path)
            load_gate("production", path)
        except ConfigurationError as error:
            refused(error, "thresholds.toml")
            refusals += 1
    assert refusals > 30
