"""What functions there are and how they are set up, by a few paged calls rather than several per function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from storage.errors import NotMeasuredError
from tasks.components.lambda_functions.account import (
    Account,
    DeadlineError,
    NotEnrolledError,
    UnknownResourceError,
    as_documented,
)

T = TypeVar("T")

_FUNCTIONS_FIELDS: list[pa.Field[Any]] = [
    pa.field("function", pa.string()),
    pa.field("arn", pa.string()),
    pa.field("runtime", pa.string()),
    pa.field("memory_mb", pa.int32()),
    pa.field("timeout_s", pa.int32()),
    pa.field("architecture", pa.string()),
    pa.field("package", pa.string()),
    pa.field("code_bytes", pa.int64()),
    pa.field("storage_mb", pa.int32()),
    pa.field("snap_start", pa.bool_()),
    pa.field("managed_instances", pa.bool_()),
    pa.field("revision", pa.string()),
    pa.field("modified", pa.string()),
    pa.field("log_group", pa.string()),
    pa.field("log_format", pa.string()),
    pa.field("reserved", pa.int32()),
    pa.field("provisioned", pa.map_(pa.string(), pa.int32())),
    pa.field("tags", pa.map_(pa.string(), pa.string())),
    pa.field("sources", pa.list_(pa.string())),
    pa.field("aliases", pa.list_(pa.string())),
]
FUNCTIONS = pa.schema(_FUNCTIONS_FIELDS)
"""One row per function. `reserved` is null where there is none or nobody asked; `provisioned` is by qualifier.

