"""A workload taken apart: its statements, what they ask of tables, and their texts with values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from tasks.components.database.advisor import fill
from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.records import PlanError
from tasks.components.database.advisor.sample import Draw, draws
from tasks.components.database.advisor.source import Name
from tasks.components.database.advisor.statement import parse
from tasks.components.database.advisor.tree import UnparsableError
from tasks.components.database.advisor.typing_by_place import typed
from tasks.components.database.advisor.uses import Parsed
from tasks.components.database.advisor.values import Columns
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
    columns: Columns = field(default_factory=dict)
    drawn: dict[str, list[dict[int, str]]] = field(default_factory=dict)
    """Rows of values that meet in the data, by parameter."""
    typed: dict[str, str] = field(default_factory=dict)
    """Texts without values, with casts where the server could not tell a parameter's type."""

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
        case.columns = fill.read(session, list(case.parsed.values()))
        for one in case.relevant:
            parsed = case.parsed[one.id]
            case.typed[one.id] = typed(one.text, fill.types_of(parsed, case.columns))
            case.texts[one.id] = case.filled(one)
        return case

    def draw(self, ask: Callable[[str], Sequence[Sequence[str | None]]], patience: Callable[[], bool]) -> None:
        """Give statements values that meet in the data: `ask` runs a query on it, and raises PlanError."""
        for one in sorted(self.relevant, key=lambda one: -one.total_ms):
            if not patience():
                return
            parsed = self.parsed[one.id]
            blocks = [_asked(query, ask) for query in draws(one.text, parsed.parameters, self.catalog)]
            rows = [dict(chain(*(row.items() for row in met))) for met in zip_longest(*blocks, fillvalue={})]
            if rows:
                self.drawn[one.id] = rows
                self.texts[one.id] = self.filled(one)

    def filled(self, one: Statement, variants: int = 3) -> list[Filled]:
        """A statement's text with so many sets of values, drawn ones where there are any."""
        rows = self.drawn.get(one.id, ())
        limit = max(fill.LIMIT, math.ceil(one.rows / one.calls)) if one.calls else fill.LIMIT
        return fill.filled(one.text, self.parsed[one.id], self.columns, variants=variants, drawn=rows, limit=limit)

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


def _asked(query: Draw, ask: Callable[[str], Sequence[Sequence[str | None]]]) -> list[dict[int, str]]:
    """The rows that a query drew; none where it cannot be asked, or takes too long even for few rows."""
    late = False
    for text in (*query.samples, query.whole):
        if text == query.whole and late:
            break
        try:
            rows = ask(text)
        except PlanError:
            late = True
            continue
        if rows:
            pairs = (zip(query.numbers, row, strict=True) for row in rows)
            return [{number: value for number, value in row if value is not None} for row in pairs]
    return []
