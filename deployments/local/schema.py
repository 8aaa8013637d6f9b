"""The 42 tables of the meal platform as SQL, generated from `facts/schema.json`.

Loading is fast because a table is made bare, filled, and only then given its keys, indexes and foreign keys: each
step is a list of statements of its own.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

FACTS = Path(__file__).parent / "facts" / "schema.json"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Fact):
    """A column; `client_default` is filled by the application, never by the database."""

    name: str
    type: str
    nullable: bool
    default: str | None
    client_default: str | None


class Index(_Fact):
    """An index over plain columns, in their order."""

    name: str
    columns: tuple[str, ...]
    unique: bool = False


class ForeignKey(_Fact):
    """A reference to another table; `on_update` is CASCADE throughout, as the platform's migrations write it."""

    columns: tuple[str, ...]
    ref_table: str
    ref_columns: tuple[str, ...]
    on_delete: str


class Table(_Fact):
    """One table with its keys and indexes; `model` is the application's name for it."""

    model: str
    name: str = Field(alias="table")
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    indexes: tuple[Index, ...]
    foreign_keys: tuple[ForeignKey, ...]


@cache
def tables() -> tuple[Table, ...]:
    """All tables in the order of the facts file."""
    return tuple(Table.model_validate(item) for item in json.loads(FACTS.read_text())["schema"])


def create_table(table: Table) -> str:
    """CREATE TABLE with columns, types, NOT NULL and defaults, and nothing else yet."""
    return f"CREATE TABLE {_quoted(table.name)} ({', '.join(_column(column) for column in table.columns)})"


def create_keys(table: Table) -> tuple[str, ...]:
    """The primary key, then every index of the facts."""
    primary = (
        f"ALTER TABLE {_quoted(table.name)} ADD CONSTRAINT {_quoted(table.name + '_pkey')} "
        f"PRIMARY KEY ({_list(table.primary_key)})"
    )
    return (primary, *(create_index(table.name, index) for index in table.indexes))


def create_index(table: str, index: Index) -> str:
    """CREATE INDEX for one index."""
    unique = "UNIQUE " if index.unique else ""
    return f"CREATE {unique}INDEX {_quoted(index.name)} ON {_quoted(table)} ({_list(index.columns)})"


def add_foreign_keys(table: Table) -> tuple[str, ...]:
    """Foreign keys, not yet validated: that takes only a short lock on both tables."""
    return tuple(
        f"ALTER TABLE {_quoted(table.name)} ADD CONSTRAINT {_quoted(foreign_key_name(table, key))} "
        f"FOREIGN KEY ({_list(key.columns)}) REFERENCES {_quoted(key.ref_table)} ({_list(key.ref_columns)}) "
        f"ON DELETE {key.on_delete} ON UPDATE CASCADE NOT VALID"
        for key in table.foreign_keys
    )


def validate_foreign_keys(table: Table) -> tuple[str, ...]:
    """Statements that check every row against each foreign key of the table."""
    return tuple(
        f"ALTER TABLE {_quoted(table.name)} VALIDATE CONSTRAINT {_quoted(foreign_key_name(table, key))}"
        for key in table.foreign_keys
    )


def foreign_key_name(table: Table, key: ForeignKey) -> str:
    """The constraint's name: table, columns, `fkey`."""
    return f"{table.name}_{'_'.join(key.columns)}_fkey"


def _column(column: Column) -> str:
    null = "" if column.nullable else " NOT NULL"
    default = "" if column.default is None else f" DEFAULT {column.default}"
    return f"{_quoted(column.name)} {column.type}{null}{default}"


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
