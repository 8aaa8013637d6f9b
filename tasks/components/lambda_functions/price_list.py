"""Refreshes prices.toml from AWS's Price List: `python -m tasks.components.lambda_functions.price_list REGION…`.

It prints the whole table with today's date: read the difference, then put it in the place of prices.toml. Products
are told by their `group`, as AWS's own calculator does; needs pricing:GetProducts, which is free.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from deployments.config import Target
from storage.errors import HasivuError, NotMeasuredError
from tasks.components.base import now
from tasks.components.lambda_functions.account import Account

HOME = "us-east-1"
"""The region whose endpoint serves the prices of all regions."""

_DEADLINE_S = 120.0
_GROUPS = {
    "AWS-Lambda-Requests": ("", "request"),
    "AWS-Lambda-Storage-Duration": ("", "storage_gb_s"),
    "AWS-Lambda-Duration": ("x86_64", "duration"),
    "AWS-Lambda-Duration-ARM": ("arm64", "duration"),
    "AWS-Lambda-Provisioned-Concurrency": ("x86_64", "provisioned"),
    "AWS-Lambda-Provisioned-Concurrency-ARM": ("arm64", "provisioned"),
    "AWS-Lambda-Duration-Provisioned": ("x86_64", "provisioned_duration"),
    "AWS-Lambda-Duration-Provisioned-ARM": ("arm64", "provisioned_duration"),
}
_NEEDED = frozenset(_GROUPS.values())

Rates = dict[tuple[str, str], list[tuple[float, float]]]
"""By architecture and kind: (GB-seconds from which a price holds, dollars), ascending."""


def rates(products: Iterable[str], region: str) -> Rates:
    """Rates of one region from products of the Price List, JSON each; `NotMeasuredError` names what is missing.

    Free tiers and the prices of other regions are left out.
    """
    found: Rates = {}
    for text in products:
        product = json.loads(text)
        attributes = product["product"]["attributes"]
        key = _GROUPS.get(attributes.get("group", ""))
        if key is None or attributes.get("regionCode") != region:
            continue
        steps = [(begin, price) for begin, price in _dimensions(product) if price > 0]
        if steps:
            found[key] = sorted(steps)
    if lacking := _NEEDED - found.keys():
        names = ", ".join(sorted(group for group, key in _GROUPS.items() if key in lacking))
        raise NotMeasuredError(f"the Price List of {region} has no {names}: the table was not refreshed")
    return found


def _dimensions(product: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            yield float(dimension.get("beginRange", 0)), float(dimension["pricePerUnit"]["USD"])


def table(by_region: Mapping[str, Rates], day: date, kept: str) -> str:
    """prices.toml with the rates of some regions; `kept` is the part of the present file that no Price List has."""
    first = next(iter(by_region.values()))
    lines = [
        "# AWS Lambda prices in US dollars, by region. Source: the AWS Price List, https://aws.amazon.com/lambda/pricing/",
        f"as_of = {day.isoformat()}",
        f"request = {_number(first['', 'request'][0][1])}",
        "month_hours = 730                # AWS's month",
        "",
        "[tiers_gb_s]                     # monthly GB-seconds up to which the first two duration prices hold",
        *(f"{kind} = {_numbers(begin for begin, _ in first[kind, 'duration'][1:])}" for kind in ("x86_64", "arm64")),
        "",
        kept.strip(),
    ]
    for region, found in by_region.items():
        lines += ["", f"[region.{region}]", f"storage_gb_s = {_number(found['', 'storage_gb_s'][0][1])}"]
        for kind in ("x86_64", "arm64"):
            lines += [
                f"[region.{region}.{kind}]",
                f"duration = {_numbers(price for _, price in found[kind, 'duration'])}",
                f"provisioned = {_number(found[kind, 'provisioned'][0][1])}",
                f"provisioned_duration = {_number(found[kind, 'provisioned_duration'][0][1])}",
            ]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.6g}"


def _numbers(values: Iterable[float]) -> str:
    return f"[{', '.join(_number(value) for value in values)}]"


KEPT = """
[snapstart]                      # Python and .NET; Java pays neither
cache_gb_s = 1.5046e-6           # each published version, three hours at least
restore_gb = 1.398e-4

[analysis]                       # what this analysis itself costs, us-east-1
metric = 1.0e-5                  # each metric that GetMetricData is asked for
scanned_gb = 0.005               # each GB that Logs Insights scans
"""
"""Prices that are no product of AWSLambda's Price List, or none that a group tells."""


def products(account: Account, region: str) -> Iterator[str]:
    """All products of Lambda in a region, JSON each."""
    filters = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}]
    for page in account.pages("pricing", "GetProducts", ServiceCode="AWSLambda", Filters=filters):
        yield from page["PriceList"]


def main(regions: Sequence[str]) -> int:
    """Print the table of some regions; 2 where none is named, 3 where the Price List does not answer."""
    if not regions:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    account = Account(Target(aws_region=HOME), _DEADLINE_S)
    try:
        found = {region: rates(products(account, region), region) for region in regions}
    except HasivuError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    finally:
        account.close()
    sys.stdout.write(table(found, now().date(), KEPT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
