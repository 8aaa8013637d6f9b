"""Reads a plan, the JSON of `hasivu-perf advise --json`, and takes nothing from it but indexes to build or remove.

Each statement is parsed by libpg_query, held against a list of what may stand in it, and written anew: what runs is
what was understood, never the text of the file. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import postgast
from google.protobuf.message import DecodeError

from storage.errors import ConfigurationError
from tasks.components.database.advisor.records import OWN_PREFIX
from tasks.components.database.change.records import ChangePlan, Kind, Step

_METHODS = frozenset({"btree", "gin", "gist", "brin", "hash", "spgist"})
_CREATE_FIELDS = frozenset(
    {"idxname", "relation", "access_method", "index_params", "index_including_params", "options", "where_clause"}
)
_CREATE_FIELDS_DROPPED = frozenset({"concurrent"})
_OPTIONS = frozenset({"fillfactor", "pages_per_range", "fastupdate", "deduplicate_items", "autosummarize"})
_WHY = 200
_ATTACH = postgast.pg_query_pb2.AT_AttachPartition
SEPARATOR = ";\n"
"""Between the statements that make an index of a partitioned table."""
MOST_CHARACTERS, MOST_STATEMENT = 10_000_000, 4000
"""Of a file, and of a statement in it, of which a partitioned table has many: the
parser ends the process where expressions nest some ten thousand deep."""

_HOW = {
    "unique": "UNIQUE is a rule for the data, not a matter of speed: build it by hand",
    "if_not_exists": "IF NOT EXISTS may mean another index of that name: leave it out",
    "table_space": "TABLESPACE is the server's owner's choice: leave it out",
    "nulls_not_distinct": "NULLS NOT DISTINCT belongs to UNIQUE: leave it out",
}


class _RefusalError(Exception):
    """Why a statement is not taken."""


@dataclass(frozen=True)
class Allowed:
    """What a plan may ask for: tables as schema.table, whether own indexes may be removed, how many steps."""

    tables: Collection[str]
    drop: bool = False
    most: int = 20


def read(content: str, where: str, allowed: Allowed) -> ChangePlan:
    """The plan; a `ConfigurationError` (exit code 2) holds every problem with its place in the file."""
    if len(content) > MOST_CHARACTERS:
        raise ConfigurationError([f"{where}: {len(content)} characters, {MOST_CHARACTERS} are taken: split the plan"])
    try:
        data = json.loads(content)
    except RecursionError:
        raise ConfigurationError([f"{where}: nested too deeply for a plan"]) from None
    except ValueError as error:
        raise ConfigurationError([f"{where}: not JSON: {error}"]) from None
    return of(data, where, allowed)


def of(data: Any, where: str, allowed: Allowed) -> ChangePlan:
    """The same of JSON that was read already."""
    rows = data.get("recommendations") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise ConfigurationError(
            [f"{where}: no list `recommendations`: take what `hasivu-perf advise --json` prints"]
        )
    steps, problems = [], []
    for number, row in enumerate(rows):
        place = f"recommendations[{number}]"
        try:
            steps.append(_step(row, place, allowed))
        except _RefusalError as error:
            problems.append(f"{where}: {place}{error}")
    problems += [f"{where}: {text}" for text in _together(steps, allowed)]
    made = ChangePlan(steps=tuple(steps), fingerprint=fingerprint(steps))
    named = data.get("fingerprint")
    if named is not None and named != made.fingerprint:
        problems.append(f"{where}: fingerprint: it is {made.fingerprint}: the plan was changed after it was named")
    if problems:
        raise ConfigurationError(problems)
    return made


def fingerprint(steps: Collection[Step]) -> str:
    """SHA-256 over what the steps run and what takes them back, in their order."""
    content = json.dumps([[step.sql, step.undo] for step in steps], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def shape(definition: str) -> str:
    """A CREATE INDEX statement without the index's name and without CONCURRENTLY: the same for the same index."""
    tree: Any = postgast.parse(definition)
    node = tree.stmts[0].stmt.index_stmt
    node.idxname = "i"
    node.concurrent = False
    return str(postgast.deparse(tree))


def anywhere(definition: str) -> str:
    """The same without its table: what an index of a partition shares with that of the whole table."""
    tree: Any = postgast.parse(shape(definition))
    relation = tree.stmts[0].stmt.index_stmt.relation
    relation.schemaname, relation.relname, relation.inh = "s", "t", True
    return str(postgast.deparse(tree))


