"""What every record is made of: the base class, units, windows and the types of fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1
"""Version of every record here; a reader refuses a newer one by name."""

_METRIC = re.compile(r"^[a-z]+(\.[a-z0-9_]+){1,2}$")


def _is_metric(name: str) -> str:
    if not _METRIC.match(name):
        msg = f"metric name {name!r} is not component.subject.statistic"
        raise ValueError(msg)
    return name


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


MetricName = Annotated[str, AfterValidator(_is_metric)]

Utc = Annotated[AwareDatetime, AfterValidator(_utc)]

Finite = Annotated[float, Field(allow_inf_nan=False)]

Count = Annotated[int, Field(ge=0)]

Ratio = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Base of all records: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ComponentId(StrEnum):
    """The six parts of the platform that are measured."""

    DATABASE = "database"
    LAMBDA = "lambda"
    API = "api"
    WEBSOCKET = "websocket"
    CACHE = "cache"
    RFID = "rfid"


class Unit(StrEnum):
    """The unit of a value."""

    MS = "ms"
    RATIO = "ratio"
    PER_SECOND = "per_second"
    COUNT = "count"
    BYTES = "bytes"
    MB = "MB"
    USD_PER_MONTH = "usd_per_month"
    USD = "usd"
    SCORE = "score"


class Window(Record):
    """The stretch of time that a number speaks of."""

    start: Utc
    end: Utc

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end < self.start:
            msg = f"window ends ({self.end}) before it starts ({self.start})"
            raise ValueError(msg)
        return self

    @property
    def seconds(self) -> float:
        """Length of the window in seconds."""
        return (self.end - self.start).total_seconds()
