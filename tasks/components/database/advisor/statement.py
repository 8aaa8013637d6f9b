"""What a statement asks of each table: filters, joins, order, and the columns that it needs; by libpg_query. Pure.

`parse` takes the statement apart into `Use`s: one for each table in each query block (subqueries, CTEs and the arms
of a UNION are blocks of their own). The parser's own types stay in this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import postgast
from google.protobuf.message import Message

from tasks.components.database.advisor.catalog import Catalog, Table

EQUAL = frozenset({"="})
RANGES = frozenset({"<", "<=", ">", ">="})
CONTAINS = frozenset({"@>", "?", "?|", "?&", "&&", "@@", "@?"})
_LIKE = frozenset({"~~", "!~~", "~~*", "!~~*"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a `$n` is compared with: a column and the operator that stands between ("=", "<", ">", "~~" …)."""

    table: Table
    column: str
    operator: str
    expression: str | None = None
    """Where not the column itself is compared but an expression of it, e.g. lower(email): that."""


class UnparsableError(Exception):
    """A text that is no SQL statement; the message holds nothing of the text."""


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of an ORDER BY; `nulls_first` None is the order's default."""

    column: str
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(slots=True)
class Use:
    """What one query block asks of one table.

    `equal` maps columns that equal something known before the table is read to that as SQL where it is a literal
    (None otherwise); `joined` are columns that equal a column of another relation; `listed` equal one of several
    values; `contains` are columns under @>, &&, @@ and their like; `expressions` maps expressions that are filtered
    to "=" or "<". `sorts` is filled where the whole order is of this table, `groups` likewise. `either` holds columns
    filtered within an OR. `selected` are columns that the block needs, `star` marks all of them; `assigned` are those
    that an UPDATE sets.
    """

    table: Table
    equal: dict[str, str | None] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    joined: set[str] = field(default_factory=set)
    ranged: set[str] = field(default_factory=set)
    prefixed: set[str] = field(default_factory=set)
    infixed: set[str] = field(default_factory=set)
    contains: dict[str, str] = field(default_factory=dict)
    either: set[str] = field(default_factory=set)
    nulls: dict[str, str] = field(default_factory=dict)
    expressions: dict[str, str] = field(default_factory=dict)
    sorts: tuple[Sort, ...] = ()
    groups: tuple[str, ...] = ()
    extremes: set[str] = field(default_factory=set)
    selected: set[str] = field(default_factory=set)
    star: bool = False
    limited: bool = False
    written: bool = False
    assigned: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Relation:
    alias: str
    use: Use | None
    columns: frozenset[str]


@dataclass(slots=True)
class _Scope:
    """The relations of a block, and the block around it."""

    outer: _Scope | None
    tables: dict[str, frozenset[str]]
    relations: list[_Relation] = field(default_factory=list)

    def find(self, parts: list[str]) -> tuple[_Relation, str, bool] | None:
        """Whose column a reference names, and whether that is a relation of an outer block."""
        scope: _Scope | None = self
        while scope is not None:
            for relation in scope.relations:
                if (len(parts) > 1 and relation.alias == parts[-2]) or (
                    len(parts) == 1 and parts[0] in relation.columns
                ):
                    return relation, parts[-1], scope is not self
            scope = scope.outer
        return None


def tree_of(text: str) -> Message:
    """The parser's tree of one statement; raises UnparsableError."""
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError as error:
        raise UnparsableError(str(error.args[0]).split(" at ")[0] if error.args else "syntax error") from None
    if len(parsed.stmts) != 1:
        raise UnparsableError(f"{len(parsed.stmts)} statements in one text")
    tree: Message = parsed
    return tree


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement taken apart: what it asks of tables, and what its parameters are compared with, by number."""

    uses: tuple[Use, ...]
    parameters: Mapping[int, Parameter]


def parse(text: str, catalog: Catalog) -> Parsed:
    """The uses of the catalogue's tables in a statement; raises UnparsableError."""
    reader = _Reader(catalog)
    tree: Any = tree_of(text)
    reader.statement(inner(tree.stmts[0].stmt), None)
    return Parsed(tuple(reader.uses), reader.parameters)


def inner(node: Any) -> Any:
    """The message within a Node."""
    kind = node.WhichOneof("node") if type(node).__name__ == "Node" else None
    return getattr(node, kind) if kind else node


def _kind(node: Any) -> str:
    return type(node).__name__


