"""Who hears of runs: for each channel (`deployments.channels`) its block, and automations that send to it.

Three automations for each channel: one sends the notices of `tasks.monitoring.notify`, one tells of a run that ended
without a report (Crashed, or Failed before anything could be judged), which nobody else can tell, and one sends the
alerts of `hasivu-perf watch --prefect`.

docs/notifications.md says what each channel sends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import AutomationCore, EventTrigger
from prefect.events.actions import CallWebhook, SendNotification
from prefect.exceptions import ObjectNotFound

from deployments.automations import ensure_automation
from deployments.channels import notification_blocks
from deployments.declared import Outcome

NOTICE = "hasivu.run.notice"
ALERT = "hasivu.watch.alert"
INCOMPLETE = "not measured:"
"""How the state's message of a run begins that ended Failed with a report: its notice tells more."""

_RUN = "{% if flow_run %}{{ flow_run|ui_url }}{% endif %}"
_STATE = "{{ event.resource['prefect.state-name'] }}"
_WHY = (
    "{{ event.resource['prefect.state-message']|replace('<','‹')|replace('>','›')|replace('@','＠')|truncate(300) }}"
)
_ENDED = {
    "subject": f"{{{{ flow_run.name }}}}: {_STATE}, no report",
    "body": f"The run {{{{ flow_run.name }}}} ended as {_STATE} and published no report of its own.\n{_WHY}\n"
    f"Read its log, and retry it there: {_RUN}",
}


def ensure_notifications(client: SyncPrefectClient, variables: Mapping[str, str] = os.environ) -> Iterator[Outcome]:
    """Bring the blocks and automations of the named channels to the desired state; a second time nothing changes.

    A channel whose variable is not set is left as it is: another machine may have set it up. A wrong one is told at
    once, before any outcome is asked for: `ConfigurationError`.
    """
    return _ensured(client, notification_blocks(variables))


def _ensured(client: SyncPrefectClient, blocks: Mapping[str, Block]) -> Iterator[Outcome]:
    for channel, block in blocks.items():
        outcome, identity = _ensure_block(client, f"hasivu-perf-{channel}", block)
        yield outcome
        for automation in notification_automations(channel, identity):
            yield ensure_automation(client, automation)


def notification_automations(
    channel: str, block: UUID, flow: str = "performance-pipeline"
) -> tuple[AutomationCore, ...]:
    """What sends to the channel with this block: notices, that a run of `flow` ended without a report, alerts."""
    notice = EventTrigger(expect={NOTICE}, match={"prefect.resource.id": "hasivu.run.*"})
    ended = EventTrigger(
        expect={f"prefect.flow-run.{state}" for state in ("Crashed", "Failed", "TimedOut")},
        match={"prefect.resource.id": "prefect.flow-run.*", "prefect.state-message": f"!{INCOMPLETE}*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": flow},
    )
    watched = EventTrigger(
        expect={f"{ALERT}.firing", f"{ALERT}.resolved"}, match={"prefect.resource.id": "hasivu.watch.*"}
    )
    told = {key: f"{{{{ event.payload.{key} }}}}" for key in ("subject", "body")}
    run = "{% if flow_run %}\nRun in Prefect: " + "{{ flow_run|ui_url }}{% endif %}"
    return (
        AutomationCore(
            name=f"hasivu-perf: tell {channel} what a run found",
            description="Incomplete, gate failed, confirmed regression, critical: once for each run and reason.",
            trigger=notice,
            actions=[_send(channel, block, {**told, "body": told["body"] + run}, "{{ event.payload|tojson }}")],
        ),
        AutomationCore(
            name=f"hasivu-perf: tell {channel} that a run ended without a report",
            description="Crashed, or Failed before anything could be judged: once for each such end.",
            trigger=ended,
            actions=[_send(channel, block, _ENDED, _ended_json())],
        ),
        AutomationCore(
            name=f"hasivu-perf: tell {channel} what the watch alerts",
            description="Each incident twice: when it began, and when it was over.",
            trigger=watched,
            actions=[_send(channel, block, told, "{{ event.payload|tojson }}")],
        ),
    )


def _send(channel: str, block: UUID, words: Mapping[str, str], content: str) -> SendNotification | CallWebhook:
    if channel == "webhook":
        return CallWebhook(block_document_id=block, payload=content)
    return SendNotification(block_document_id=block, **words)


def _ended_json() -> str:
    """The same keys as a notice has, as far as they are known of a run without a report."""
    fields = {
        "reason": "event.resource['prefect.state-name']|lower",
        "run": "flow_run.name",
        "verdict": json.dumps("no report"),
        "link": "flow_run|ui_url",
        "findings": "[]",
    }
    parts = [f'"{name}": {{{{ ({value})|tojson }}}}' for name, value in fields.items()]
    texts = [
        f'{{% set {name} %}}{text}{{% endset %}}"{name}": {{{{ {name}|string|tojson }}}}'
        for name, text in _ENDED.items()
    ]
    return "{" + ", ".join([*parts, *texts]) + "}"


def _ensure_block(client: SyncPrefectClient, name: str, block: Block) -> tuple[Outcome, UUID]:
    kind = type(block)
    thing = f"block {kind.get_block_type_slug()}/{name}"
    try:
        found = client.read_block_document_by_name(name, kind.get_block_type_slug(), include_secrets=True)
    except ObjectNotFound:
        return Outcome(thing, "created"), _saved(block, name)
    if _values(kind.model_validate(found.data)) == _values(block):
        return Outcome(thing, "unchanged"), found.id
    return Outcome(thing, "changed"), _saved(block, name)


def _saved(block: Block, name: str) -> UUID:
    identity = block.save(name, overwrite=True)
    if not isinstance(identity, UUID):
        msg = "blocks are saved outside of an event loop"
        raise TypeError(msg)
    return identity


def _values(block: Block) -> dict[str, Any]:
    return {name: getattr(block, name) for name in type(block).model_fields}
