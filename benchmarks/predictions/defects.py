"""Missing indexes of the embedded platform, each planted by a read that needs one which is not there."""

from __future__ import annotations

LATEST = (
    ("orders", "order_date"),
    ("orders", "delivered_at"),
    ("orders", "updated_at"),
    ("order_items", "updated_at"),
    ("delivery_verifications", "created_at"),
    ("delivery_verifications", "updated_at"),
    ("payments", "paid_at"),
    ("payments", "updated_at"),
    ("notifications", "sent_at"),
    ("notifications", "created_at"),
    ("payment_orders", "created_at"),
    ("payment_orders", "expires_at"),
    ("payment_transactions", "captured_at"),
    ("users", "last_login_at"),
    ("rfid_cards", "last_used_at"),
)
"""The newest rows by a column that no index serves."""

FROM = (
    ("payments", "razorpay_order_id", "order_"),
    ("payments", "order_id", "00000008-0000-4000-8000-000000100000"),
    ("payment_orders", "order_id", "00000008-0000-4000-8000-000000100000"),
    ("audit_logs", "ip_address", "10."),
    ("audit_logs", "entity_id", "0000"),
    ("users", "phone", "+91"),
    ("payment_transactions", "payment_order_id", "0000"),
    ("invoice_items", "invoice_id", "0000"),
)
"""The next rows from a value on, in the order of a column that no index serves."""

EQUAL = (
    ("orders", "user_id", "userId"),
    ("payment_orders", "user_id", "userId"),
    ("orders", "total_amount", "amount"),
)
"""The rows of one value of a column that no index serves."""


def reads() -> dict[str, str]:
    """Every read by name: `table.column`."""
    made = {
        f"{table}.{column}": f"SELECT id, {column} FROM {table} ORDER BY {column} DESC LIMIT 10"
        for table, column in LATEST
    }
    made |= {
        f"{table}.{column}": f"SELECT id, {column} FROM {table} WHERE {column} >= '{low}' ORDER BY {column} LIMIT 10"
        for table, column, low in FROM
    }
    cast = {"amount": "::float", "userId": ""}
    return made | {
        f"{table}.{column}": f"SELECT id, {column} FROM {table} WHERE {column} = %({value})s{cast[value]} LIMIT 20"
        for table, column, value in EQUAL
    }


def toml(source: str) -> str:
    """The development environment's text with these reads in place of its own."""
    start = source.index("[[database.statements]]")
    end = source.index("[database.changes]")
    blocks = [f'[[database.statements]]\nname = "{name}"\nsql = """{sql}"""\n' for name, sql in reads().items()]
    values = 'amount = { template = "{n}", first = 50, last = 400 }\n'
    head = source[:start].replace("read_rate = 10", "read_rate = 8\ntop = 60")
    return f"{head.rstrip()}\n{values}\n{''.join(blocks)}\n{source[end:]}"