`aliases` are the aliases and versions that were called (CloudWatch's dimension Resource).
"""


@dataclass
class Inventory:
    """The functions of one environment (names with `prefix`), and what else the account said.

    `account_names` are those of all functions in the account and region.
    """

    functions: list[dict[str, Any]]
    concurrency_limit: int | None = None
    unreserved: int | None = None
    prefix: str = ""
    account_names: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of the functions, in order."""
        return [row["function"] for row in self.functions]

    def owns(self, name: str) -> bool:
        """Whether a function of that name is, or would be, one of the environment."""
        return bool(name) and name.startswith(self.prefix)

    def table(self) -> pa.Table:
        """The rows of `FUNCTIONS`."""
        rows = [
            {**row, "provisioned": list(row["provisioned"].items()), "tags": list(row["tags"].items())}
            for row in self.functions
        ]
        return pa.Table.from_pylist(rows, schema=FUNCTIONS)


def read_inventory(account: Account, prefix: str, log_group: str) -> Inventory:
    """Functions whose name begins with `prefix`; `NotMeasuredError` where they cannot be listed or there is none.

    `log_group` is the template (`{function}`) for functions that name no log group of their own.
    """
    listed = [each for page in account.pages("lambda", "ListFunctions") for each in page.get("Functions", [])]
    with as_documented("lambda:ListFunctions"):
        rows = [_function(each, log_group) for each in listed if each["FunctionName"].startswith(prefix)]
    if not rows:
        raise NotMeasuredError(
            f"no function in {account.region} has a name that begins with {prefix!r}; "
            "set lambda_functions.name_prefix in the environment's file, or AWS_REGION"
        )
    inventory = Inventory(
        sorted(rows, key=lambda row: str(row["function"])),
        prefix=prefix,
        account_names=frozenset(each["FunctionName"] for each in listed),
    )
    for what, step in _STEPS:
        tolerate(inventory.notes, what, partial(step, account, inventory))
    return inventory


def tolerate(notes: list[str], what: str, work: Callable[[], T]) -> T | None:
    """Do what may be denied: None and a note where it is, so that the rest is measured all the same."""
    try:
        with as_documented(what):
            return work()
    except (DeadlineError, NotEnrolledError):
        raise
    except NotMeasuredError as error:
        notes.append(f"{what} not measured: {error}")
        return None


def _function(configuration: dict[str, Any], log_group: str) -> dict[str, Any]:
    logging = configuration.get("LoggingConfig", {})
    name = configuration["FunctionName"]
    return {
        "function": name,
        "arn": configuration["FunctionArn"],
        "runtime": configuration.get("Runtime", ""),
        "memory_mb": configuration["MemorySize"],
        "timeout_s": configuration["Timeout"],
        "architecture": configuration.get("Architectures", ["x86_64"])[0],
        "package": configuration.get("PackageType", "Zip"),
        "code_bytes": configuration.get("CodeSize"),
        "storage_mb": configuration.get("EphemeralStorage", {}).get("Size", 512),
        "snap_start": configuration.get("SnapStart", {}).get("ApplyOn", "None") != "None",
        "managed_instances": "CapacityProviderConfig" in configuration,
        "revision": configuration.get("RevisionId", ""),
        "modified": configuration.get("LastModified", ""),
        "log_group": logging.get("LogGroup") or log_group.format(function=name),
        "log_format": logging.get("LogFormat", "Text"),
        "reserved": None,
        "provisioned": {},
        "tags": {},
        "sources": [],
        "aliases": [],
    }


def _read_limits(account: Account, inventory: Inventory) -> None:
    limits = account.call("lambda", "GetAccountSettings")["AccountLimit"]
    inventory.concurrency_limit = limits.get("ConcurrentExecutions")
    inventory.unreserved = limits.get("UnreservedConcurrentExecutions")


def _read_tags(account: Account, inventory: Inventory) -> None:
    by_arn = {row["arn"]: row for row in inventory.functions}
    pages = account.pages(
        "resourcegroupstaggingapi", "GetResources", ResourceTypeFilters=["lambda:function"], ResourcesPerPage=100
    )
    for page in pages:
        for resource in page["ResourceTagMappingList"]:
            if row := by_arn.get(resource["ResourceARN"]):
                row["tags"] = {tag["Key"]: tag["Value"] for tag in resource["Tags"]}


def _read_sources(account: Account, inventory: Inventory) -> None:
    by_arn = {row["arn"]: row for row in inventory.functions}
    for page in account.pages("lambda", "ListEventSourceMappings"):
        for mapping in page.get("EventSourceMappings", []):
            if row := by_arn.get(_unqualified(mapping["FunctionArn"])):
                row["sources"].append(mapping.get("EventSourceArn", "self-managed"))


def _unqualified(arn: str) -> str:
    return ":".join(arn.split(":")[:7])


def _read_provisioned(account: Account, inventory: Inventory) -> None:
    """Ask only functions that have the metric of provisioned concurrency; each one where metrics are denied."""
    by_name = {row["function"]: row for row in inventory.functions}
    try:
        names: Sequence[str] = sorted(_with_provisioned_metric(account) & by_name.keys())
    except DeadlineError:
        raise
    except NotMeasuredError:
        names = list(by_name)
    for name in names:
        for page in account.pages("lambda", "ListProvisionedConcurrencyConfigs", FunctionName=name):
            for found in page["ProvisionedConcurrencyConfigs"]:
                qualifier = found["FunctionArn"].rpartition(":")[2]
                by_name[name]["provisioned"][qualifier] = found["RequestedProvisionedConcurrentExecutions"]


def _read_aliases(account: Account, inventory: Inventory) -> None:
    """Qualifiers that CloudWatch saw calls of, by one call for many functions rather than one for each."""
    by_name = {row["function"]: row for row in inventory.functions}
    wanted = [{"Name": "Resource"}]
    pages = account.pages(
        "cloudwatch", "ListMetrics", Namespace="AWS/Lambda", MetricName="Invocations", Dimensions=wanted
    )
    for page in pages:
        for metric in page["Metrics"]:
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            name, _, qualifier = dimensions["Resource"].partition(":")
            if qualifier and name in by_name and qualifier not in by_name[name]["aliases"]:
                by_name[name]["aliases"].append(qualifier)


def _with_provisioned_metric(account: Account) -> set[str]:
    pages = account.pages(
        "cloudwatch", "ListMetrics", Namespace="AWS/Lambda", MetricName="ProvisionedConcurrentExecutions"
    )
    return {
        dimension["Value"]
        for page in pages
        for metric in page["Metrics"]
        for dimension in metric["Dimensions"]
        if dimension["Name"] == "FunctionName"
    }


def read_reserved(account: Account, inventory: Inventory, names: Sequence[str]) -> None:
    """Ask the reserved concurrency of some functions: those that were throttled, one call each."""
    if inventory.unreserved is not None and inventory.unreserved == inventory.concurrency_limit:
        return  # nothing is reserved in the whole account
    by_name = {row["function"]: row for row in inventory.functions}
    for name in names:
        try:
            answer = account.call("lambda", "GetFunctionConcurrency", FunctionName=name)
        except UnknownResourceError:
            continue
        by_name[name]["reserved"] = answer.get("ReservedConcurrentExecutions")


_STEPS: tuple[tuple[str, Callable[[Account, Inventory], None]], ...] = (
    ("account limits", _read_limits),
    ("tags", _read_tags),
    ("event source mappings", _read_sources),
    ("provisioned concurrency", _read_provisioned),
    ("aliases", _read_aliases),
)
