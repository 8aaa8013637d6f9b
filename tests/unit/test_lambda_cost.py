"""Dollars against worked examples: AWS's pricing page, and arithmetic done here from its published rates."""

from __future__ import annotations

import pytest

from tasks.components.lambda_functions.cost import Usage, analysis_cost, duration_cost, monthly_cost, prices


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


def test_an_unknown_region_is_not_priced() -> None:
    assert prices("eu-north-9") is None
    assert prices("us-east-1", "riscv") is None


def test_the_analysis_itself() -> None:
    assert analysis_cost(902, 0) == pytest.approx(0.00902)
    assert analysis_cost(0, 2e9) == pytest.approx(0.01)