class _Reader:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.uses: list[Use] = []
        self.parameters: dict[int, Parameter] = {}

    # --- blocks ---

    def statement(self, node: Any, outer: _Scope | None) -> None:
        """A whole statement or a subquery."""
        known = dict(outer.tables) if outer else {}
        scope = _Scope(outer, known)
        if _kind(node) in {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}:
            self._ctes(node, scope)
        match _kind(node):
            case "SelectStmt":
                self._select(node, scope)
            case "InsertStmt":
                self._target(node.relation, scope, written=True)
                self.statement(inner(node.select_stmt), scope)
            case "UpdateStmt" | "DeleteStmt":
                self._target(node.relation, scope, written=True)
                for item in node.from_clause if _kind(node) == "UpdateStmt" else node.using_clause:
                    self._from(inner(item), scope)
                for item in node.target_list if _kind(node) == "UpdateStmt" else ():
                    self._needs(inner(item).val, scope)
                    self._assigned(inner(item).name, scope)
                self._filter(inner(node.where_clause), scope)
            case "MergeStmt":
                self._target(node.relation, scope, written=True)
                self._from(inner(node.source_relation), scope)
                self._filter(inner(node.join_condition), scope)
            case "ExplainStmt" | "DeclareCursorStmt" | "CreateTableAsStmt" | "CopyStmt":
                if node.HasField("query"):
                    self.statement(inner(node.query), outer)

    def _assigned(self, column: str, scope: _Scope) -> None:
        target = scope.relations[0].use if scope.relations else None
        if target is not None:
            target.assigned.add(column)

    def _ctes(self, node: Any, scope: _Scope) -> None:
        for item in node.with_clause.ctes if node.HasField("with_clause") else ():
            cte = inner(item)
            scope.tables[cte.ctename] = frozenset(_names(cte.ctequery))
            self.statement(inner(cte.ctequery), scope)

    def _target(self, relation: Any, scope: _Scope, *, written: bool) -> None:
        self._table(relation, scope, written=written)

    def _select(self, node: Any, scope: _Scope) -> None:
        if node.HasField("larg"):  # UNION, INTERSECT, EXCEPT
            self.statement(node.larg, scope.outer if not scope.tables else scope)
            self.statement(node.rarg, scope.outer if not scope.tables else scope)
            return
        for item in node.from_clause:
            self._from(inner(item), scope)
        for item in node.target_list:
            self._selected(inner(item), scope)
        self._filter(inner(node.where_clause), scope)
        for part in (*node.group_clause, node.having_clause, *node.window_clause, *node.sort_clause):
            self._needs(part, scope)
        for part in node.values_lists:
            self._needs(part, scope)
        limited = node.HasField("limit_count")
        aggregated = len(node.group_clause) > 0
        self._order(node, scope, aggregated=aggregated)
        for relation in scope.relations:
            if relation.use is not None:
                relation.use.limited = limited and not aggregated

    def _from(self, node: Any, scope: _Scope) -> None:
        match _kind(node):
            case "RangeVar":
                self._table(node, scope)
            case "JoinExpr":
                self._from(inner(node.larg), scope)
                left = list(scope.relations)
                self._from(inner(node.rarg), scope)
                right = [one for one in scope.relations if one not in left]
                shared = [inner(item).sval for item in node.using_clause]
                if node.is_natural:
                    shared = [
                        name for one in left for name in one.columns if any(name in two.columns for two in right)
                    ]
                for name in shared:
                    for one in (*left, *right):
                        if one.use is not None and name in one.columns:
                            one.use.joined.add(name)
                            one.use.selected.add(name)
                self._filter(inner(node.quals), scope)
            case "RangeSubselect":
                self.statement(inner(node.subquery), scope)
                names = frozenset(_names(node.subquery))
                scope.relations.append(_Relation(node.alias.aliasname, None, names))
            case "RangeFunction":
                self._needs(node, scope)
                scope.relations.append(_Relation(node.alias.aliasname, None, frozenset()))
            case "RangeTableSample":
                self._from(inner(node.relation), scope)

    def _table(self, node: Any, scope: _Scope, *, written: bool = False) -> None:
        alias = node.alias.aliasname or node.relname
        if not node.schemaname and node.relname in scope.tables:
            scope.relations.append(_Relation(alias, None, scope.tables[node.relname]))
            return
        table = self._catalog.find(node.schemaname or None, node.relname)
        if table is None:
            scope.relations.append(_Relation(alias, None, frozenset()))
            return
        use = Use(table, written=written)
        self.uses.append(use)
        scope.relations.append(_Relation(alias, use, frozenset(table.columns)))

    # --- columns ---

    def _own(self, node: Any, scope: _Scope) -> tuple[Use, str] | None:
        """The table and column of this block that a node is, where it is one (a relabelling cast aside)."""
        node = inner(node)
        if _kind(node) == "TypeCast" and _type(node) in {"text", "varchar"}:
            node = inner(node.arg)
        if _kind(node) != "ColumnRef":
            return None
        found = scope.find(_parts(node))
        if found is None or found[2] or found[0].use is None or found[1] not in found[0].columns:
            return None
        return found[0].use, found[1]

    def _known_before(self, node: Any, scope: _Scope) -> bool:
        """Whether a value does not depend on this block's relations: constants, parameters, outer columns."""
        for reference in walk(node):
            if _kind(reference) == "ColumnRef":
                found = scope.find(_parts(reference))
                if found is None or not found[2]:
                    return False
        return True

    def _needs(self, node: Any, scope: _Scope) -> None:
        """Everything under a node: its columns are needed, its subqueries are blocks."""
        for one in walk(node, into_queries=False):
            if _kind(one) == "ColumnRef":
                self._refer(one, scope)
            elif _kind(one) == "SubLink":
                self.statement(inner(one.subselect), scope)
            elif _kind(one) == "FuncCall" and _name(one.funcname) in {"min", "max"} and len(one.args) == 1:
                own = self._own(one.args[0], scope)
                if own is not None:
                    own[0].extremes.add(own[1])

    def _refer(self, node: Any, scope: _Scope) -> None:
        if _kind(inner(node.fields[-1])) == "A_Star":
            alias = inner(node.fields[0]).sval if len(node.fields) > 1 else None
            for relation in scope.relations:
                if relation.use is not None and alias in (None, relation.alias):
                    relation.use.star = True
            return
        found = scope.find(_parts(node))
        if found is not None and found[0].use is not None and found[1] in found[0].columns:
            found[0].use.selected.add(found[1])

    def _selected(self, item: Any, scope: _Scope) -> None:
        self._needs(item.val, scope)

    # --- filters ---

    def _filter(self, node: Any, scope: _Scope) -> None:
        """A condition that every row must meet."""
        if _kind(node) == "BoolExpr" and node.boolop == _AND:
            for part in node.args:
                self._filter(inner(part), scope)
            return
        if _kind(node) == "Node":  # no condition
            return
        self._needs(node, scope)
        match _kind(node):
            case "A_Expr":
                self._comparison(node, scope)
            case "NullTest":
                self._null_test(node, scope)
            case "BoolExpr" if node.boolop == _OR:
                self._either(node, scope)
            case "BoolExpr":
                self._flag(node.args[0], "false", scope)
            case "ColumnRef":
                self._flag(node, "true", scope)
            case "SubLink":
                self._sublink(node, scope)

    def _flag(self, node: Any, value: str, scope: _Scope) -> None:
        """A boolean column that stands alone, or behind NOT."""
        own = self._own(node, scope)
        if own is not None:
            own[0].equal.setdefault(own[1], value)

    def _sublink(self, node: Any, scope: _Scope) -> None:
        """`x IN (SELECT …)`: x may be looked up for each row of the subquery."""
        if node.sub_link_type == _ANY_SUBLINK and node.HasField("testexpr"):
            own = self._own(node.testexpr, scope)
            if own is not None:
                own[0].joined.add(own[1])

    def _null_test(self, node: Any, scope: _Scope) -> None:
        own = self._own(node.arg, scope)
        if own is not None:
            own[0].nulls[own[1]] = "IS NULL" if node.nulltesttype == _IS_NULL else "IS NOT NULL"

    def _either(self, node: Any, scope: _Scope) -> None:
        """OR: each arm's columns are worth an index of their own (a bitmap OR)."""
        for part in node.args:
            for one in walk(part, into_queries=False):
                if _kind(one) == "A_Expr" and (own := self._own(one.lexpr, scope)) is not None:
                    own[0].either.add(own[1])

    def _comparison(self, node: Any, scope: _Scope) -> None:
        operator = _name(node.name)
        if node.kind == _BETWEEN:
            for bound, way in zip(inner(node.rexpr).items, (">", "<"), strict=False):
                self._side(node.lexpr, bound, way, scope)
            return
        if node.kind in (_IN, _ANY):
            if operator == "=" and self._known_before(node.rexpr, scope):
                self._listed(node.lexpr, node.rexpr, scope)
            return
        if node.kind in (_LIKE_KIND, _ILIKE_KIND):
            self._like(node, operator, scope)
            return
        if node.kind != _OP:
            return
        left, right = self._own(node.lexpr, scope), self._own(node.rexpr, scope)
        if left is not None and right is not None and left[0] is not right[0]:
            if operator == "=":
                left[0].joined.add(left[1])
                right[0].joined.add(right[1])
            return
        self._side(node.lexpr, node.rexpr, operator, scope)
        self._side(node.rexpr, node.lexpr, _MIRROR.get(operator, operator), scope)

    def _side(self, side: Any, other: Any, operator: str, scope: _Scope) -> None:
        """`side operator other`, where side may be a column or an expression of one table."""
        if not self._known_before(other, scope):
            self._joined_by_expression(side, operator, scope)
            return
        own = self._own(side, scope)
        if own is not None:
            self._compared(own, operator, other)
        if own is None:
            self._expression(side, operator, scope, other)
        elif operator == "=":
            own[0].equal[own[1]] = _literal(other)
        elif operator in RANGES:
            own[0].ranged.add(own[1])
        elif operator in CONTAINS:
            own[0].contains[own[1]] = operator

    def _compared(self, own: tuple[Use, str], operator: str, other: Any, expression: str | None = None) -> None:
        """Remember what the first parameters of a value are compared with; those of an interval are no such value."""
        for one in walk(other):
            if _kind(one) == "TypeCast" and _type(one) == "interval":
                return
            if _kind(one) == "ParamRef":
                self.parameters.setdefault(one.number, Parameter(own[0].table, own[1], operator, expression))

    def _joined_by_expression(self, side: Any, operator: str, scope: _Scope) -> None:
        """`column = f(other table)`: known once the other table's row is."""
        own = self._own(side, scope)
        if own is not None and operator == "=":
            own[0].joined.add(own[1])

    def _listed(self, side: Any, values: Any, scope: _Scope) -> None:
        own = self._own(side, scope)
        if own is not None:
            own[0].listed.add(own[1])
            self._compared(own, "=", values)
        else:
            self._expression(side, "=", scope)

    def _like(self, node: Any, operator: str, scope: _Scope) -> None:
        own = self._own(node.lexpr, scope)
        if own is None or operator not in ("~~", "~~*"):
            return
        self._compared(own, operator, node.rexpr)
        pattern = _constant(inner(node.rexpr))
        if operator == "~~" and not (pattern or "").startswith(("%", "_")):
            own[0].prefixed.add(own[1])
        else:
            own[0].infixed.add(own[1])

    def _expression(self, node: Any, operator: str, scope: _Scope, other: Any = None) -> None:
        """A filter on an expression of one table's columns, e.g. lower(email) or data ->> 'kind'."""
        node = inner(node)
        if _kind(node) not in {"FuncCall", "A_Expr"} or operator not in EQUAL | RANGES | CONTAINS:
            return
        owners = [self._own(one, scope) for one in walk(node) if _kind(one) == "ColumnRef"]
        if not owners or None in owners or any(_kind(one) in {"ParamRef", "SubLink"} for one in walk(node)):
            return
        first = owners[0]
        if first is not None and all(one is not None and one[0] is first[0] for one in owners):
            sql = _deparsed(node)
            if operator in CONTAINS:
                first[0].contains[f"({sql})"] = operator
            else:
                first[0].expressions[sql] = "=" if operator in EQUAL else "<"
                if len(owners) == 1 and other is not None:
                    self._compared(first, operator, other, sql)

    # --- order ---

    def _order(self, node: Any, scope: _Scope, *, aggregated: bool) -> None:
        groups = [self._own(self._output(item, node), scope) for item in node.group_clause]
        first = groups[0] if groups else None
        if first is not None and all(one is not None and one[0] is first[0] for one in groups):
            first[0].groups = tuple(dict.fromkeys(one[1] for one in groups if one is not None))
        if len(node.distinct_clause) > 0 and not aggregated:
            self._distinct(node, scope)
        if aggregated or len(node.sort_clause) == 0:
            return
        keys = [inner(item) for item in node.sort_clause]
        owners = [self._own(self._output(key.node, node), scope) for key in keys]
        head = owners[0]
        if head is None or any(one is None or one[0] is not head[0] for one in owners):
            return
        head[0].sorts = tuple(
            Sort(one[1], key.sortby_dir == _DESC, _NULLS.get(key.sortby_nulls))
            for one, key in zip(owners, keys, strict=True)
            if one is not None
        )

    def _distinct(self, node: Any, scope: _Scope) -> None:
        given = [item for item in node.distinct_clause if item.WhichOneof("node")]
        items = given or [inner(item).val for item in node.target_list]
        owners = [self._own(item, scope) for item in items]
        first = owners[0] if owners else None
        if first is not None and all(one is not None and one[0] is first[0] for one in owners):
            first[0].groups = tuple(dict.fromkeys(one[1] for one in owners if one is not None))

    def _output(self, item: Any, select: Any) -> Any:
        """What a position or an output's name in GROUP BY or ORDER BY stands for."""
        one = inner(item)
        if _kind(one) == "A_Const" and one.HasField("ival"):
            place = one.ival.ival - 1
            return inner(select.target_list[place]).val if 0 <= place < len(select.target_list) else item
        if _kind(one) == "ColumnRef" and len(one.fields) == 1:
            name = _parts(one)[0]
            for target in select.target_list:
                if inner(target).name == name:
                    return inner(target).val
        return item


