"""`hasivu-perf history`, `compare` and `baseline set|show`: what was, over runs; none of them needs Prefect."""

from __future__ import annotations

import getpass
import json as json_module
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from flows.help_groups import STORED
from storage.errors import ExitCode, UsageError

baseline_app = App(
    name="baseline", help="Runs that are kept under a name, to compare with and to accept.", group=STORED
)

Environment = Annotated[str, Parameter(help="development, staging or production.")]
Output = Annotated[str, Parameter(help="Folder or s3:// bucket of the results.")]
Json = Annotated[bool, Parameter(name="--json", help="Print it as JSON, alone, on standard output.")]


def history(
    metric: str,
    environment: Environment = "development",
    *,
    label: Annotated[
        list[str] | None, Parameter(help="Only this part, e.g. 'endpoint=GET /orders'.", negative=())
    ] = None,
    parts: Annotated[bool, Parameter(help="Also parts such as endpoints and statements.", negative=())] = False,
    release: Annotated[str | None, Parameter(help="Only runs of this release.")] = None,
    since: Annotated[str | None, Parameter(help="Only runs from this day on, 2026-03-01, UTC.")] = None,
    until: Annotated[str | None, Parameter(help="Only runs before this day, UTC.")] = None,
    last: Annotated[int, Parameter(help="How many runs the table shows.")] = 20,
    output: Output = ".",
    json: Json = False,
) -> ExitCode:
    """Show a metric over the runs of an environment, with its changes of level; `*` in the name matches.

    Changes are looked for in all runs that are shown, whatever load they were under.
    """
    from storage.history import open_history
    from storage.parquet import Store
    from tasks.history import with_changes
    from tasks.monitoring.live import to_terminal
    from tasks.report.history_text import history_json, history_lines

    found = open_history(Store(_absolute(output)), environment)
    chosen = found.select(release=release, since=_day(since), until=_day(until))
    series = found.series(metric=metric, labels=_labels(label) if label or not parts else None, runs=chosen)
    if not series:
        left_out = [f"; {run} is left out: {why}" for run, why in list(found.left_out.items())[:3]]
        raise UsageError(_nothing(metric, environment, found.metrics(), output) + "".join(left_out))
    told = with_changes(series, environment)
    if json:
        to_terminal(json_module.dumps(history_json(environment, told, found.left_out, found.notes), indent=2))
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        lines = history_lines(told, found.left_out, found.notes, last=last, width=width, ascii_only=not _unicode())
        to_terminal("\n".join(lines))
    return ExitCode.PASS


def compare(
    run: str = "latest",
    baseline: str | None = None,
    *,
    parts: Annotated[bool, Parameter(help="Also parts such as endpoints and functions.", negative=())] = False,
    output: Output = ".",
    json: Json = False,
) -> ExitCode:
    """Hold a stored run against a baseline and up to four runs like it: better, same, worse, or inconclusive.

    BASELINE is a run, a pinned name, a release or `last-good`; by default the run's own, else the like run before it.
    """
    from storage.parquet import Store
    from storage.runs import find_run
    from tasks.comparing import compare as compared_with
    from tasks.monitoring.live import to_terminal
    from tasks.report.compare_text import compare_json, compare_lines

    folder = find_run(Store(_absolute(output)), run)
    found = compared_with(folder, baseline)
    if json:
        told = compare_json(folder.run, found.baselines, found.comparisons, found.notes)
        to_terminal(json_module.dumps(told, indent=2, ensure_ascii=False))
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        lines = compare_lines(found.comparisons, found.notes, parts=parts, width=width, ascii_only=not _unicode())
        to_terminal("\n".join(lines))
    return ExitCode.PASS


@baseline_app.command(name="set")
def pin_run(
    name: str, run: str = "latest", *, environment: Environment = "development", output: Output = "."
) -> ExitCode:
    """Keep a run under a name: RUN is a run, a release, `latest` or `last-good`.

    A run that is kept as `accepted` ends the reports of changes up to it: that is how things are from now on.
    """
    from storage.baselines import pin
    from storage.parquet import Store
    from tasks.baseline import find_baseline
    from tasks.monitoring.live import to_terminal

    store = Store(_absolute(output))
    chosen = find_baseline(store, environment, run)
    pin(store, environment, name, chosen, by=getpass.getuser())
    to_terminal(f"{environment}: {name} is {chosen} now; `hasivu-perf compare RUN {name}` compares with it")
    return ExitCode.PASS


@baseline_app.command(name="show")
def show_pins(environment: Environment = "development", *, output: Output = ".", json: Json = False) -> ExitCode:
    """Show the runs that are kept under a name, and the last good one."""
    from storage.baselines import pinned
    from storage.history import open_history
    from storage.parquet import Store
    from tasks.baseline import last_good
    from tasks.monitoring.live import to_terminal

    store = Store(_absolute(output))
    runs = open_history(store, environment)
    known = {run.run: run for run in runs.runs}
    good = last_good(runs.runs)
    rows = [(name, pin.run, pin.by, pin.at) for name, pin in sorted(pinned(store, environment).items())]
    if json:
        pins = {name: {"run": run, "by": by, "at": at.isoformat()} for name, run, by, at in rows}
        to_terminal(json_module.dumps({"environment": environment, "pinned": pins, "last_good": good}, indent=2))
        return ExitCode.PASS
    lines = [f"{'name':16}  {'run':24}  {'release':12}  {'verdict':8}  pinned"]
    for name, run, by, at in rows:
        one = known.get(run)
        release, verdict = (one.release or "", one.verdict or "") if one else ("", "is gone")
        lines.append(f"{name:16}  {run:24}  {release:12}  {verdict:8}  {at:%Y-%m-%d} by {by}")
    lines.append(f"{'last-good':16}  {good or 'no run has passed its gate yet'}")
    to_terminal("\n".join(lines))
    return ExitCode.PASS


def _nothing(metric: str, environment: str, known: Sequence[str], output: str) -> str:
    if not known:
        return f"no run of {environment} with a measurement under {output}"
    near = get_close_matches(metric, known, 3, 0.4) or list(known[:3])
    return f"no run that was chosen has {metric} with such labels; there are {', '.join(near)} and others"


def _labels(given: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for one in given or ():
        key, separator, value = one.partition("=")
        if not separator or not key:
            raise UsageError(f"--label {one}: use NAME=VALUE, such as 'endpoint=GET /orders'")
        found[key] = value
    return found


def _day(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"{text!r} is no day: use 2026-03-01") from error


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def _absolute(output: str) -> str:
    return output if "://" in output else str(Path(output).resolve())
