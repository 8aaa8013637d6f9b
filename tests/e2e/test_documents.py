"""Every command that the documents show is run, against the embedded platform and with a short load."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

import pytest

from deployments.hosting.folders import cache_folder
from deployments.local.platform import Platform
from tests.e2e.conftest import PROGRAM, ROOT, run

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
BRIEF = ("--set", "load.duration_s=6", "--set", "load.ramp_up_s=1", "--set", "lambda_functions.days=2")
SELDOM = ("--set", "load.pace_s=10")
"""The many users of an example ask seldom: what two cores can serve is not what a document is about."""

MEASURING = {"run", "database", "lambda", "api", "websocket", "cache", "rfid", "realtime"}
JUDGING = {"load", "report", "gate", "again", "whatif"}
"""These and those that measure end with 3 where a generator on a busy machine does not trust itself."""
TESTS = {"make test", "make check"}
"""These run the tests, this one among them: only what they would do is looked at."""


SERVING = {"setup", "serve"}
"""These are for a Prefect server that stays: tests/integration/test_server_setup.py and test_serve.py run them."""


def commands() -> list[str]:
    """What stands in sh blocks and in inline code and starts with one of our programs."""
    found: list[str] = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            found += [line for line in block.splitlines() if line.strip()]
        found += re.findall(r"`((?:make|hasivu-perf) [^`]+)`", text)
    known = [one for one in found if one.split()[0] in ("make", "hasivu-perf")]
    return sorted(set(known))


MENTIONED = {"hasivu-perf optimize"}
"""Names of commands that need arguments, as the text speaks of them."""


def runnable(command: str) -> bool:
    """Not a pattern such as `hasivu-perf doctor ENVIRONMENT`, nor a name alone."""
    return command not in MENTIONED and not re.search(r"\b[A-Z]{3,}\b|…", command)


def test_the_documents_show_commands() -> None:
    assert {"make development", "make test", "hasivu-perf run staging --local"} <= set(commands())


@pytest.mark.parametrize("command", [one for one in commands() if one.startswith("make ") and runnable(one)])
def test_a_make_target_runs_what_it_says(command: str) -> None:
    done = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    if command not in TESTS and "hasivu-perf" in done.stdout:
        line = next(line for line in done.stdout.splitlines() if "hasivu-perf" in line)
        assert Path(ROOT / shlex.split(line)[0]) == PROGRAM


def cache_of_its_own(folder: Path) -> Path:
    """A cache that knows of no platform that runs; the prepared data are those of this user's own."""
    made = folder / "cache" / "hasivu-perf"
    if not made.exists():
        made.mkdir(parents=True)
        (made / "data").symlink_to(cache_folder() / "data")
    return made.parent


def ad_hoc(arguments: list[str], platform: Platform) -> list[str]:
    """An ad-hoc load, at the platform instead of the example's address and for as long as the caller says."""
    kept = [one for one in arguments if one not in ("--duration", "--ramp-up")]
    given = {arguments[at + 1] for at, one in enumerate(arguments) if one in ("--duration", "--ramp-up")}
    return [re.sub(r"^https?://[^/]+", platform.api_url, one) for one in kept if one not in given]


LANES = 2
"""Commands that run at once: each spends most of its time on starting up and on waiting for a load to end."""

TURNS = ("baseline", "local")
"""Commands of these names are run in the order of the documents: the later one finds what the earlier one left."""


def prepared(command: str, held: Platform, variables: Mapping[str, str]) -> list[str]:
    """The arguments of a documented command, at the test's platform and with a short load."""
    arguments = [Template(one).safe_substitute(variables) for one in shlex.split(command, comments=True)[1:]]
    if arguments[0] == "load":
        arguments = [*ad_hoc(arguments, held), "--duration", "2", "--ramp-up", "1"]
    if arguments[:2] == ["local", "up"]:
        arguments.append("--detach")
    if arguments[0] == "advise":  # tests/integration/test_advise_command.py has it proved on a copy
        arguments += ("--rehearse", "never")
    if arguments[0] in MEASURING:
        arguments += (*BRIEF, *SELDOM) if "--users" in arguments else BRIEF
    return arguments


def rounds(wanted: Sequence[str]) -> list[list[str]]:
    """What may run at once: first all that measure, then what looks at their runs, and one by one what has a turn."""
    name = {command: shlex.split(command)[1] for command in wanted}
    measuring = [command for command in wanted if name[command] in MEASURING]
    in_turn = sorted((one for one in wanted if name[one] in TURNS), key=lambda one: ("down" in one, one))
    rest = [command for command in wanted if command not in {*measuring, *in_turn}]
    return [measuring, *([command] for command in in_turn), rest]


@pytest.mark.timeout(1800)
def test_every_command_works(held_platform: Platform, tmp_path: Path) -> None:
    variables = {**held_platform.environment, **held_platform.variables("STAGING")}
    wanted = [one for one in commands() if one.startswith("hasivu-perf ") and runnable(one)]
    wanted = [one for one in wanted if shlex.split(one)[1] not in SERVING]
    shutil.copytree(ROOT / "docs/examples", tmp_path, dirs_exist_ok=True)
    caches = {"XDG_CACHE_HOME": str(cache_of_its_own(tmp_path))}

    def wrong(command: str) -> str:
        arguments = prepared(command, held_platform, variables)
        chosen = {} if "--local" in arguments else variables
        if arguments[0] == "local":  # `local down` must not end a platform that the person at this machine holds
            chosen = caches
        ended = run(*arguments, cwd=tmp_path, variables=chosen, seconds=600)
        accepted = (0, 1, 3) if arguments[0] in MEASURING | JUDGING else (0, 1)
        fine = ended.code in accepted and ended.out.strip()
        return "" if fine else f"{command}: {ended.code}\n{ended.err}"

    with ThreadPoolExecutor(LANES) as lanes:
        problems = [one for part in rounds(wanted) for one in lanes.map(wrong, part) if one]
    assert not problems, "\n".join(problems)
