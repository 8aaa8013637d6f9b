"""Where messages can go: Slack, a webhook, e-mail, PagerDuty; each named by a variable and kept as a Prefect block.

Secrets are read here, go to the server, which keeps blocks encrypted, and stay there: no event, template, log or
automation holds one.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping

from apprise import Apprise
from prefect.blocks.core import Block
from prefect.blocks.notifications import PagerDutyWebHook, SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.types import SecretDict
from prefect.utilities.urls import validate_restricted_url
from pydantic import SecretStr

from storage.errors import ConfigurationError

SLACK, WEBHOOK, EMAIL = "HASIVU_NOTIFY_SLACK_URL", "HASIVU_NOTIFY_WEBHOOK_URL", "HASIVU_NOTIFY_EMAIL_URL"
PAGER, PAGER_API = "HASIVU_NOTIFY_PAGERDUTY_KEY", "HASIVU_NOTIFY_PAGERDUTY_API_KEY"
PRIVATE = "HASIVU_NOTIFY_PRIVATE"
"""`true` lets the webhook be on a private or loopback address."""

_SLACK = re.compile(r"^https://hooks\.slack(-gov)?\.com/services/\w+/\w+/\w+/?$")


def notification_blocks(variables: Mapping[str, str] = os.environ) -> dict[str, Block]:
    """The block of each channel that is named, by the channel's name; `ConfigurationError` names a wrong variable.

    No error holds what a variable holds.
    """
    given = {name: value for name, value in variables.items() if name.startswith("HASIVU_NOTIFY_") and value}
    problems = list(_problems(given))
    if problems:
        raise ConfigurationError(problems)
    blocks: dict[str, Block] = {}
    if SLACK in given:
        blocks["slack"] = SlackWebhook(url=SecretStr(given[SLACK]))
    if WEBHOOK in given:
        blocks["webhook"] = Webhook(
            url=SecretStr(given[WEBHOOK]), headers=SecretDict({"content-type": "application/json"})
        )
    if EMAIL in given:
        # This block hands every address that is not Slack's to apprise, and no other that each server knows does
        blocks["email"] = SlackWebhook(url=SecretStr(_as_text(given[EMAIL])))
    if PAGER in given:
        blocks["pagerduty"] = PagerDutyWebHook(
            integration_key=SecretStr(given[PAGER]),
            api_key=SecretStr(given[PAGER_API]),
            notify_type="failure",
            source="hasivu-perf",
            component="HASIVU",
        )
    return blocks


def _problems(given: Mapping[str, str]) -> Iterator[str]:
    if SLACK in given and not _SLACK.match(given[SLACK]):
        yield f"{SLACK} is no incoming webhook of Slack: https://hooks.slack.com/services/T…/B…/…"
    if WEBHOOK in given:
        yield from _webhook_problems(given[WEBHOOK], private=given.get(PRIVATE, "").lower() == "true")
    if EMAIL in given and not _is_mail(given[EMAIL]):
        yield f"{EMAIL} must be mailtos://user:password@host?from=address&to=address"
    if (PAGER in given) != (PAGER_API in given):
        yield f"{PAGER} (a routing key of the Events API v2) and {PAGER_API} are set together or not at all"


def _as_text(address: str) -> str:
    """Messages are plain text: as HTML, which apprise sends else, their lines would run together."""
    return f"{address}{'&' if '?' in address else '?'}format=text"


def _is_mail(address: str) -> bool:
    """Whether apprise knows it as a mail server; what it says of others may hold a password, and goes nowhere."""
    logger = logging.getLogger("apprise")
    before, logger.disabled = logger.disabled, True
    try:
        return address.startswith(("mailto://", "mailtos://")) and Apprise.instantiate(address) is not None
    finally:
        logger.disabled = before


def _webhook_problems(address: str, *, private: bool) -> Iterator[str]:
    """Checked here and not when it sends: Prefect's own refusal puts the whole address into an event."""
    if not re.match(r"^https?://[^/\s]+\S*$", address):
        yield f"{WEBHOOK} must begin with https:// or http:// and name a host"
    elif not private:
        try:
            validate_restricted_url(address)
        except ValueError:
            yield (
                f"{WEBHOOK} is on a private address, or its host is not known: set {PRIVATE}=true where that is meant"
            )
