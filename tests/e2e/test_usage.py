"""A wrong argument, variable or file: exit code 2 and one line per problem that names it, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.version import code_version
from tests.e2e.conftest import run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "qa"), "qa"),
        (("run", "development", "--users", "many"), "many"),
        (("run", "development", "--users", "0"), "load.users"),
        (("run", "development", "--sets", "x"), "--sets"),
        (("run", "development", "--userz", "3"), "hasivu-perf run --help"),
        (("run", "development", "--set", "x"), "field=value"),
        (("run", "development", "--components", "disk"), "disk"),
        (("run", "quick", "--local", "--output", "nowhere://x"), "nowhere://"),
        (("report", "no-such-run"), "no-such-run"),
        (("report", "latest"), "hasivu-perf run development"),
        (("gate", "../etc"), "etc"),
        (("fly",), "fly"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    ended = run(*arguments, cwd=tmp_path, seconds=30)
    assert ended.code == 2
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_staging_without_its_variables_names_them(tmp_path: Path) -> None:
    ended = run("api", "staging", cwd=tmp_path, seconds=30)
    assert ended.code == 2
    assert ended.err.splitlines() == ["hasivu-perf: STAGING_API_URL is not set; set it, or use --local"]
    assert not list(tmp_path.iterdir())


def test_help_teaches(tmp_path: Path) -> None:
    ended = run("--help", cwd=tmp_path, seconds=30)
    assert ended.code == 0
    for word in ("run", "doctor", "report", "gate", "local", "Exit codes"):
        assert word in ended.out


def test_the_version_names_the_code_that_runs(tmp_path: Path) -> None:
    ended = run("--version", cwd=tmp_path, seconds=30)
    assert ended.out.strip() == code_version()
