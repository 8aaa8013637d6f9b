"""The names that one query block sees: its relations, those of the blocks around it, and common table expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.components.database.advisor.tree import inner, kind, parts, type_name, walk
from tasks.components.database.advisor.uses import Use

_RELABELS = frozenset({"text", "varchar"})

Column = tuple[Use, str]
"""A table in a block, and a column of it."""


@dataclass(frozen=True, slots=True)
class Derived:
    """What a subquery gives: the names of its columns, and of those that are a table's column as it is, which."""

    names: frozenset[str] = frozenset()
    columns: Mapping[str, Column] = field(default_factory=dict)


@dataclass(slots=True)
class Relation:
    """A relation of a block: a table (`use`) or something derived, and the names of its columns."""

    alias: str
    use: Use | None
    names: frozenset[str]
    derived: Mapping[str, Column] = field(default_factory=dict)

    def column(self, name: str) -> Column | None:
        """The table's column behind a name; None where it is an expression, or not known."""
        if self.use is None:
            return self.derived.get(name)
        return (self.use, name) if name in self.names else None


@dataclass(slots=True)
class Scope:
    """The relations of a block, and the block around it."""

    outer: Scope | None
    tables: dict[str, Derived]
    relations: list[Relation] = field(default_factory=list)

    def find(self, names: list[str]) -> tuple[Relation, str, bool] | None:
        """Whose column a reference names, and whether that is a relation of an outer block."""
        scope: Scope | None = self
        while scope is not None:
            for relation in scope.relations:
                if (len(names) > 1 and relation.alias == names[-2]) or (
                    len(names) == 1 and names[0] in relation.names
                ):
                    return relation, names[-1], scope is not self
            scope = scope.outer
        return None

    def own(self, node: Any) -> Column | None:
        """The table and column of this block that a node is, where it is one (a relabelling cast aside).

        A column of a subquery counts as the table's column that it is: the planner moves filters inwards.
        """
        node = inner(node)
        if kind(node) == "TypeCast" and type_name(node) in _RELABELS:
            node = inner(node.arg)
        if kind(node) != "ColumnRef":
            return None
        found = self.find(parts(node))
        return None if found is None or found[2] else found[0].column(found[1])

    def knows_before(self, node: Any) -> bool:
        """Whether a value does not depend on this block's relations: constants, parameters, outer columns."""
        for reference in walk(node):
            if kind(reference) == "ColumnRef":
                found = self.find(parts(reference))
                if found is None or not found[2]:
                    return False
        return True
