"""A small catalogue for tests of the advisor's pure parts."""

from __future__ import annotations

from tasks.components.database.advisor.catalog import Catalog, Column, Existing, Table


def column(name: str, kind: str = "bigint", *, distinct: float = 1e5, width: int = 8, nulls: float = 0.0) -> Column:
    return Column(
        name, kind, not_null=True, width=width, nulls=nulls, distinct=distinct, correlation=0.1, commonest=0
    )


def existing(name: str, *keys: str, unique: bool = False, constraint: bool = False, size: int = 1000) -> Existing:
    return Existing(
        name,
        keys,
        (),
        "btree",
        None,
        unique,
        constraint,
        valid=True,
        bytes=size,
        scans=0,
        definition=f"CREATE INDEX {name}",
    )


def catalog() -> Catalog:
    orders = {
        "id": column("id", distinct=1e6),
        "user_id": column("user_id", distinct=5e4),
        "vendor_id": column("vendor_id", distinct=50),
        "status": column("status", "text", distinct=10, width=6),
        "created_at": column("created_at", "timestamp with time zone", distinct=9e5),
        "total": column("total", "numeric"),
        "email": column("email", "text", width=24),
        "data": column("data", "jsonb", width=200),
        "note": column("note", "text", width=700),
        "deleted_at": column("deleted_at", "timestamp with time zone", nulls=0.05),
    }
    items = {name: column(name) for name in ("id", "order_id", "sku", "quantity", "price")}
    users = {
        "id": column("id"),
        "name": column("name", "text", width=20),
        "city": column("city", "text", distinct=90),
    }
    tables = [
        Table(
            "public", "orders", 1e6, 2 * 10**8, orders, (existing("orders_pkey", "id", unique=True, constraint=True),)
        ),
        Table("public", "items", 4e6, 3 * 10**8, items),
        Table("public", "users", 1e5, 10**7, users, (existing("users_pkey", "id", unique=True, constraint=True),)),
    ]
    return Catalog(
        {one.full_name: one for one in tables}, ("public",), frozenset(), {one.name: one for one in tables}
    )