def _together(steps: Collection[Step], allowed: Allowed) -> Iterator[str]:
    if len(steps) > allowed.most:
        yield f"{len(steps)} changes, {allowed.most} a run are allowed (max_builds): split the plan"
    seen: dict[tuple[str, str], str] = {}
    for step in steps:
        first = seen.setdefault((step.schema_name, step.name), step.place)
        if first != step.place:
            yield f"{step.place}: index {step.name} stands in {first} already"


def _step(row: Any, place: str, allowed: Allowed) -> Step:
    if not isinstance(row, dict):
        raise _RefusalError(": not an object with `sql` and `drop`")
    texts = {}
    for name in ("sql", "drop"):
        if not isinstance(row.get(name), str):
            raise _RefusalError(f".{name}: no text: `sql` says what to do, `drop` what takes it back")
        texts[name] = _first(row[name], name)
    kinds = {name: _kind(text, name) for name, text in texts.items()}
    if kinds["sql"] is kinds["drop"]:
        raise _RefusalError(f".drop: it does not take `sql` back: both {kinds['sql'].value} an index")
    if kinds["sql"] is Kind.DROP and not allowed.drop:
        raise _RefusalError(".sql: removes an index: say --allow-drop, or leave it out")
    created = "sql" if kinds["sql"] is Kind.CREATE else "drop"
    removed = "drop" if created == "sql" else "sql"
    made = _created(texts[created], f".{created}")
    schema, name = _removed(texts[removed], f".{removed}")
    if (schema or made["schema_name"], name) != (made["schema_name"], made["name"]):
        raise _RefusalError(f".{removed}: it removes {name}, not {made['schema_name']}.{made['name']}")
    table = f"{made['schema_name']}.{made['table']}"
    if table not in allowed.tables:
        raise _RefusalError(
            f".{created}: table {table} may not be changed: [database.changes] tables does not name it"
        )
    drop = _drop_statement(made["schema_name"], made["name"], concurrently=not made["partitioned"])
    pair = (made.pop("statement"), drop)
    sql, undo = pair if kinds["sql"] is Kind.CREATE else pair[::-1]
    return Step(kind=kinds["sql"], sql=sql, undo=undo, place=place, why=_why(row), **made)


def _first(text: str, name: str) -> str:
    """The one statement; of the sequence for a partitioned table the first, from which all others follow."""
    first, *others = text.strip().removesuffix(";").split(SEPARATOR)
    for statement in (first, *others):
        _readable(statement, name)
    if others:
        shapes = {_part_shape(statement, name) for statement in others} - {None}
        whole = _part_shape(first, name)
        relation = _statement(first, name).stmts[0].stmt.index_stmt.relation
        if whole is None or relation.inh or shapes - {whole}:
            raise _RefusalError(
                f".{name}: {len(others) + 1} statements that are not one index of a partitioned table"
            )
    return first


def _part_shape(statement: str, where: str) -> str | None:
    """An index as it is on any table; None for what attaches one to another."""
    node = _statement(statement, where).stmts[0].stmt
    match node.WhichOneof("node"):
        case "index_stmt":
            return anywhere(statement)
        case "alter_table_stmt" if [item.alter_table_cmd.subtype for item in node.alter_table_stmt.cmds] == [_ATTACH]:
            return None
    raise _RefusalError(f".{where}: beside CREATE INDEX only ALTER INDEX … ATTACH PARTITION is taken")


def _readable(text: str, name: str) -> None:
    """Refuse what the parser could not read to its end: it stops at a NUL, and breaks on what is no text."""
    if len(text) > MOST_STATEMENT:
        raise _RefusalError(f".{name}: {len(text)} characters, {MOST_STATEMENT} are taken")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _RefusalError(f".{name}: a NUL, or half a surrogate pair: write plain text")


def _why(row: Mapping[str, Any]) -> str:
    """The advice's own reason in one line; whoever wrote the file may have written anything."""
    evidence = row.get("evidence")
    reason = evidence.get("reason") if isinstance(evidence, dict) else None
    line = " ".join(reason.replace("`", "'").split()) if isinstance(reason, str) else ""
    return "".join(letter for letter in line if letter.isprintable())[:_WHY]


