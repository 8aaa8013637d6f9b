"""`hasivu-perf release`: publishes a release to a Prefect server, and answers with the gate of its validation."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping

from prefect.client.orchestration import SyncPrefectClient
from prefect.events import Event, Resource

from deployments.server import connected
from flows.following import run_link, started_run, verdict_of, watched
from storage.errors import ExitCode, UsageError
from tasks.monitoring.live import to_terminal
from tasks.monitoring.teller import Teller
from tasks.report.text import one_line

EVENT = "hasivu.release.published"
"""Name of the event; its resource is `hasivu.release.<tag>`. The trigger `release-staging` waits for it."""

_NAME = re.compile(r"^[A-Za-z0-9._/+-]{1,100}$")


def release(
    tag: str, *, commit: str | None, baseline: str | None, wait: bool, timeout_s: float, as_json: bool
) -> ExitCode:
    """Publish a release; with `wait`, follow the run that it starts and return what its gate says.

    Raises `UsageError` for a name that cannot be one and where no server answers, `NotMeasuredError` where no verdict
    came within `timeout_s` seconds.
    """
    event = published(tag, commit, baseline)
    with connected() as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")])
        if not wait:
            to_terminal(json.dumps({"release": tag, "event": str(event.id)}) if as_json else f"published {tag}")
            return ExitCode.PASS
        with Teller() as teller:
            teller.say(f"published {tag}")
            verdict = _followed(client, event, teller, time.monotonic() + timeout_s)
    to_terminal(json.dumps(verdict, indent=2) if as_json else _words(verdict))
    return ExitCode(int(verdict["exit_code"]))


def published(tag: str, commit: str | None, baseline: str | None) -> Event:
    """The event of a release."""
    payload = {"tag": tag, "commit": commit, "baseline": baseline}
    wrong = [f"{name} {value!r}" for name, value in payload.items() if value is not None and not _NAME.match(value)]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: use letters, digits and . _ - / +, at most 100 of them")
    resource = {"prefect.resource.id": f"hasivu.release.{tag}", "prefect.resource.name": tag}
    return Event(event=EVENT, resource=Resource.model_validate(resource), payload=payload)


def _followed(client: SyncPrefectClient, event: Event, teller: Teller, until: float) -> dict[str, str | int]:
    """The verdict of the run that the event starts; Ctrl-C ends the waiting alone."""
    run = None
    try:
        run = started_run(client, event.id, until)
        teller.say(f"run {run_link(run)}")
        return verdict_of(client, watched(client, run, teller, until))
    except KeyboardInterrupt:
        where = f"; the run goes on: {run_link(run)}" if run else ""
        teller.say(f"stopped waiting{where}")
        raise


def _words(row: Mapping[str, str | int]) -> str:
    said = {name: one_line(str(value)) for name, value in row.items()}
    lines = [
        "{environment} {release}: {verdict}, score {score}, grade {grade}",
        "  report  {report}",
        "  run     {flow_run_url}",
    ]
    return "\n".join(lines).format_map(said)
