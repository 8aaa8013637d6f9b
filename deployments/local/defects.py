"""Defects planted in the embedded platform, which a good analysis must find: the single list of them.

`PLANTED` is what the documentation shows and what tests look for. What is planted by SQL is in `PLANT_STATEMENTS`,
run once when the data is prepared; indexes of the facts that are left out are in `WITHOUT_INDEX`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal[
    "foreign key without index",
    "filter and sort without index",
    "duplicate index",
    "redundant index",
    "unused index",
    "idle in transaction",
    "table in need of vacuum",
    "sequence near its end",
    "key family with a poor hit ratio",
]


class Defect(BaseModel):
    """One planted defect.

    `objects` are the names that a report must contain, `where` the table, session or key family that they belong to;
    `expected` is what a good analysis says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Kind
    where: str
    objects: tuple[str, ...]
    expected: str


IDLE_APPLICATION = "menu-planner-batch"
"""application_name of the session that stays idle in a transaction."""

POOR_KEY_FAMILY = "payment_analytics"
"""The key family that is asked for often and holds almost nothing."""

PLANTED: tuple[Defect, ...] = ()
WITHOUT_INDEX: tuple[str, ...] = ("orders_user_id_idx",)
PLANT_STATEMENTS: tuple[str, ...] = ()
