"""A workload taken apart: its statements, what they ask of tables, and their texts with values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tasks.components.database.advisor import fill
from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.source import Name
from tasks.components.database.advisor.statement import parse
from tasks.components.database.advisor.tree import UnparsableError
from tasks.components.database.advisor.uses import Parsed
from tasks.components.database.advisor.workload import Statement
from tasks.load.database.session import Session

_CATALOGUE = re.compile(r"\b(pg_catalog|information_schema)\.|\b(from|join)\s+pg_\w+", re.IGNORECASE)


@dataclass
class Case:
    """A workload taken apart."""

    catalog: Catalog
    statements: Sequence[Statement]
    parsed: dict[str, Parsed] = field(default_factory=dict)
    texts: dict[str, list[Filled]] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    """Statements of tools (pg_dump, monitors) that read PostgreSQL's own catalogues alone."""
    refused: dict[str, str] = field(default_factory=dict)
    """Statements that could not be read, and why."""

    @classmethod
    def of(cls, catalog: Catalog, statements: Sequence[Statement], session: Session) -> Case:
        """Take statements apart and give them values; raises NotMeasuredError."""
        case = cls(catalog, statements)
        for one in statements:
            try:
                parsed = parse(one.text, catalog)
            except UnparsableError as error:
                case.refused[one.id] = str(error)
                continue
            if parsed.uses:
                case.parsed[one.id] = parsed
            elif _CATALOGUE.search(one.text):
                case.aside.add(one.id)
        columns = fill.read(session, list(case.parsed.values()))
        for one in case.relevant:
            case.texts[one.id] = fill.filled(one.text, case.parsed[one.id], columns)
        return case

    @property
    def relevant(self) -> list[Statement]:
        """Statements that were parsed and use a table."""
        return [one for one in self.statements if one.id in self.parsed]

    @property
    def tables(self) -> list[Name]:
        """The tables that the workload uses."""
        return fill.tables_of(list(self.parsed.values()), self.catalog)

    @property
    def table_bytes(self) -> int:
        """Bytes of all tables that the workload uses."""
        return sum(self.catalog.tables[name].bytes for name in self.tables)

    def shown(self, statement: str) -> str:
        """A statement's text in one line."""
        return next((one.shown for one in self.statements if one.id == statement), statement)
