"""Runs the pipeline for the command line: hosts it, shows it, and answers by the report's verdict."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from deployments.config import RunConfig
from deployments.parameters import ValidationParams
from flows.host import hosted
from storage.errors import ExitCode, HasivuError, LocalPlatformError
from storage.parquet import Store
from storage.records import Report
from storage.runs import RunFolder, new_run_name
from tasks import progress, stopping
from tasks.monitoring.live import LiveView, to_terminal

_INTERRUPT_S = 1.0
"""How long the load of an interrupted pipeline may take to end before the partial report is made without it."""

_JUDGE_S = 4.0
"""The same where all is measured: to judge takes two or three seconds, and to do so twice at once longer."""

_LEAVE_S = 2.0
"""How much longer an interrupted flow may take to give back its slot and say how it ended at a server that stays."""

_LOOK_S = 0.1
_INTERRUPTED = "interrupted before it was measured"


def execute(params: ValidationParams, config: RunConfig, *, as_json: bool) -> ExitCode:
    """Run the pipeline, print the verdict (or the report as JSON), and return the exit code."""
    run = params.run or new_run_name(datetime.now(UTC))
    folder = RunFolder(Store(params.output), config.environment.name, run)
    folder.store.check_usable()  # before a platform is started, and a target is loaded for nothing
    with LiveView(config.components) as view, hosted(config, view.say) as host:
        params = params.model_copy(update={"run": run, "local": params.local or host.embedded})
        load = config.environment.load
        view.say(f"measuring {', '.join(config.components)} for {load.duration_s:g} s as run {run}")
        with progress.watching(view, view.say):
            earlier = _report_bytes(folder)
            over = threading.Event()  # a thread whose join is interrupted counts as ended in Python 3.11 and 3.12
            ended, whole = _run_pipeline(
                partial(_flow, params, folder, earlier), host.check, partial(_measured, folder, config), over
            )
        if isinstance(ended, LocalPlatformError):
            view.say(f"the run stops: {ended}")
        if ended and over.is_set():
            host.let_go()
        report = _report_of_stopped(folder, ended, earlier, by_itself=whole) if ended else folder.report()
        if isinstance(ended, KeyboardInterrupt) and not host.serves:
            over.wait(_LEAVE_S)
    from tasks.judge.gate import exit_code
    from tasks.publish import terminal_text
    from tasks.report.record import to_json

    to_terminal(to_json(report).decode() if as_json else terminal_text(report, folder))
    return ExitCode.INTERRUPTED if isinstance(ended, KeyboardInterrupt) else exit_code(report)


def _measured(folder: RunFolder, config: RunConfig) -> bool:
    """Whether every component is stored: what is left is to judge and to publish."""
    from tasks.results import stored_manifests

    with suppress(HasivuError):  # a damaged one is none
        return {component.value for component in config.components} <= stored_manifests(folder).keys()
    return False


def _run_pipeline(
    flow: Callable[[], None], check: Callable[[], None], measured: Callable[[], bool], over: threading.Event
) -> tuple[KeyboardInterrupt | LocalPlatformError | None, bool]:
    """Run the flow in a thread, for the main one gets the signals; what ended it if anything did, and if it is whole.

    Without the server that this run started, the flow would ask for it for ever.
    """
    errors: list[BaseException] = []

    def work() -> None:
        try:
            flow()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which raises it
            errors.append(error)
        finally:
            over.set()

    threading.Thread(target=work, name="pipeline", daemon=True).start()
    try:
        while not over.wait(_LOOK_S):
            check()
            if stopping.cancelled():
                raise KeyboardInterrupt  # noqa: TRY301 - it ends as if at the terminal
    except (KeyboardInterrupt, LocalPlatformError) as why:
        stopping.ask()
        judging = isinstance(why, KeyboardInterrupt) and measured()  # without its server the flow judges nothing
        over.wait(_JUDGE_S if judging else _INTERRUPT_S)
        return why, over.is_set() and all(isinstance(one, KeyboardInterrupt) for one in errors)
    for error in errors:
        if not isinstance(error, KeyboardInterrupt):
            raise error
        return error, True  # it was cancelled at the server
    return None, True


def _flow(params: ValidationParams, folder: RunFolder, earlier: bytes) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.cancellation import cancelled
    from flows.pipeline import performance_pipeline
    from tasks import validation

    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        state = performance_pipeline(params, return_state=True)
        if cancelled(state):
            raise KeyboardInterrupt
    if _report_bytes(folder) == earlier:
        raise HasivuError(
            f"the pipeline ended without a report: {validation.failure_text(state.message)}{_what_is_kept(folder)}"
        )


def _what_is_kept(folder: RunFolder) -> str:
    from tasks.results import stored_manifests

    if not stored_manifests(folder):
        return ""
    return f"; what was measured is stored: with that mended, `hasivu-perf report {folder.run}` makes its report"


def _report_bytes(folder: RunFolder) -> bytes:
    """The report as it lies there now; empty where there is none."""
    name = folder.orchestration("report.json")
    return folder.store.read(name) if folder.store.exists(name) else b""


def _report_of_stopped(
    folder: RunFolder, why: KeyboardInterrupt | LocalPlatformError, earlier: bytes, *, by_itself: bool
) -> Report:
    """The report of a run that was told to stop: of what was measured; the rest is named as interrupted.

    What the flow has judged, in place of an `earlier` report, was measured whole; it has published that, too, where
    it ended `by_itself` and did not leave it.
    """
    from tasks import judging
    from tasks.publish import publish_files, publish_report

    if not folder.opened_already():
        raise why
    if _report_bytes(folder) == earlier:
        report = judging.interrupted(folder, str(why) or _INTERRUPTED)
        publish_report(folder, report)
        return report
    report = folder.report()
    if not by_itself or stopping.publishing_is_left():
        publish_files(folder, report)
    return report
