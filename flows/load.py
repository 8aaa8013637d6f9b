"""`hasivu-perf load URL`: an ad-hoc load test that judges itself; it needs neither Prefect nor an environment."""

from __future__ import annotations

import json as json_module
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from storage.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from tasks.load.adhoc.plan import AdhocPlan

Search = Annotated[
    bool,
    Parameter(
        negative="",
        help="Raise the rate step by step, from --rate to --max-rate (1,000 by default), until --p95 or --errors "
        "breaks; each step takes --duration.",
    ),
]
Rate = Annotated[float | None, Parameter(help="Requests a second by a schedule (open model); 10 by default.")]
Connections = Annotated[
    int | None, Parameter(help="As fast as the target answers over so many connections (closed model).")
]
Header = Annotated[list[str] | None, Parameter(name="--header", help="'Name: value'; may be given several times.")]
Expect = Annotated[list[int] | None, Parameter(help="Statuses of a good answer; 200 by default.")]


def load(
    url: str,
    /,
    *,
    rate: Rate = None,
    search: Search = False,
    connections: Connections = None,
    duration: Annotated[float, Parameter(help="Seconds of sending, the ramp included.")] = 10.0,
    ramp_up: Annotated[float, Parameter(help="Seconds in which the load grows; no figure counts them.")] = 0.0,
    jitter: Annotated[
        Literal["none", "uniform", "poisson"], Parameter(help="How arrivals lie under the rate.")
    ] = "uniform",
    method: Annotated[str | None, Parameter(help="Any of HTTP; GET by default, POST where there is a body.")] = None,
    header: Header = None,
    body: Annotated[str | None, Parameter(help="A text, or @FILE; JSON, or what a --header says it is.")] = None,
    expect: Expect = None,
    timeout: Annotated[float, Parameter(help="Seconds for a connect, and for an answer from its sending.")] = 10.0,
    max_rate: Annotated[float | None, Parameter(help="Refuse a rate above this; of a search, its last step.")] = None,
    p95: Annotated[
        float | None, Parameter(help="Limit in ms: 95 % of the requests must get the expected answer within it.")
    ] = None,
    errors: Annotated[
        float | None, Parameter(help="Limit of the share of requests without the expected answer, 0 to 1.")
    ] = None,
    shards: Annotated[int, Parameter(help="Processes that share the load.")] = 1,
    oracle: Annotated[Literal["k6"] | None, Parameter(help="Run the same load in k6 too and show both.")] = None,
    json: Annotated[
        bool, Parameter(name="--json", help="Print the result as JSON, alone, on standard output.")
    ] = False,
) -> ExitCode:
    """Load one URL and say how it answered, and whether that can be believed.

    Exit codes: 0 done, and every limit met; 1 a limit is broken; 2 wrong usage; 3 no request got its expected
    answer, the load was stopped, or limits were asked for and the generator does not trust its figures; 130
    interrupted.
    """
    from tasks.load.adhoc.plan import body_of, make_plan

    plan = make_plan(
        url,
        rate=rate,
        connections=connections,
        duration_s=duration,
        ramp_up_s=ramp_up,
        jitter=jitter,
        method=method,
        headers=header or (),
        body=None if body is None else body_of(body),
        expect=expect or (200,),
        timeout_s=timeout,
        max_rate=max_rate,
        p95_ms=p95,
        error_ratio=errors,
        shards=shards,
        search=search,
    )
    if search and oracle:
        raise UsageError("--search and --oracle exclude each other: k6 runs one rate")
    from tasks.load.adhoc.oracle import find_k6

    return _run(plan, find_k6() if oracle else None, as_json=json)


def _run(plan: AdhocPlan, k6: str | None, *, as_json: bool) -> ExitCode:
    from tasks.load.adhoc.adhoc import run_adhoc
    from tasks.load.adhoc.figures import figures, partial
    from tasks.load.adhoc.text import interrupted_text
    from tasks.load.recording.journal import Journals

    seen = LiveRows()
    with tempfile.TemporaryDirectory(prefix="hasivu-load-") as folder:
        try:
            run = run_adhoc(plan, seen, journals=Journals(Path(folder), 1, temporary=True))
        except KeyboardInterrupt:
            so_far = seen.so_far(plan) | partial(Path(folder))
            _answer(json_module.dumps(so_far, indent=2) if as_json else interrupted_text(so_far))
            return ExitCode.INTERRUPTED
    found = figures(run)
    if k6 is None:
        _show(found, as_json=as_json)
    else:
        _show_both(plan, found, k6, as_json=as_json)
    return ExitCode(found["exit_code"])


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    from tasks.load.adhoc.text import summary

    _answer(json_module.dumps(found, indent=2) if as_json else summary(found))


def _show_both(plan: AdhocPlan, found: Mapping[str, Any], k6: str, *, as_json: bool) -> None:
    """Run k6 too; what was measured is shown whatever becomes of the second opinion."""
    from tasks.load.adhoc.oracle import compare, run_k6

    opinion = None
    try:
        opinion = run_k6(plan, k6)
    finally:
        _show({**found, "oracle": None if opinion is None else opinion.to_json()}, as_json=as_json)
    if not as_json:
        _answer(f"\n{compare(found, opinion)}")


class LiveRows:
    """Prints each second of load to standard error; keeps what can be said of a load that is broken off."""

    def __init__(self) -> None:
        self._rows: list[Mapping[str, Any]] = []

    def __call__(self, progress: Mapping[str, Any]) -> None:
        """Take one second."""
        from tasks.load.adhoc.text import live_row

        self._rows.append(progress)
        sys.stderr.write(live_row(progress) + "\n")
        sys.stderr.flush()

    def so_far(self, plan: AdhocPlan) -> dict[str, Any]:
        """What the seconds so far tell: no percentiles of the whole, which those of its parts cannot make."""
        rows = self._rows
        p95s = [row["p95_ms"] for row in rows if row["p95_ms"] is not None]
        return {
            "url": plan.shown,
            "method": plan.method,
            "model": plan.model,
            "interrupted": True,
            "elapsed_s": rows[-1]["elapsed_s"] if rows else 0.0,
            "requests": sum(row["rate"] or 0 for row in rows),
            "errors": {"total": rows[-1]["failed"] or 0 if rows else 0},
            "worst_p95_ms": max(p95s, default=None),
            "exit_code": int(ExitCode.INTERRUPTED),
        }


def _answer(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
