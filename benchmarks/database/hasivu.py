"""The platform's own tables with its application's statements and an operator's reports.

The data is that of the embedded platform: a school day of 60 schools, 109 indexes less the ones left out on purpose.
"""

from __future__ import annotations

from benchmarks.database.suite import Suite
from deployments.local.identity import key

USER, STUDENT, SCHOOL = key("user", 1234), key("student", 2345), key("school", 7)
ORDER, PAYMENT_ORDER, INVOICE = key("order", 4321), key("payment_order", 1717), key("invoice", 555)

STATEMENTS = {
    "order": f"""SELECT o.id, o.order_number, o.status, u.first_name, s.name FROM orders o
        JOIN users u ON u.id = o.student_id JOIN schools s ON s.id = o.school_id WHERE o.id = '{ORDER}'""",
    "order's items": f"""SELECT i.id, m.name, i.quantity FROM order_items i JOIN menu_items m ON m.id = i.menu_item_id
        WHERE i.order_id = '{ORDER}'""",
    "order history": f"""SELECT o.id, o.order_number, o.status, o.created_at, u.first_name FROM orders o
        JOIN users u ON u.id = o.student_id WHERE o.user_id = '{USER}' ORDER BY o.created_at DESC LIMIT 20""",
    "payment behaviour": f"""SELECT id, amount, status, order_id, created_at FROM payment_orders
        WHERE user_id = '{USER}' ORDER BY created_at DESC LIMIT 20""",
    "payment of order": f"""SELECT p.id, p.amount, p.status, p.paid_at FROM payments p WHERE p.order_id = '{ORDER}'
        ORDER BY p.created_at DESC""",
    "school's payments": f"""SELECT p.status, count(*), coalesce(sum(p.amount), 0) FROM payments p
        JOIN orders o ON o.id = p.order_id WHERE o.school_id = '{SCHOOL}'
        AND p.created_at >= (SELECT max(created_at) FROM payments) - interval '7 days' GROUP BY p.status""",
    "transactions": f"""SELECT t.id, t.status, t.created_at FROM payment_transactions t
        WHERE t.payment_order_id = '{PAYMENT_ORDER}'""",
    "sessions": f"SELECT id, created_at FROM auth_sessions WHERE user_id = '{USER}'",
    "invoice lines": f"SELECT * FROM invoice_items WHERE invoice_id = '{INVOICE}'",
    "subscriptions": f"SELECT id, status FROM subscriptions WHERE user_id = '{USER}'",
    "unread": f"""SELECT id, title, created_at FROM notifications WHERE user_id = '{USER}' AND read_at IS NULL
        ORDER BY created_at DESC LIMIT 10""",
    "kitchen list": f"""SELECT m.name, sum(i.quantity) FROM orders o JOIN order_items i ON i.order_id = o.id
        JOIN menu_items m ON m.id = i.menu_item_id WHERE o.school_id = '{SCHOOL}'
        AND o.delivery_date >= (SELECT date_trunc('day', max(delivery_date)) FROM orders) GROUP BY m.name""",
    "failed payments": """SELECT user_id, count(*) FROM payments WHERE status = 'failed'
        AND failure_reason IS NOT NULL GROUP BY user_id ORDER BY 2 DESC LIMIT 20""",
    "served today": f"""SELECT count(*), max(v.verified_at) FROM delivery_verifications v JOIN orders o
        ON o.id = v.order_id WHERE o.school_id = '{SCHOOL}' AND v.status = 'verified'""",
    "audit trail": f"""SELECT action, created_at FROM audit_logs WHERE entity_type = 'order' AND entity_id = '{ORDER}'
        ORDER BY created_at DESC""",
    "mail in lower case": "SELECT id FROM users WHERE lower(email) = 'parent1234@example.com'",
    "best sellers": """SELECT menu_item_id, sum(quantity) FROM order_items GROUP BY 1 ORDER BY 2 DESC LIMIT 10""",
}


def build(_: str, __: str) -> None:
    """Nothing: the server starts with the embedded platform's prepared data."""


SUITE = Suite("hasivu", "the meal platform's 42 tables with their indexes", build, STATEMENTS)
