"""The command line: `hasivu-perf --help`. Progress goes to standard error, the answer to standard output.

Prefect is imported inside commands that need it: it costs seconds that a wrong argument should not.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, validators
from rich.console import Console

from deployments.config import Profile, build_config, needs_platform
from deployments.masking import describe
from deployments.parameters import Base, Overrides, ValidationParams, base_of, configure
from flows.advise import advise
from flows.help_groups import MEASURE, OPERATE, PREPARE, STORED
from flows.history import baseline_app, compare, history
from flows.load import load
from flows.monitoring import monitoring
from flows.optimize import optimize
from flows.watch import watch
from storage.errors import ExitCode, HasivuError, UsageError
from storage.runs import RunFolder, find_run
from storage.version import code_version

REALTIME = ("api", "websocket", "cache", "rfid")

app = App(
    name="hasivu-perf",
    help="""Is HASIVU fast enough to serve lunch, what changed, and what should be done about it?

Exit codes: 0 pass, 1 gate failed, 2 usage or configuration, 3 incomplete, 4 internal error, 130 interrupted.""",
    version=code_version,
    version_flags=["--version"],
    default_parameter=Parameter(negative=()),
)
local_app = App(
    name="local",
    help="The embedded platform: PostgreSQL, Redis, AWS and the application on the loopback.",
    group=PREPARE,
)
app.command(local_app)

PORT = validators.Number(gte=1, lte=65_535)
Output = Annotated[str, Parameter(help="Folder or s3:// bucket of the results.")]
Local = Annotated[bool, Parameter(help="Let the embedded platform stand in for the environment.")]
Json = Annotated[bool, Parameter(name="--json", help="Print the report as JSON, alone, on standard output.")]
Release = Annotated[str | None, Parameter(help="The release that is validated.")]
Components = Annotated[list[str] | None, Parameter(consume_multiple=1, help="Only these components.")]
Changes = Annotated[Overrides | None, Parameter(name="*")]
BaseOf = Annotated[Base, Parameter(help="The environment behind quick and custom.")]


@app.command(group=MEASURE, sort_key=0)
def run(
    profile: Profile,
    *,
    components: Components = None,
    changes: Changes = None,
    base: BaseOf = "development",
    release: Release = None,
    baseline: Annotated[str | None, Parameter(help="Run, pinned name or release to compare with.")] = None,
    local: Local = False,
    output: Output = ".",
    json: Json = False,
) -> ExitCode:
    """Validate one environment: measure its components, judge, report, and gate.

    Development without DEVELOPMENT_* variables starts the embedded platform; `quick` is the database alone; `custom`
    takes any field of the environment, e.g. --users 200 --duration 1800 --ramp-up 300.
    """
    params = ValidationParams(
        profile=profile,
        base=base,
        components=tuple(components or ()),
        overrides=changes.fields() if changes else {},
        release=release,
        baseline=baseline,
        output=_absolute(output),
        local=local,
    )
    return _validate(params, as_json=json)


def _command_of(chosen: tuple[str, ...], name: str, title: str) -> None:
    def command(
        environment: Profile = "development",
        *,
        changes: Changes = None,
        local: Local = False,
        output: Output = ".",
        json: Json = False,
    ) -> ExitCode:
        params = ValidationParams(
            profile=environment,
            components=chosen,
            overrides=changes.fields() if changes else {},
            output=_absolute(output),
            local=local,
        )
        return _validate(params, as_json=json)

    command.__doc__ = title
    app.command(command, name=name, group=MEASURE)


_command_of(("database",), "database", "Measure the database alone.")
_command_of(("lambda",), "lambda", "Measure the Lambda functions alone.")
_command_of(("api",), "api", "Measure the HTTP API alone.")
_command_of(("websocket",), "websocket", "Measure the WebSocket alone.")
_command_of(("cache",), "cache", "Measure the cache alone.")
_command_of(("rfid",), "rfid", "Measure the RFID readers' endpoints alone.")
_command_of(REALTIME, "realtime", "Measure API, WebSocket, cache and RFID together.")
app.command(load, name="load", group=MEASURE)
app.command(advise, name="advise", group=MEASURE)
app.command(watch, name="watch", group=PREPARE)
app.command(monitoring, name="monitoring", group=PREPARE)
app.command(optimize, name="optimize", group=MEASURE)
app.command(history, name="history", group=STORED)
app.command(compare, name="compare", group=STORED)
app.command(baseline_app)


@app.command(group=MEASURE)
def again(run: str, components: list[str], *, output: Output = ".", json: Json = False) -> ExitCode:
    """Measure components of a stored run again (wrong but green), then judge and publish the whole run again.

    The other components stay as they were measured; the report says which attempt each comes from.
    """
    from tasks.results import stored_config

    folder = _find(run, output)
    config = stored_config(folder)
    params = ValidationParams(
        profile=config.profile,
        base=base_of(config),
        components=tuple(component.value for component in config.components),
        overrides=config.overrides,
        release=folder.opened()[0].release,
        output=_absolute(output),
        run=folder.run,
        again=tuple(components),
        local=config.local,
    )
    return _validate(params, as_json=json)


def _validate(params: ValidationParams, *, as_json: bool) -> ExitCode:
    config = configure(params)
    needs_platform(config)  # names a missing variable before anything is started
    if params.baseline:
        from storage.parquet import Store
        from tasks.baseline import find_baseline

        find_baseline(Store(params.output), config.environment.name, params.baseline)
    from flows.execute import execute

    return execute(params, config, as_json=as_json)


@app.command(group=STORED)
def report(
    run: str = "latest",
    *,
    limits: Annotated[
        Literal["own", "today"],
        Parameter(help="today: judge by the limits and waivers of this day; shown, and not stored."),
    ] = "own",
    pdf: Annotated[bool, Parameter(help="Print the executive summary as PDF too, by a Chromium.")] = False,
    output: Output = ".",
    json: Json = False,
) -> ExitCode:
    """Make the report of a stored run again, from its samples, without touching the environment."""
    from tasks.judge.gate import exit_code
    from tasks.judging import rejudge
    from tasks.monitoring.live import to_terminal
    from tasks.publish import publish_report, terminal_text
    from tasks.report.record import to_json

    folder = _find(run, output)
    made = rejudge(folder, today=limits == "today")
    if limits == "own":
        publish_report(folder, made)
    if pdf:
        from tasks.printing import print_executive

        print_executive(folder)
    to_terminal(to_json(made).decode() if json else terminal_text(made, folder))
    return exit_code(made)


@app.command(group=STORED)
def gate(
    run: str = "latest",
    *,
    profile: Annotated[
        str | None, Parameter(help="Gate by this profile of thresholds.toml instead of the run's own: strict, warn.")
    ] = None,
    self_test: Annotated[
        bool, Parameter(help="Damage copies of the run in every known way: the gate must block each of them.")
    ] = False,
    output: Output = ".",
    json: Json = False,
) -> ExitCode:
    """Print the release gate of a stored run, and answer by the exit code.

    Files that were damaged since the run was judged are no data. On GitHub the check's annotations and the step
    summary are written too. With --self-test it is the gate itself that passes (0) or fails (1).
    """
    from flows.judging import answer, prove

    if self_test:
        return prove(_find(run, output), profile, as_json=json)
    return answer(_find(run, output), profile, as_json=json)


@app.command(group=STORED)
def whatif(
    run: str = "latest",
    *,
    do: Annotated[list[str] | None, Parameter(help="Id of a finding, a part of one, or `all`.")] = None,
    metric: Annotated[list[str] | None, Parameter(help="A metric at another value: api.latency.p95=150.")] = None,
    output: Output = ".",
    json: Json = False,
) -> ExitCode:
    """Say what score and gate of a stored run would be with some remedies done, re-scored as a set."""
    from flows.judging import play

    return play(_find(run, output), do or (), metric or (), as_json=json)


@app.command(group=STORED)
def schema() -> ExitCode:
    """Print the JSON Schema of report.json."""
    from tasks.monitoring.live import to_terminal
    from tasks.report.schema import schema_json

    to_terminal(schema_json().decode().rstrip())
    return ExitCode.PASS


@app.command(group=STORED)
def applied(
    run: str = "latest",
    *,
    do: Annotated[list[str] | None, Parameter(help="Id of a finding, or an unambiguous part of one.")] = None,
    by: Annotated[str | None, Parameter(help="Who did it; by default who asks.")] = None,
    output: Output = ".",
) -> ExitCode:
    """Note that remedies of a run were carried out: the next run shows what they did beside what was predicted."""
    from flows.judging import note_applied

    return note_applied(_find(run, output), do or (), by)


@app.command(group=STORED)
def calibration(environment: Profile = "development", *, output: Output = ".", json: Json = False) -> ExitCode:
    """Say how good each kind of advice was: hit rate, bias, and how often the interval held."""
    from flows.judging import show_calibration
    from storage.parquet import Store

    return show_calibration(Store(_absolute(output)), environment, as_json=json)


@app.command(group=PREPARE)
def doctor(environment: Profile = "development", *, local: Local = False) -> ExitCode:
    """Say what is there and what is missing, per variable, address and right, without any load."""
    config = build_config(environment, local=local)
    from flows.doctor import examine

    return examine(config)


@app.command(group=PREPARE)
def retention(
    environment: Profile = "development",
    *,
    keep: Annotated[int | None, Parameter(help="How many runs; by default what the environment's file says.")] = None,
    apply: Annotated[bool, Parameter(help="Remove them; without it they are only listed.")] = False,
    output: Output = ".",
) -> ExitCode:
    """Say which old runs of an environment would be removed, and with --apply remove them."""
    from tasks.monitoring.live import to_terminal
    from tasks.retain import lines, retain

    to_terminal("\n".join(lines(retain(environment, _absolute(output), keep=keep, apply=apply))))
    return ExitCode.PASS


@app.command(group=PREPARE)
def republish(
    environment: Profile = "development",
    *,
    everything: Annotated[bool, Parameter(name="--all", help="All runs, not only those without a report.")] = False,
    output: Output = ".",
) -> ExitCode:
    """Make the reports and renderings that stored runs lack; exit code 3 where a run is damaged."""
    from tasks.monitoring.live import to_terminal
    from tasks.republish import lines, republish

    done = republish(environment, _absolute(output), everything=everything)
    to_terminal("\n".join(lines(done)))
    return ExitCode.INCOMPLETE if done.left_out else ExitCode.PASS


@app.command(group=OPERATE)
def setup() -> ExitCode:
    """Set up the Prefect server that PREFECT_API_URL names: pool, load slots, deployments, schedules, automations.

    What differs is changed, what is equal is left alone: it may run again at any time.
    """
    from flows.serve import setup as set_up

    return set_up()


@app.command(group=OPERATE)
def serve(
    *,
    local: Annotated[bool, Parameter(help="Environments without addresses get the embedded platform.")] = False,
    port: Annotated[int, Parameter(help="Of the server, on 127.0.0.1.", validator=PORT)] = 4200,
) -> ExitCode:
    """Hold a Prefect server with its UI, everything of ours on it, and a worker, until Ctrl-C."""
    from flows.serve import serve as hold

    return hold(local=local, port=port)


@app.command(group=OPERATE)
def release(
    tag: str,
    *,
    commit: Annotated[str | None, Parameter(help="What it was built from.")] = None,
    baseline: Annotated[str | None, Parameter(help="Run or release to compare with.")] = None,
    wait: Annotated[bool, Parameter(help="Follow the validation and exit with its gate's code.")] = False,
    timeout: Annotated[float, Parameter(help="Seconds to wait at most, queue included.")] = 3600,
    json: Annotated[bool, Parameter(name="--json", help="Print the verdict as JSON, alone.")] = False,
) -> ExitCode:
    """Publish a release to the server that PREFECT_API_URL names, which validates it on staging."""
    from flows.release import release as publish

    return publish(tag, commit=commit, baseline=baseline, wait=wait, timeout_s=timeout, as_json=json)


@local_app.command
def up(
    *, detach: Annotated[bool, Parameter(help="Return once it runs; end it with `local down`.")] = False
) -> ExitCode:
    """Start the embedded platform and hold it until Ctrl-C; prints the variables that name it."""
    from flows.local import start

    return start(detach=detach)


@local_app.command
def down() -> ExitCode:
    """End every embedded platform that `local up` started."""
    from flows.local import stop

    return stop()


def _find(run: str, output: str) -> RunFolder:
    from storage.parquet import Store

    return find_run(Store(_absolute(output)), run)


def _absolute(output: str) -> str:
    return output if "://" in output else str(Path(output).resolve())


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code; an error is one line on standard error, never a traceback."""
    resource.setrlimit(
        resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1])
    )  # it would hold secrets
    code = _answer(lambda: _called(sys.argv[1:] if arguments is None else arguments))
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(code)  # what still runs in a thread was told to stop, and the guardian ends what it started
    sys.exit(code)


def _called(arguments: list[str]) -> Any:
    """The answer of the command that is asked for; a `UsageError` where an argument is no text."""
    broken = next((one for one in arguments if one.encode("utf-8", "replace").decode() != one or "\0" in one), None)
    if broken is not None:
        raise UsageError(f"the argument {broken!a} is not UTF-8: give it as text")
    return app(arguments, exit_on_error=False, print_error=False, result_action="return_value")


def _answer(command: Callable[[], Any]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        answer = command()
    except CycloptsError as error:
        asked = " ".join(["hasivu-perf", *(error.command_chain or ())])
        console.print(f"hasivu-perf: {' '.join(str(error).split())} ({asked} --help)")
        return ExitCode.USAGE
    except HasivuError as error:
        for line in str(error).splitlines():
            console.print(f"hasivu-perf: {line}")
        return error.exit_code
    except KeyboardInterrupt:
        console.print("hasivu-perf: interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:
        if os.environ.get("HASIVU_PERF_DEBUG"):
            raise
        console.print(f"hasivu-perf: {describe(error)}; HASIVU_PERF_DEBUG=1 shows where it came from")
        return ExitCode.INTERNAL
    return int(answer) if isinstance(answer, int) else ExitCode.PASS
