"""Runs load in a process of its own: private stdio, a time limit, results as Arrow files, gone with its owner.

Owner's side: `run_worker`. Worker's side: `serve`, called under `if __name__ == "__main__"`.

The way of the data: the plan goes to the worker's standard input as one line of JSON (never to its arguments: a URL
may hold a secret). The worker answers lines of JSON on its standard output and leaves its tables as Arrow files in
a private temporary folder, which the owner reads and removes. The worker ends at once when its standard input
ends (its owner closed it, or died), and by itself when its time limit has passed. What it records meanwhile lies in
its journal (`tasks.load.recording.journal`), where the owner names a place for one: that is left whatever happens to
both.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

import tasks
from storage.clock import Clock, current_clock, holding
from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks import stopping
from tasks.load.recording import journal
from tasks.load.recording.journal import Journals

_INHERITED = frozenset(
    {
        *("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT"),
        "XDG_CACHE_HOME",
    }
)
_ORPHANED = 70
_OVERTIME = 71
_GRACE_S = 2.0
_WORD = b"\n"  # the owner lives, and ends its worker
_BEREAVED_S = 0.5
_OWN_LIMIT_EXTRA_S = 5.0
_LINE_LIMIT = 1 << 20
_POLL_S = 0.25
_TAIL_BYTES = 4096
_USERINFO = re.compile(r"://[^/\s\"']*@")
_ERRORS: Mapping[str, type[NotMeasuredError]] = {
    "NotMeasuredError": NotMeasuredError,
    "TargetUnreachableError": TargetUnreachableError,
}

Progress = Callable[[Mapping[str, Any]], None]
"""What is told while the load runs; an exception that it raises ends the worker."""


@dataclass(frozen=True)
class WorkerOutput:
    """What a worker leaves: tables by name, and facts that fit into JSON (counts, rates, the generator's state)."""

    tables: Mapping[str, pa.Table]
    facts: Mapping[str, Any] = field(default_factory=dict)


Work = Callable[[Mapping[str, Any], Progress], WorkerOutput]
"""The worker's own function: (plan, tell) → output."""


def run_worker(
    module: str,
    plan: Mapping[str, Any],
    *,
    deadline_s: float,
    on_progress: Progress = lambda _: None,
    journals: Journals | None = None,
) -> WorkerOutput:
    """Run `python -m module` with `plan` and return its output; callable from any thread.

    `deadline_s` is the total time that the worker may take, its start included. `on_progress` is called in this
    thread with each progress line. Whatever happens here (an exception, the word to stop), the worker is ended. In
    `journals` it leaves its rows while it runs; whoever passes them removes them once the output is stored.
    Raises `NotMeasuredError` (or `TargetUnreachableError`) with the worker's own words where it says why it
    failed, and where it crashed, ended early or ran past its deadline.
    """
    place = journals.claim() if journals else None
    with tempfile.TemporaryDirectory(prefix="hasivu-load-", ignore_cleanup_errors=True) as folder:
        envelope = {
            "plan": dict(plan),
            "folder": folder,
            "limit_s": deadline_s + _OWN_LIMIT_EXTRA_S,
            "clock_offset_ns": current_clock().offset_ns,
            "journal": str(place) if place else None,
            "temporary": [folder, *([str(journals.folder)] if journals and journals.temporary else [])],
        }
        errors = Path(folder, "stderr.txt")
        with _started(module, folder, errors) as process:
            final = _converse(process, json.dumps(envelope).encode() + b"\n", deadline_s, module, on_progress)
        if final is None:
            raise NotMeasuredError(
                f"the load worker {module} ended with code {process.returncode} and no result: {_last_line(errors)}"
            )
        if final["type"] == "error":
            raise _ERRORS.get(final["kind"], NotMeasuredError)(final["message"])
        tables = {name: _read(Path(folder, f"{name}.arrow")) for name in final["tables"]}
        if journals and place:
            journals.ended(place)
        return WorkerOutput(tables, final["facts"])


@contextmanager
def _started(module: str, folder: str, errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the worker in a session of its own, so that Ctrl-C reaches its owner alone; end it on the way out."""
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _environment(folder: str) -> dict[str, str]:
    """Only what a Python program needs: credentials of the owner's environment stay with the owner.

    Temporary files lie in the worker's folder, and go with it where the worker is ended.
    """
    kept = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("LC_")}
    code = str(Path(tasks.__file__).resolve().parents[1])
    paths = [code, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    own = {"TMPDIR": folder, "PYTHONPATH": os.pathsep.join(paths)}
    return kept | own | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the worker's input, at which it ends; kill it where it does not."""
    if process.stdin is not None:
        with suppress(OSError):  # a pipe that is full, or the worker is gone already, which is what is wanted
            os.write(process.stdin.fileno(), _WORD)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _converse(
    process: subprocess.Popen[bytes], request: bytes, deadline_s: float, module: str, on_progress: Progress
) -> dict[str, Any] | None:
    """Write the plan and read lines until the last one; None where the worker ended without it."""
    if process.stdin is None or process.stdout is None:  # both are pipes, as `_started` opened them
        raise NotMeasuredError(f"the load worker {module} has no standard input or output")
    end = time.monotonic() + deadline_s
    source, sink = process.stdout.fileno(), process.stdin.fileno()
    os.set_blocking(sink, False)
    buffer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        selector.register(sink, selectors.EVENT_WRITE)
        while True:
            if time.monotonic() > end:
                raise NotMeasuredError(f"the load worker {module} did not end within {deadline_s:.0f} s: stopped")
            stopping.check()
            for key, _ in selector.select(_POLL_S):
                if key.fd == sink:
                    request = _feed(sink, request)
                    if not request:
                        selector.unregister(sink)
                    continue
                chunk = os.read(source, 1 << 16)
                if not chunk:
                    return None
                buffer += chunk
                for message in _messages(buffer, module):
                    if message["type"] != "progress":
                        return message
                    on_progress(message["progress"])


def _feed(sink: int, request: bytes) -> bytes:
    """Write what the pipe takes; what is left of the request (nothing once the worker has gone)."""
    try:
        return request[os.write(sink, request) :]
    except BlockingIOError:
        return request
    except BrokenPipeError:
        return b""


def _messages(buffer: bytearray, module: str) -> Iterator[dict[str, Any]]:
    """Take whole lines off the buffer."""
    while (end := buffer.find(b"\n")) >= 0:
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        message = json.loads(line)
        if not isinstance(message, dict) or "type" not in message:
            raise NotMeasuredError(f"the load worker {module} answered something else than its messages")
        yield message
    if len(buffer) > _LINE_LIMIT:
        raise NotMeasuredError(f"the load worker {module} answered a line above {_LINE_LIMIT} bytes")


def _last_line(path: Path) -> str:
    """The last line that a worker wrote to its standard error, without credentials of URLs."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return _USERINFO.sub("://***@", lines[-1]) if lines else "it wrote nothing to its standard error"


def _read(path: Path) -> pa.Table:
    """A table of its own memory: the folder is removed once it is read."""
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()


# --- the worker's side ---


def serve(work: Work) -> NoReturn:
    """Read the plan, watch the owner and the clock, run `work`, leave its tables and the last line, and end.

    What `work` prints goes to standard error: standard output carries the messages alone. An error of the project
    is told in its own words; any other one leaves its traceback on standard error and the exit code 1.
    """
    messages = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    envelope = json.loads(sys.stdin.buffer.readline() or b"null")
    if envelope is None:
        os._exit(_ORPHANED)
    threading.Thread(target=_end_with_owner, args=(envelope["temporary"],), daemon=True).start()
    threading.Thread(target=_end_in_time, args=(float(envelope["limit_s"]),), daemon=True).start()
    lock = threading.Lock()

    def tell(message: Mapping[str, Any]) -> None:
        with lock:
            messages.write(json.dumps(message).encode() + b"\n")

    def refuse(error: NotMeasuredError) -> None:
        tell({"type": "error", "kind": type(error).__name__, "message": str(error)})

    def give_up(error: NotMeasuredError) -> NoReturn:
        refuse(error)
        os._exit(0)

    if envelope["journal"]:
        journal.assign(Path(envelope["journal"]), give_up)
    try:
        with holding(Clock(envelope["clock_offset_ns"])):
            output = work(envelope["plan"], lambda progress: tell({"type": "progress", "progress": dict(progress)}))
        for name, table in output.tables.items():
            _write(Path(envelope["folder"], f"{name}.arrow"), table)
        tell({"type": "result", "tables": list(output.tables), "facts": dict(output.facts)})
    except NotMeasuredError as error:
        journal.flush_all()
        refuse(error)
    except Exception:  # noqa: BLE001 - the last line of defence of a process: told on stderr and by the exit code
        journal.flush_all()
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _end_with_owner(temporary: Sequence[str]) -> None:
    """Wait for the end of standard input: the owner closed it, or died and cannot remove its folders any more."""
    owner, word = os.getppid(), b""
    while last := os.read(0, 4096):
        word = last
    journal.flush_all()
    if word == _WORD:
        os._exit(_ORPHANED)
    # A process that dies closes its files before its children have a new parent.
    until = time.monotonic() + _BEREAVED_S
    while os.getppid() == owner and time.monotonic() < until:
        time.sleep(_POLL_S / 10)
    if os.getppid() != owner:
        for folder in temporary:
            shutil.rmtree(folder, ignore_errors=True)
    os._exit(_ORPHANED)


def _end_in_time(limit_s: float) -> None:
    """End when the total time limit has passed, whatever the rest of the process does."""
    time.sleep(limit_s)
    journal.flush_all()
    os._exit(_OVERTIME)


def _write(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