# --- the parser's tree ---

_enum = postgast.pg_query_pb2
_AND, _OR = _enum.AND_EXPR, _enum.OR_EXPR
_OP, _ANY, _IN = _enum.AEXPR_OP, _enum.AEXPR_OP_ANY, _enum.AEXPR_IN
_LIKE_KIND, _ILIKE_KIND, _BETWEEN = _enum.AEXPR_LIKE, _enum.AEXPR_ILIKE, _enum.AEXPR_BETWEEN
_IS_NULL, _ANY_SUBLINK, _DESC = _enum.IS_NULL, _enum.ANY_SUBLINK, _enum.SORTBY_DESC
_NULLS: Mapping[int, bool] = {_enum.SORTBY_NULLS_FIRST: True, _enum.SORTBY_NULLS_LAST: False}
_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"})


def walk(node: Any, *, into_queries: bool = True) -> Iterator[Any]:
    """Every message under a node, itself first; subqueries only where that is asked for."""
    node = inner(node)
    if not isinstance(node, Message):
        return
    if _kind(node) != "Node":
        yield node
    for descriptor, value in node.ListFields():
        if descriptor.message_type is None or (not into_queries and descriptor.name == "subselect"):
            continue
        parts: Iterable[Any] = value if isinstance(value, Iterable) else (value,)
        for part in parts:
            yield from walk(part, into_queries=into_queries)


