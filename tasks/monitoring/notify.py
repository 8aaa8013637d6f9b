"""Tells the Prefect server what people should hear of a run: one event for each notice, once.

Who hears it, and how, is up to the automations of `deployments.notifications`: the run knows no channel and no
secret of one.
"""

from __future__ import annotations

import logging
from uuid import NAMESPACE_URL, uuid5

import httpx
from prefect import get_run_logger
from prefect.blocks.core import Block
from prefect.blocks.notifications import AppriseNotificationBlock, PagerDutyWebHook
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.events import Event, RelatedResource, Resource
from prefect.exceptions import MissingContextError, PrefectException
from prefect.logging.loggers import get_logger
from prefect.runtime import flow_run

from storage.records import Report
from storage.runs import RunFolder
from tasks.monitoring.database_watch.events import Event as AnyEvent
from tasks.monitoring.notices import MOST_SUBJECT, Notice, inert, messages
from tasks.monitoring.watch.alarm import Alert

EVENT = "hasivu.run.notice"
"""Name of the event; its resource is `hasivu.run.<environment>.<run>.<reason>`, its payload the notice."""


ALERT = "hasivu.watch.alert"
"""Name of the events of a watch's alerts, followed by `.firing` or `.resolved`."""


def announce(report: Report, folder: RunFolder, link: str) -> tuple[Notice, ...]:
    """Emit what was not told of this run yet, and return it; `link` is where people read the report.

    A file `notices/<reason>.json` in the run's folder says that a reason was told: a retry, another attempt on
    another machine or the report made again tells nothing twice. Where the server does not take the event the file
    goes again, so that the next attempt tells it, and the log says so: a run never fails for want of a message.
    """
    return tuple(notice for notice in messages(report, link) if _told(notice, folder))


def _told(notice: Notice, folder: RunFolder) -> bool:
    name = folder.orchestration(f"notices/{notice.reason}.json")
    if not folder.store.create(name, notice.model_dump_json(indent=2).encode()):
        return False
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event_of(notice).model_dump(mode="json")])
    except (httpx.HTTPError, PrefectException) as error:
        folder.store.remove(name)
        _logger().warning("nobody was told that %s: %s", notice.subject, type(error).__name__)
        return False
    return True


def event_of(notice: Notice) -> Event:
    """The event of a notice; the same notice gives the same id, so that one sent twice counts once."""
    name = f"hasivu.run.{notice.environment}.{notice.run}.{notice.reason}"
    resource = {
        "prefect.resource.id": name,
        "prefect.resource.name": notice.subject,
        "hasivu.environment": notice.environment,
        "hasivu.reason": notice.reason,
    }
    return Event(
        id=uuid5(NAMESPACE_URL, name),
        event=EVENT,
        resource=Resource.model_validate(resource),
        related=_flow_run(),
        payload=notice.model_dump(mode="json"),
    )


def saw(told: AnyEvent | Alert) -> None:
    """Emit what a watch saw; raises `httpx.HTTPError` or `PrefectException` where the server does not take it."""
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[seen(told).model_dump(mode="json")])


def seen(told: AnyEvent | Alert) -> Event:
    """The event of what a watch saw; an alert's has the same id however often it is sent."""
    payload = told.model_dump(mode="json")
    if not isinstance(told, Alert):
        name = f"hasivu.database.{told.database}"
        labels = {"prefect.resource.id": name, "prefect.resource.name": told.database}
        return Event(event=f"hasivu.database.{told.event}", resource=Resource.model_validate(labels), payload=payload)
    began = told.event == "firing"
    subject = f"{told.environment.capitalize()}: {'' if began else 'over: '}{inert(told.title, MOST_SUBJECT)}"
    labels = {
        "prefect.resource.id": f"hasivu.watch.{told.environment}.{told.alert}",
        "prefect.resource.name": subject,
        "hasivu.environment": told.environment,
        "hasivu.severity": told.severity,
    }
    words = {"reason": f"alert-{told.event}", "subject": subject, "body": _body(told)}
    return Event(
        id=uuid5(NAMESPACE_URL, f"{told.incident}.{told.event}"),
        event=f"{ALERT}.{told.event}",
        resource=Resource.model_validate(labels),
        payload={**payload, **words},
    )


def tell(block: Block, told: Alert, *, private: bool) -> None:
    """Send an alert to a channel (`deployments.channels`) without a server; raises whatever its client does.

    As with a server any answer of a webhook ends it. `private` lets an address be on a private network.
    """
    content = seen(told).payload
    if isinstance(block, Webhook):
        address, headers = block.url.get_secret_value(), block.headers.get_secret_value()
        httpx.post(address, json=content, headers={str(k): str(v) for k, v in headers.items()}, timeout=20)
    elif isinstance(block, AppriseNotificationBlock | PagerDutyWebHook):
        logging.getLogger("apprise").disabled = True  # what it says may hold the address
        if isinstance(block, AppriseNotificationBlock):
            block.allow_private_urls = private
        with block.raise_on_failure():
            block.notify(content["body"], content["subject"])


def _body(told: Alert) -> str:
    since = "" if told.event == "firing" else f"\nIt began at {told.since:%Y-%m-%d %H:%M:%S} UTC."
    return (
        f"{inert(told.words, 300)}{since}\nAlert: {told.alert} ({told.severity})\nSource: {inert(told.source, 200)}"
    )


def _flow_run() -> list[RelatedResource]:
    """The flow run that tells it, where there is one: messages link to it."""
    if not flow_run.id:
        return []
    related = {
        "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
        "prefect.resource.role": "flow-run",
        "prefect.resource.name": str(flow_run.name),
    }
    return [RelatedResource.model_validate(related)]


def _logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The run's own log, where there is a run."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("hasivu")
