"""Kills by the dozen: kinds of ends, moments of a run, and what is left of it.

A moment is something that anybody can see from outside (a file, a folder): the product knows nothing of these tests.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import httpx

from deployments.hosting.folders import cache_folder
from deployments.hosting.shared_memory import made_by
from deployments.local.registry import start_time
from storage.records import Report
from tests.processes import family, load_per_core

PROGRAM = Path(sys.executable).with_name("hasivu-perf")
BRIEF = ("--set", "load.duration_s=4", "--set", "load.ramp_up_s=1", "--set", "lambda_functions.days=1")
MOMENT_S = 180.0
"""How long a moment may take to come on a busy machine."""

END_S = 120.0
"""The same for a run that nobody told to end: one of its servers was killed."""

INTERRUPTED_S = 3.0
"""How soon a run is over that was told to end, where each program has a core."""

GONE_S = 5.0
"""How soon after its end nothing is left of it, likewise."""

LOAD_S = 4.0
"""How long after its opening a run is amid its load."""

SEARCH_S = 5.0
"""How long after its first sample a run looks for the readers' highest rate: their steady load of `BRIEF` is over."""

_LOOK_S = 0.02
_FAMILY_S = 0.1
CODES = {0, 1, 2, 3, 4, 130}


@dataclass(frozen=True)
class Cell:
    """What a kind of end at a moment came to: seconds until the run's end, and from there until nothing was left."""

    kind: str
    moment: str
    problems: str
    ended_s: float | None = None
    gone_s: float | None = None
    busy: float = 1.0

    def __str__(self) -> str:
        times = " ".join("-" if one is None else f"{one:.1f} s" for one in (self.ended_s, self.gone_s))
        return f"{self.moment} {self.kind}: {times} (load {self.busy:.1f} a core) {self.problems or 'well'}"


@dataclass
class Run:
    """A run in a process group of its own, with temporary files of its own, and every process that was ever its."""

    folder: Path
    number: int
    process: subprocess.Popen[bytes]
    seen: dict[int, str] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    met: dict[str, float] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        """Where its temporary files lie."""
        return self.folder / f"tmp-{self.number}"

    @property
    def output(self) -> Path:
        """Results of all runs of one schedule."""
        return self.folder / "out"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.folder / f"log-{self.number}").read_text(errors="replace")

    def platform(self, pattern: str) -> list[Path]:
        """Files of its embedded platform."""
        return list((cache_folder() / "runs").glob(f"{self.process.pid}-*/{pattern}"))

    def stored(self, pattern: str) -> list[Path]:
        """Files of its own results: its name is in its log."""
        name = re.search(r" as run (\S+)", self.log)
        return list(self.output.glob(f"performance-*/*/{name[1]}/{pattern}")) if name else []

    def lasts(self, pattern: str) -> float:
        """For how many seconds such a file of its results has been seen; 0 where there is none."""
        if not self.stored(pattern):
            return 0.0
        return time.monotonic() - self.met.setdefault(pattern, time.monotonic())

    def look(self) -> None:
        """Remember every process that descends from it now."""
        found = family(self.process.pid)
        self.seen |= {pid: started for pid in found if pid not in self.seen and (started := start_time(pid))}

    def alive(self) -> dict[int, str]:
        """What still runs of it, with its command: what was seen below it, and what has its temporary folder."""
        marker = f"TMPDIR={self.temporary}".encode()
        pids = {pid for pid, started in dict(self.seen).items() if start_time(pid) == started}
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if marker in environ.read_bytes().split(b"\0"):
                    pids.add(int(environ.parent.name))
        return {pid: command for pid in pids if start_time(pid) and (command := command_of(pid))}

    def running(self, *words: str) -> list[int]:
        """The oldest of its processes whose command holds all the words."""
        self.look()
        return sorted(pid for pid, command in self.alive().items() if all(word in command for word in words))