def _parts(node: Any) -> list[str]:
    return [inner(part).sval for part in node.fields if _kind(inner(part)) == "String"]


def _name(parts: Iterable[Any]) -> str:
    return next(reversed([str(inner(part).sval) for part in parts]), "")


def _names(query: Any) -> Iterator[str]:
    """Names of a subquery's output."""
    node = inner(query)
    while _kind(node) == "SelectStmt" and node.HasField("larg"):
        node = node.larg
    for item in node.target_list if _kind(node) == "SelectStmt" else ():
        target = inner(item)
        value = inner(target.val)
        if target.name:
            yield target.name
        elif _kind(value) == "ColumnRef" and _kind(inner(value.fields[-1])) == "String":
            yield _parts(value)[-1]
        elif _kind(value) == "FuncCall":
            yield _name(value.funcname)


def _type(node: Any) -> str:
    return _name(node.type_name.names)


def _constant(node: Any) -> str | None:
    """The text of a string literal."""
    if _kind(node) == "TypeCast":
        node = inner(node.arg)
    return str(node.sval.sval) if _kind(node) == "A_Const" and node.HasField("sval") else None


def _literal(node: Any) -> str | None:
    """A constant as SQL, None for what is known only when the statement runs."""
    whole = inner(node)
    base = inner(whole.arg) if _kind(whole) == "TypeCast" else whole
    return _deparsed(whole) if _kind(base) == "A_Const" else None


def _deparsed(node: Any) -> str:
    """An expression as SQL, its columns without their table."""
    whole: Any = postgast.parse("SELECT 1")
    target = whole.stmts[0].stmt.select_stmt.target_list[0].res_target.val
    target.Clear()
    kind = next(
        name for name, one in target.DESCRIPTOR.fields_by_name.items() if one.message_type.name == _kind(node)
    )
    getattr(target, kind).CopyFrom(node)
    for one in walk(target):
        if _kind(one) == "ColumnRef" and len(one.fields) > 1:
            del one.fields[:-1]
    sql: str = postgast.deparse(whole)
    return sql.removeprefix("SELECT ")
