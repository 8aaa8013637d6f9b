"""How the embedded platform names its rows: deterministic keys that a load plan can address without looking.

A key is a version-4-shaped UUID whose first group is the kind's code and whose last group is the row's
number (from 1), so `key("order", 42)` is `00000008-0000-4000-8000-000000000042`. An environment file addresses
the same rows by the template `00000008-0000-4000-8000-{n:012d}`.
"""

from __future__ import annotations

SEED_VERSION = 1
"""Part of the cache key of the prepared data folder: raise it when the generated data changes."""

KINDS: dict[str, int] = {
    "school": 1,
    "user": 2,
    "student": 3,
    "menu_item": 4,
    "menu_plan": 5,
    "daily_menu": 6,
    "menu_item_slot": 7,
    "order": 8,
    "order_item": 9,
    "payment_order": 10,
    "payment": 11,
    "rfid_card": 12,
    "rfid_reader": 13,
    "delivery_verification": 14,
    "notification": 15,
    "audit_log": 16,
    "subscription": 17,
    "invoice": 18,
    "payment_transaction": 19,
    "whatsapp_message": 20,
    "student_parent": 21,
    "role": 22,
    "subscription_plan": 23,
}

ROWS: dict[str, int] = {
    "school": 60,
    "user": 20_000,  # parents and staff: users 1..20,000
    "student": 40_000,  # students are users too: their rows lie in `users` under the kind "student"
    "menu_item": 3_000,
    "menu_plan": 600,
    "daily_menu": 6_000,
    "menu_item_slot": 60_000,
    "order": 220_000,
    "order_item": 420_000,
    "payment_order": 60_000,
    "payment": 80_000,
    "rfid_card": 40_000,  # card n belongs to student n; its number is card_number(n)
    "rfid_reader": 180,
    "delivery_verification": 150_000,
    "notification": 60_000,
    "audit_log": 60_000,
    "subscription": 4_000,
    "invoice": 10_000,
    "payment_transaction": 30_000,
    "whatsapp_message": 10_000,
    "student_parent": 40_000,
    "role": 6,
    "subscription_plan": 5,
}
"""How many rows of each kind the seed holds; order 1 is the newest, so small numbers are the hot ones."""

TEST_CARDS = 500
"""Cards 1..500 are test cards: the only ones that a load test may present to a reader."""


def key(kind: str, number: int) -> str:
    """The primary key of row `number` (from 1) of `kind`."""
    return f"{KINDS[kind]:08x}-0000-4000-8000-{number:012d}"


def card_number(number: int) -> str:
    """The printed number of RFID card `number` (from 1), in the form `^RFID-[A-Z0-9-]+$`."""
    return f"RFID-{number:08d}"
