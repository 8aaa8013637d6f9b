"""The lambda component: cold starts, memory, errors, throttles and cost of the platform's functions."""

from __future__ import annotations

from tasks.components.lambda_functions.component import LAMBDA

__all__ = ["LAMBDA"]
