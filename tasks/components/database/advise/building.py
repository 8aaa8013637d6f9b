"""The statements that build an index without keeping writers waiting, and the one that takes it away again."""

from __future__ import annotations

from tasks.components.database import partitions
from tasks.components.database.advise.case import Case, Row, ident, relation


def commands(case: Case, table: Row, name: str, columns: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """For an index of that name over `columns`, as SQL writes them: what to run in order, and how it is undone.

    A partitioned table's index is that of each partition, built CONCURRENTLY and attached; it is dropped as a whole.
    """
    where, index = relation(table["schema"], table["name"]), relation(table["schema"], name)
    if table.get("kind") != "p":
        return (
            (f"CREATE INDEX CONCURRENTLY {ident(name)} ON {where} ({columns});",),
            (f"DROP INDEX CONCURRENTLY {index};",),
        )
    of_table = (table["schema"], table["name"])
    parts = [
        partitions.Partition.of(row)
        for row in case.data.rows("partitions")
        if (row["root_schema"], row["root"]) == of_table
    ]
    statements = partitions.commands(f"CREATE INDEX {ident(name)} ON {where} ({columns})", parts)
    return tuple(f"{one};" for one in statements), (f"DROP INDEX {index};",)
