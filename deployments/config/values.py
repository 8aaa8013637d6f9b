"""Values that a load plan draws from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from pydantic import Field, model_validator

from deployments.settings import Settings


class ValueRange(Settings):
    """Values that a load plan draws from: `template` with `{n}` filled by a number from `first` to `last`.

    `{today}` in a template is the day in UTC, as 2026-03-02.

    Where `hot` > 1 the draw is skewed to small numbers: n = first + span · u^hot for uniform u, as a school's newest
    orders are asked for most.
    """

    template: str
    first: int = 1
    last: int = 1
    hot: float = Field(default=1.0, ge=1.0)

    @model_validator(mode="after")
    def _fills(self) -> Self:
        if self.last < self.first:
            msg = f"last {self.last} is below first {self.first}"
            raise ValueError(msg)
        try:
            self.value(self.first)
        except (KeyError, IndexError, ValueError) as error:
            msg = f"template {self.template!r} cannot be filled with n: {error}"
            raise ValueError(msg) from error
        return self

    def value(self, number: int) -> str:
        """The value for one number."""
        return self.template.format(n=number, today=datetime.now(UTC).date().isoformat())
