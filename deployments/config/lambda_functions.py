"""Which Lambda functions are looked at, and over which days."""

from __future__ import annotations

from pydantic import Field

from deployments.settings import Settings


class LambdaSettings(Settings):
    """Which functions are looked at, over which days; `critical` names those that serve lunch."""

    name_prefix: str = ""
    days: int = Field(default=14, ge=1, le=90)
    critical: tuple[str, ...] = ()
    not_critical: tuple[str, ...] = Field(default=(), description="functions that are not, whatever else says so")
    log_group: str = "/aws/lambda/{function}"
    max_log_events: int = Field(default=500_000, ge=1)
    school_hours: tuple[int, int] = (7, 16)
    timezone: str = "Asia/Kolkata"
    most_cold: float = Field(
        default=0.001, gt=0, lt=1, description="share of cold starts that is good enough for a critical function"
    )
    meals_function: str = Field(
        default="rfid-delivery-verification",
        description="function whose successful calls are meals served; empty: none",
    )
    meals_per_school_day: int | None = Field(
        default=None, ge=1, description="meals served on a school day, where no function counts them"
    )
