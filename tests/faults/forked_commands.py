"""Runs command lines of hasivu-perf one after the other, each in a process forked off one that has imported it.

`python -m tests.faults.forked_commands < LINES.json`: a list of argument lists; prints a JSON object a line: code,
CPU seconds, standard output and error, and which heavy packages the command imported.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import tasks.components
import tasks.monitoring.database_watch  # noqa: F401 - what many commands import, once for all of them
from flows.cli import main

HEAVY = ("prefect", "distributed")


def answer(arguments: list[str]) -> dict[str, Any]:
    """What one command line ends with."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        child = os.fork()
        if not child:
            _become(arguments, place)
        _, status, used = os.wait4(child, 0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "cpu_s": used.ru_utime + used.ru_stime,
            "out": (place / "out").read_text(errors="replace"),
            "err": (place / "err").read_text(errors="replace"),
            "heavy": (place / "heavy").read_text() if (place / "heavy").exists() else "unknown",
            "left": sorted(one.name for one in (place / "here").iterdir()),
        }


def _become(arguments: list[str], place: Path) -> None:
    (place / "here").mkdir()
    os.chdir(place / "here")
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    code = 99
    try:
        main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (place / "heavy").write_text(" ".join(name for name in HEAVY if name in sys.modules))
        os._exit(code)


if __name__ == "__main__":
    for line in json.load(sys.stdin):
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()
