"""The AWS API of the embedded platform: Lambda, CloudWatch, Logs, tags and STS for one account and region.

`python -m deployments.local.aws --port P` serves it on 127.0.0.1; docs/local-aws.md says what is emulated truthfully
and what is not. Importing this package loads nothing heavy: names, constants and the planted cases alone.
"""

from __future__ import annotations

from deployments.local.aws.names import (
    ACCOUNT_ID,
    FUNCTION_PREFIX,
    REGION,
    STAGE,
    function_arn,
    function_name,
    log_group_arn,
)
from deployments.local.aws.planted import PLANTED, PlantedCase

DAYS = 14
"""How many days of metrics and logs lie before the hour at which the process started."""

READY_PATH = "/_ready"
"""GET answers 200 once the corpus lies in memory, 503 before."""

__all__ = [
    "ACCOUNT_ID",
    "DAYS",
    "FUNCTION_PREFIX",
    "PLANTED",
    "READY_PATH",
    "REGION",
    "STAGE",
    "PlantedCase",
    "function_arn",
    "function_name",
    "log_group_arn",
]
