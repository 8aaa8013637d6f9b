"""Quantiles of Student's t distribution, by the expansion of Abramowitz and Stegun (1964), 26.7.5.

From 4 degrees of freedom on the error is below half a per cent up to the quantile 0.995; scipy is 40 MB more.
"""

from __future__ import annotations

from statistics import NormalDist


def quantile(p: float, freedom: float) -> float:
    """The value that a t-distributed number stays below with probability p, for at least 3 degrees of freedom."""
    x = NormalDist().inv_cdf(p)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / freedom**power for power, term in enumerate(terms, 1))
