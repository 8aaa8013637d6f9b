"""Dollars against worked examples: AWS's pricing page, and arithmetic done here from its published rates."""

from __future__ import annotations

import json
import tomllib
from datetime import date

import pytest

from storage.errors import NotMeasuredError
from tasks.components.lambda_functions.cost import PRICES, Usage, analysis_cost, duration_cost, monthly_cost, prices
from tasks.components.lambda_functions.price_list import KEPT, main, rates, table


def test_the_pricing_pages_mobile_backend() -> None:
    # aws.amazon.com/lambda/pricing: 3 million requests, 120 ms, 1,536 MB, x86: 540,000 GB-s; before the free tier
    price = prices("us-east-1", "x86_64")
    assert price is not None
    cost = monthly_cost(Usage(requests=3e6, gb_s=3e6 * 0.120 * 1.5, memory_mb=1536), price)
    assert cost.duration == pytest.approx(9.00, abs=0.005)
    assert cost.requests == pytest.approx(0.60)
    assert cost.provisioned == 0


def test_provisioned_environments_are_paid_for_standing_and_for_running() -> None:
    price = prices("us-east-1", "x86_64")
    assert price is not None
    usage = Usage(requests=0, gb_s=0, provisioned_gb_s=1000, provisioned_environments=2, memory_mb=1024)
    cost = monthly_cost(usage, price)
    assert cost.provisioned == pytest.approx(2 * 730 * 3600 * 4.1667e-6 + 1000 * 9.7222e-6)


def test_tiers_are_priced_each_for_its_part() -> None:
    price = prices("us-east-1", "x86_64")
    assert price is not None
    expected = 6e9 * 1.66667e-5 + 9e9 * 1.5e-5 + 1e9 * 1.33334e-5
    assert duration_cost(16e9, price) == pytest.approx(expected)
    assert duration_cost(0, price) == 0


@pytest.mark.parametrize(("region", "expected"), [("us-east-1", 0.600), ("ap-south-1", 0.729)])
def test_break_even_of_provisioned_concurrency(region: str, expected: float) -> None:
    price = prices(region, "x86_64")
    assert price is not None
    assert price.break_even == pytest.approx(expected, abs=0.0005)


def test_storage_above_512_mb() -> None:
    price = prices("ap-south-1", "arm64")
    assert price is not None
    usage = Usage(requests=0, gb_s=500, memory_mb=512, storage_mb=512 + 2048)
    assert monthly_cost(usage, price).storage == pytest.approx(1000 * 2 * 3.52e-8)


def test_a_hundred_environments_for_four_hours_a_day() -> None:
    # 1,536 MB on 30 days, with 1.2 million requests of 1 s in them, worked out from the published rates:
    # 64,800,000 GB-s standing ($270.00) and 1,800,000 GB-s running ($17.50)
    price = prices("us-east-1", "x86_64")
    assert price is not None
    share = 4 * 30 / 730  # of the month
    usage = Usage(
        requests=1.2e6, gb_s=0, provisioned_gb_s=1.2e6 * 1.5, provisioned_environments=100 * share, memory_mb=1536
    )
    cost = monthly_cost(usage, price)
    assert cost.provisioned == pytest.approx(270.00 + 17.50, abs=0.005)
    assert cost.requests == pytest.approx(0.24)


def test_snapshots_and_restores_are_paid_for() -> None:
    price = prices("us-east-1", "x86_64")
    assert price is not None
    usage = Usage(requests=0, gb_s=0, memory_mb=1024, snapshots=1, restores=100_000)
    assert monthly_cost(usage, price).snapstart == pytest.approx(730 * 3600 * 1.5046e-6 + 100_000 * 1.398e-4)


def test_an_unknown_region_is_not_priced() -> None:
    assert prices("eu-north-9") is None
    assert prices("us-east-1", "riscv") is None


def test_the_analysis_itself() -> None:
    assert analysis_cost(902, 0) == pytest.approx(0.00902)
    assert analysis_cost(0, 2e9) == pytest.approx(0.01)


def product(group: str, steps: dict[str, str], region: str = "ap-south-1") -> str:
    """In the shape of AWS's Price List: each step a price from so many units on."""
    dimensions = {
        f"R.{begin}": {"beginRange": begin, "endRange": "Inf", "unit": "x", "pricePerUnit": {"USD": price}}
        for begin, price in steps.items()
    }
    return json.dumps(
        {
            "product": {"productFamily": "Serverless", "attributes": {"group": group, "regionCode": region}},
            "serviceCode": "AWSLambda",
            "terms": {"OnDemand": {"T": {"priceDimensions": dimensions}}},
        }
    )


def price_list() -> list[str]:
    arm = {"0": "0.0000133334", "7500000000": "0.0000120001", "18750000000": "0.0000106667"}
    return [
        product("AWS-Lambda-Requests", {"0": "0.0000002000"}),
        product("AWS-Lambda-Requests", {"0": "0"}, region=""),  # the free tier
        product("AWS-Lambda-Edge-Requests", {"0": "0.0000006"}),
        product("AWS-Lambda-Storage-Duration", {"0": "0.0000000352"}),
        product(
            "AWS-Lambda-Duration", {"6000000000": "0.000015", "0": "0.0000166667", "15000000000": "0.0000133334"}
        ),
        product("AWS-Lambda-Duration", {"0": "0.5"}, region="us-east-1"),
        product("AWS-Lambda-Duration-ARM", arm),
        product("AWS-Lambda-Provisioned-Concurrency", {"0": "0.0000044985"}),
        product("AWS-Lambda-Provisioned-Concurrency-ARM", {"0": "0.0000035988"}),
        product("AWS-Lambda-Duration-Provisioned", {"0": "0.0000104966"}),
        product("AWS-Lambda-Duration-Provisioned-ARM", {"0": "0.0000083973"}),
    ]


class TestPriceList:
    def test_a_refreshed_table_holds_what_the_bundled_one_holds(self) -> None:
        made = tomllib.loads(table({"ap-south-1": rates(price_list(), "ap-south-1")}, date(2026, 11, 1), KEPT))
        bundled = tomllib.loads(PRICES.read_text())
        assert made["as_of"] == date(2026, 11, 1)
        assert made["region"]["ap-south-1"] == bundled["region"]["ap-south-1"]
        assert {key: made[key] for key in ("request", "month_hours", "tiers_gb_s", "snapstart", "analysis")} == {
            key: bundled[key] for key in ("request", "month_hours", "tiers_gb_s", "snapstart", "analysis")
        }

    def test_what_the_list_lacks_is_named_and_nothing_is_made_up(self) -> None:
        with pytest.raises(NotMeasuredError, match="AWS-Lambda-Provisioned-Concurrency-ARM"):
            rates([each for each in price_list() if "Concurrency-ARM" not in each], "ap-south-1")

    def test_without_regions_it_says_how(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 2
        assert "REGION" in capsys.readouterr().err