def _statement(text: str, where: str) -> Any:
    try:
        tree: Any = postgast.parse(text)
    except postgast.PgQueryError as error:
        raise _RefusalError(f".{where}: {error.args[0] if error.args else 'not SQL'}") from None
    except DecodeError:
        raise _RefusalError(f".{where}: its expressions are nested too deeply") from None
    if len(tree.stmts) != 1:
        raise _RefusalError(f".{where}: {len(tree.stmts)} statements, one is wanted")
    return tree


def _kind(text: str, where: str) -> Kind:
    node = _statement(text, where).stmts[0].stmt
    match node.WhichOneof("node"):
        case "index_stmt":
            return Kind.CREATE
        case "drop_stmt" if postgast.deparse(postgast.parse(text)).startswith("DROP INDEX "):
            return Kind.DROP
    raise _RefusalError(f".{where}: only CREATE INDEX and DROP INDEX are taken")


def _created(text: str, where: str) -> dict[str, Any]:
    """What a CREATE INDEX says, and the statement written anew, CONCURRENTLY."""
    tree = _statement(text, where)
    node = tree.stmts[0].stmt.index_stmt
    _known_fields(node, where)
    relation = node.relation
    if not relation.schemaname or relation.catalogname:
        raise _RefusalError(f"{where}: table {relation.relname} stands without its schema: write schema.table")
    _own_name(node.idxname, where)
    if node.access_method not in _METHODS:
        raise _RefusalError(f"{where}: access method {node.access_method} is unknown")
    keys = [item.index_elem for item in node.index_params]
    node.concurrent = relation.inh
    return {
        "schema_name": relation.schemaname,
        "table": relation.relname,
        "name": node.idxname,
        "method": node.access_method,
        "columns": tuple(key.name for key in keys if key.name),
        "include": tuple(item.index_elem.name for item in node.index_including_params),
        "expression": any(not key.name for key in keys),
        "partitioned": not relation.inh,
        "statement": str(postgast.deparse(tree)),
    }


def _known_fields(node: Any, where: str) -> None:
    """Refuse whatever stands in the statement and is not on the list."""
    given = {descriptor.name for descriptor, _ in node.ListFields()}
    unknown = sorted(given - _CREATE_FIELDS - _CREATE_FIELDS_DROPPED)
    if unknown:
        raise _RefusalError(f"{where}: {_HOW.get(unknown[0], f'{unknown[0]} is not taken')}")
    options = {item.def_elem.defname for item in node.options}
    if options - _OPTIONS:
        raise _RefusalError(f"{where}: storage parameter {min(options - _OPTIONS)} is not taken")


def _own_name(name: str, where: str) -> None:
    if not name.isprintable():
        raise _RefusalError(f"{where}: the index's name holds characters that cannot be shown")
    if not name.startswith(OWN_PREFIX):
        raise _RefusalError(
            f"{where}: index {name or 'without a name'} is not ours: its name begins with {OWN_PREFIX}"
        )


def _removed(text: str, where: str) -> tuple[str, str]:
    """Schema (may be empty) and name of the one index that a DROP INDEX removes."""
    node = _statement(text, where).stmts[0].stmt.drop_stmt
    objects = [[item.string.sval for item in one.list.items] for one in node.objects]
    if len(objects) != 1 or len(objects[0]) > 2:  # noqa: PLR2004 - schema and name
        raise _RefusalError(f"{where}: one index as schema.name is wanted")
    if "CASCADE" in postgast.deparse(postgast.parse(text)).split():
        raise _RefusalError(f"{where}: CASCADE is not taken")
    *schema, name = objects[0]
    _own_name(name, where)
    return (schema[0] if schema else ""), name


def _drop_statement(schema: str, name: str, *, concurrently: bool) -> str:
    tree: Any = postgast.parse(f"DROP INDEX {'CONCURRENTLY ' if concurrently else ''}IF EXISTS s.n")
    first, second = tree.stmts[0].stmt.drop_stmt.objects[0].list.items
    first.string.sval, second.string.sval = schema, name
    return str(postgast.deparse(tree))


def shown(plan: ChangePlan) -> str:
    """The plan as a person reads it before approving."""
    lines = [f"plan {plan.fingerprint}"]
    for number, step in enumerate(plan.steps, start=1):
        lines += [f"{number}. {step.sql};", f"   undo: {step.undo};"]
        lines += ["   and for each partition the same CONCURRENTLY, then attached to it"] if step.partitioned else []
        lines += [f"   the plan says: {step.why}"] if step.why else []
    return "\n".join(lines if plan.steps else [*lines, "no changes: only what earlier runs left is ended"])
