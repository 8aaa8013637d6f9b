"""The tables of the embedded platform against the totals that the facts file states of itself."""

from __future__ import annotations

import json

from deployments.local import schema

FACTS = json.loads(schema.FACTS.read_text())


def test_every_table_column_index_and_foreign_key_of_the_facts_is_made() -> None:
    tables = schema.tables()
    assert len(tables) == FACTS["tables"] == 42
    assert sum(len(table.columns) for table in tables) == FACTS["columns"] == 642
    assert sum(len(table.indexes) for table in tables) == FACTS["indexes"] == 109
    assert sum(len(schema.add_foreign_keys(table)) for table in tables) == FACTS["foreign_keys"] == 61
    assert sum(len(schema.create_keys(table)) for table in tables) == 42 + 109


def test_a_table_is_written_with_types_nulls_and_defaults() -> None:
    role = next(table for table in schema.tables() if table.name == "roles")
    assert schema.create_table(role) == (
        'CREATE TABLE "roles" ("id" TEXT NOT NULL, "name" TEXT NOT NULL, "description" TEXT, '
        '"permissions" TEXT NOT NULL DEFAULT \'[]\', "is_active" BOOLEAN NOT NULL DEFAULT true, '
        '"created_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, '
        '"updated_at" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP)'
    )
    assert schema.create_keys(role) == (
        'ALTER TABLE "roles" ADD CONSTRAINT "roles_pkey" PRIMARY KEY ("id")',
        'CREATE UNIQUE INDEX "roles_name_key" ON "roles" ("name")',
    )


def test_a_column_of_capitals_keeps_them() -> None:
    reports = next(table for table in schema.tables() if table.name == "analytics_reports")
    assert '"dateRange" TEXT NOT NULL' in schema.create_table(reports)


def test_a_foreign_key_names_what_happens_to_its_rows() -> None:
    items = next(table for table in schema.tables() if table.name == "order_items")
    assert schema.add_foreign_keys(items)[0] == (
        'ALTER TABLE "order_items" ADD CONSTRAINT "order_items_order_id_fkey" FOREIGN KEY ("order_id") '
        'REFERENCES "orders" ("id") ON DELETE CASCADE ON UPDATE CASCADE NOT VALID'
    )
