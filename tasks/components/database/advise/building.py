"""How an index is built without keeping writers waiting, where that can be told, and taken away again."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.components.database import partitions
from tasks.components.database.advise.case import Case, Row, ident, relation

GENTLY = "Create the index without blocking writers"
UNKNOWN = "Create the index in a quiet hour: it blocks writers, since the partitions of its table could not be read"


@dataclass(frozen=True)
class Building:
    """Statements in their order, what undoes them, and what to say of them; without the full stop."""

    summary: str
    commands: tuple[str, ...]
    rollback: tuple[str, ...]


def building(case: Case, table: Row, name: str, columns: str) -> Building:
    """An index of that name over `columns`, as SQL writes them.

    A partitioned table's index is that of each partition, built CONCURRENTLY and attached; it is dropped as a whole.
    """
    where, index = relation(table["schema"], table["name"]), relation(table["schema"], name)
    if table.get("kind") != "p":
        make = f"CREATE INDEX CONCURRENTLY {ident(name)} ON {where} ({columns});"
        return Building(GENTLY, (make,), (f"DROP INDEX CONCURRENTLY {index};",))
    whole, rollback = f"CREATE INDEX {ident(name)} ON {where} ({columns})", (f"DROP INDEX {index};",)
    parts = partitions.of_table(case.data.rows("partitions"), table["schema"], table["name"])
    if not parts:
        return Building(UNKNOWN, (f"{whole};",), rollback)
    return Building(GENTLY, tuple(f"{one};" for one in partitions.commands(whole, parts)), rollback)
