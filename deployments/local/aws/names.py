"""Names of the emulated account: region, account, and how Serverless names a function, its role and its logs."""

from __future__ import annotations

REGION = "ap-south-1"
"""The one region served; a request that is signed for another one is refused."""

ACCOUNT_ID = "123456789012"
"""The account that every caller is taken for, whatever its credentials."""

SERVICE = "hasivu-platform"
STAGE = "dev"
FUNCTION_PREFIX = f"{SERVICE}-{STAGE}-"
"""What the Serverless Framework puts before a function's key: `orders-create` deploys as this + `orders-create`."""

API_ID = "a1b2c3d4e5"
"""The HTTP API that invokes the functions (in the SourceArn of their policies)."""

ORPHAN_ROUTE = "GET /reports/export"
"""A route of that API whose function was never deployed."""

ORPHAN_FUNCTION = "reports-export"
"""The key of that function."""

STRANGE_STAGE = "prod"
"""A stage of that API beside `dev`, which serves the same functions."""

ALIAS = "live"
"""The alias that carries provisioned concurrency, where a function has any."""

ALIAS_VERSION = "3"
"""The published version that the alias points to."""


def function_name(key: str) -> str:
    """The deployed name of the function that serverless.yml calls `key`."""
    return FUNCTION_PREFIX + key


def function_arn(name: str, qualifier: str | None = None) -> str:
    """The ARN of the deployed function `name`, with a version or alias where one is given."""
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn


def log_group_arn(group: str) -> str:
    """The ARN of a log group, without the `:*` that older answers append."""
    return f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{group}"
