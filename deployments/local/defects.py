"""Defects planted in the embedded platform, which a good analysis must find: the single list of them.

`PLANTED` is what the documentation shows and what tests look for. What is planted by SQL is in `PLANT_STATEMENTS`,
run once when the data is prepared; indexes of the facts that are left out are in `WITHOUT_INDEX`. The defects of the
AWS side are listed in `deployments.local.aws.planted`.
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

    `where` is the table, session, sequence or key family; `objects` are the names that a report must contain besides;
    `expected` is what a good analysis says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Kind
    where: str
    objects: tuple[str, ...] = ()
    expected: str


IDLE_APPLICATION = "menu-planner-batch"
"""application_name of the session that stays idle in a transaction."""

POOR_KEY_FAMILY = "payment_analytics"
"""The key family that is asked for often and hardly ever hits; the application plants it (app/routes/payments.py)."""

WITHOUT_INDEX: tuple[str, ...] = ("orders_user_id_idx",)
"""Indexes of the facts that are not made: the order history then reads the whole table."""

VACUUM_TABLE = "notifications"
SEQUENCE = "invoice_number_seq"
SEQUENCE_VALUE = 2_011_000_000
"""Of 2,147,483,647: 93.6 %."""


def _without_index(table: str, column: str, referenced: str) -> Defect:
    return Defect(
        id=f"fk-{table}-{column}".replace("_", "-"),
        kind="foreign key without index",
        where=table,
        objects=(column, f"{table}_{column}_fkey"),
        expected=f"index {table} ({column}): a join from {referenced}, or a delete there, reads all of {table}",
    )


PLANTED: tuple[Defect, ...] = (
    _without_index("orders", "user_id", "users"),
    _without_index("payments", "order_id", "orders"),
    _without_index("payment_transactions", "payment_order_id", "payment_orders"),
    _without_index("auth_sessions", "user_id", "users"),
    _without_index("invoice_items", "invoice_id", "invoices"),
    _without_index("subscriptions", "user_id", "users"),
    Defect(
        id="sort-orders",
        kind="filter and sort without index",
        where="orders",
        objects=("user_id", "created_at"),
        expected="index orders (user_id, created_at DESC): one user's order history reads all 220,000 rows",
    ),
    Defect(
        id="sort-payment-orders",
        kind="filter and sort without index",
        where="payment_orders",
        objects=("user_id", "created_at"),
        expected="index payment_orders (user_id, created_at DESC): one user's payments read all 60,000 rows",
    ),
    Defect(
        id="duplicate-order-items",
        kind="duplicate index",
        where="order_items",
        objects=("order_items_order_id_idx", "order_items_order_lookup_idx"),
        expected="drop order_items_order_lookup_idx: order_items_order_id_idx covers the same column",
    ),
    Defect(
        id="duplicate-users-email",
        kind="duplicate index",
        where="users",
        objects=("users_email_idx", "users_email_key"),
        expected="drop users_email_idx: the unique users_email_key covers the same column",
    ),
    Defect(
        id="redundant-payments-user",
        kind="redundant index",
        where="payments",
        objects=("payments_user_id_idx", "payments_user_id_created_at_idx"),
        expected="drop payments_user_id_idx: it is a prefix of payments_user_id_created_at_idx",
    ),
    Defect(
        id="redundant-student-parents",
        kind="redundant index",
        where="student_parents",
        objects=("student_parents_student_id_idx", "student_parents_student_id_parent_id_key"),
        expected="drop student_parents_student_id_idx: it is a prefix of the unique key",
    ),
    Defect(
        id="unused-order-items",
        kind="unused index",
        where="order_items",
        objects=("order_items_reporting_idx",),
        expected="drop order_items_reporting_idx: no statement has used it, every insert pays for it",
    ),
    Defect(
        id="idle-in-transaction",
        kind="idle in transaction",
        where=IDLE_APPLICATION,
        objects=("menu_plans",),
        expected=f"session {IDLE_APPLICATION} holds a transaction open and does nothing: it holds back vacuum",
    ),
    Defect(
        id="vacuum-notifications",
        kind="table in need of vacuum",
        where=VACUUM_TABLE,
        objects=("autovacuum_enabled",),
        expected="vacuum notifications and let autovacuum run there: 43 % of its rows are dead",
    ),
    Defect(
        id="sequence-invoice-number",
        kind="sequence near its end",
        where=SEQUENCE,
        expected=f"alter {SEQUENCE} to bigint: 94 % of its integer range is used up",
    ),
    Defect(
        id="cache-payment-analytics",
        kind="key family with a poor hit ratio",
        where=POOR_KEY_FAMILY,
        objects=("payment_analytics:{period}:{schoolId}:{startMs}",),
        expected="its keys hold the very second at which the window starts, so almost every lookup misses: round it",
    ),
)

PLANT_STATEMENTS: tuple[str, ...] = (
    "CREATE INDEX order_items_order_lookup_idx ON order_items (order_id)",
    "CREATE INDEX payments_user_id_created_at_idx ON payments (user_id, created_at)",
    "CREATE INDEX order_items_reporting_idx ON order_items (created_at, unit_price, quantity)",
    f"CREATE SEQUENCE {SEQUENCE} AS integer START 1000000000",
    f"SELECT setval('{SEQUENCE}', {SEQUENCE_VALUE})",
    f"ALTER TABLE {VACUUM_TABLE} SET (autovacuum_enabled = false)",
    # Pages are full, so each new version goes to another page: no pruning can remove the old ones, only vacuum.
    "UPDATE notifications SET updated_at = updated_at WHERE (data::json ->> 'order')::integer > 15000",
    f"ANALYZE {VACUUM_TABLE}",
)