def command_of(pid: int) -> str:
    """The command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


@contextmanager
def started(
    folder: Path,
    number: int,
    *arguments: str,
    variables: Mapping[str, str] = MappingProxyType({}),
    before: Callable[[], object] = lambda: None,
) -> Iterator[Run]:
    """A run of the whole pipeline on the embedded platform; killed at the end, with all that is still seen of it.

    `before` is called in the process that becomes the run.
    """
    temporary = folder / f"tmp-{number}"
    temporary.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("DEVELOPMENT_", "PREFECT_", "AWS_"))}
    command = [str(PROGRAM), "run", "development", *BRIEF, *arguments, "--output", str(folder / "out")]
    with (folder / f"log-{number}").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**clean, **variables, "TMPDIR": str(temporary)},
            start_new_session=True,
            # what a shell starts in the background ignores Ctrl-C
            preexec_fn=lambda: (signal.signal(signal.SIGINT, signal.SIG_DFL), before()),  # noqa: PLW1509
        )
    run, over = Run(folder, number, process), threading.Event()

    def watch() -> None:
        while not over.wait(_FAMILY_S):
            run.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield run
    finally:
        over.set()
        watcher.join()
        for pid in run.alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


MOMENTS: Mapping[str, Callable[[Run], object]] = {
    "start": lambda run: list(run.temporary.glob("hasivu-perf-*")),
    "data": lambda run: run.platform("postgresql"),
    "server": lambda run: list(run.temporary.glob("hasivu-perf-*/prefect/prefect.db")),
    "opened": lambda run: run.stored("run.json"),
    "first-sample": lambda run: run.stored("*/journal-*.arrows"),
    "load": lambda run: any(time.time() - path.stat().st_mtime > LOAD_S for path in run.stored("run.json")),
    "samples": lambda run: run.stored("api/samples.parquet"),
    "manifest": lambda run: run.stored("api/manifest.json"),
    "search": lambda run: run.lasts("rfid/journal-*.arrows") > SEARCH_S,
    "judging": lambda run: len(run.stored("*/manifest.json")) >= 6,
    "publishing": lambda run: run.stored("report.json"),
    "end": lambda run: run.stored("junit.xml"),
}
"""What is there from that moment on, in their order."""


def _kill(run: Run, number: signal.Signals) -> None:
    run.process.send_signal(number)


def _kill_group(run: Run) -> None:
    os.killpg(run.process.pid, signal.SIGKILL)


def _stop_and_kill(run: Run) -> None:
    run.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    run.process.send_signal(signal.SIGKILL)


def _kill_part(*words: str) -> Callable[[Run], None]:
    """Kill the processes with these words; where there is none now, what the run started last."""

    def kill(run: Run) -> None:
        chosen = run.running(*words) or [max(run.running(), key=lambda pid: int(start_time(pid) or 0))]
        for pid in chosen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    return kill


def _cancel(run: Run) -> None:
    """Cancel its flow run at its own server; before there is one, nobody can."""
    until = time.monotonic() + MOMENT_S
    while time.monotonic() < until:
        for server in run.running("prefect.server.api.server"):
            port = re.search(r"--port (\d+)", command_of(server))
            with suppress(httpx.HTTPError):
                if port and cancelled(f"http://127.0.0.1:{port[1]}/api"):
                    return
        time.sleep(_LOOK_S)


def cancelled(api: str) -> list[str]:
    """Cancel every flow run of a Prefect server, as *Cancel* in its UI does; their ids."""
    with httpx.Client(base_url=api, trust_env=False) as client:
        runs = [one["id"] for one in client.post("/flow_runs/filter", json={}).raise_for_status().json()]
        for run in runs:
            state = {"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": False}
            client.post(f"/flow_runs/{run}/set_state", json=state).raise_for_status()
    return runs


ENDS: Mapping[str, Callable[[Run], None]] = {
    "killed": lambda run: _kill(run, signal.SIGKILL),
    "group-killed": _kill_group,
    "stopped-and-killed": _stop_and_kill,
    "terminated": lambda run: _kill(run, signal.SIGTERM),
    "interrupted": lambda run: _kill(run, signal.SIGINT),
    "hung-up": lambda run: _kill(run, signal.SIGHUP),
    "cancelled": _cancel,
}
"""What is done to the run itself."""

LOSSES: Mapping[str, Callable[[Run], None]] = {
    "guardian-killed": _kill_part("guardian_process"),
    "server-killed": _kill_part("prefect.server.api.server"),
    "generator-killed": _kill_part("-P -m tasks."),
    "database-killed": _kill_part("postgres", "-D"),
    "cache-killed": _kill_part("valkey-server"),
    "application-killed": _kill_part("granian"),
}
"""What is done to processes that the run started: it goes on, and ends by itself."""

KILLED = ("killed", "group-killed", "stopped-and-killed")
"""The ends that a run cannot do anything about."""

KINDS: Mapping[str, Callable[[Run], None]] = {**ENDS, **LOSSES}


def reached(run: Run, moment: str) -> str:
    """Wait for a moment; what is wrong where it does not come."""
    until = time.monotonic() + MOMENT_S
    while not MOMENTS[moment](run):
        if run.process.poll() is not None:
            return f"ended with {run.process.returncode} before: {run.log[-500:]}"
        if time.monotonic() > until:
            return f"it did not come: {run.log[-500:]}"
        time.sleep(_LOOK_S)
    return ""


def ended_by(kind: str, moment: str, folder: Path, number: int) -> Cell:
    """Do that to a run at that moment; what is wrong with its end and with what it leaves, empty where nothing is."""
    with started(folder, number) as run:
        if problem := reached(run, moment):
            return Cell(kind, moment, problem)
        run.look()
        KINDS[kind](run)
        began, load = time.monotonic(), load_per_core()
        try:
            code = run.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return Cell(kind, moment, f"did not end: {run.log[-500:]}", busy=load)
        ended_s = time.monotonic() - began
        load = max(load, load_per_core())
        left, gone_s = left_over(run)
        problems = [*_wrong_code(kind, code), *left, *_unreadable(run, killed=kind in KILLED)]
        if kind in ENDS and ended_s > INTERRUPTED_S * load:
            problems.append(f"ended after {ended_s:.1f} s: {run.log[-500:]}")
        if "Traceback" in run.log:
            problems.append(f"a traceback: {run.log[-2000:]}")
        return Cell(kind, moment, "; ".join(problems), ended_s, gone_s, load)


def _wrong_code(kind: str, code: int) -> list[str]:
    if kind in KILLED:
        allowed = {-signal.SIGKILL}
    elif kind in ENDS:
        allowed = {130, 0, 1, 3}  # the latter where it was about to end
    else:
        allowed = CODES
    return [] if code in allowed else [f"exit code {code}"]


def _unreadable(run: Run, *, killed: bool) -> list[str]:
    """What is wrong with the results of a run that was opened: its report is there, or can be made, and is whole."""
    if not run.stored("run.json"):
        return []
    if killed or run.stored("*/journal-*"):  # of a worker that took longer to end; the next report takes it up
        name = run.stored("run.json")[0].parent.name
        made = subprocess.run(
            [str(PROGRAM), "report", name, "--output", str(run.output)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if made.returncode not in (0, 1, 3):
            return [f"no report of it: {made.stderr[-500:]}"]
    journals = [path.name for path in run.stored("*/journal-*")]
    reports = run.stored("report.json")
    if not reports or journals:
        return [f"report {reports}, journals {journals}"]
    Report.model_validate_json(reports[0].read_bytes())
    return []


def left_over(run: Run) -> tuple[list[str], float]:
    """Processes, temporary files, runtime folders, shared memory and half-written files, and when there were none.

    What still lies about after `GONE_S`, as long as that is on a machine that is this busy, is named.
    """
    began = time.monotonic()
    while (found := _left(run)) and time.monotonic() - began < GONE_S * load_per_core():
        time.sleep(0.1)
    return found, time.monotonic() - began


def _left(run: Run) -> list[str]:
    return [
        *(f"process {pid}: {command[:120]}" for pid, command in run.alive().items()),
        *(f"temporary {path.name}" for path in run.temporary.iterdir()),
        *(f"runtime folder {path.name}" for path in run.platform(".")),
        *(f"shared memory {segment}" for segment in made_by(run.seen, run.began)),
        *(f"half a file {path.name}" for path in run.output.rglob("*.tmp")),
    ]
