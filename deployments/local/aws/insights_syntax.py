"""The query language of Logs Insights, as far as it is emulated: text to a tree.

Commands: SOURCE (logGroups with namePrefix), filter, stats … by, fields, display, sort, limit. Expressions:
comparisons, and/or/not, like, in, arithmetic, and the functions below. Whatever lies outside is refused with
MalformedQueryException: an emulator that skips a command answers a different question.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from deployments.local.aws.errors import AwsError
from deployments.local.aws.insights_tree import (
    Binary,
    Call,
    Constant,
    Field,
    Fields,
    Filter,
    In,
    Like,
    Limit,
    Named,
    Node,
    Not,
    Query,
    Sort,
    Star,
    Stats,
)

AGGREGATES = frozenset({"count", "count_distinct", "sum", "avg", "min", "max", "pct", "percentile", "median"})
FUNCTIONS = frozenset({"ispresent", "coalesce", "abs", "ceil", "floor", "sqrt", "bin", "datefloor", "tomillis"})

MAX_STATS = 2
"""A query may hold two stats commands."""


def malformed(message: str, start: int = 0, end: int = 0) -> AwsError:
    """A query that is not understood, at these characters."""
    location = {"startCharOffset": start, "endCharOffset": end}
    error = {"location": location, "message": message}
    return AwsError("MalformedQueryException", message, members={"queryCompileError": error})


_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<span>\d+(?:ms|mo|[smhdw])(?![\w.]))
      | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|\.\d+)
      | (?P<name>[@A-Za-z_][\w@]*(?:\.[\w@]+)*|`[^`]+`)
      | (?P<op>=~|!=|<=|>=|[=<>+\-*/%^(),|\[\]:])
    """,
    re.VERBOSE,
)
_REGEX = re.compile(r"\s*/((?:[^/\\\n]|\\.)+)/")
_SPAN_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SCALAR_ORDER = (("+", "-"), ("*", "/", "%"), ("^",))


def parse(text: str) -> Query:
    """The tree of a query; MalformedQueryException where any part of it is not understood."""
    return _Parser(text).query()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._end_of_last = 0

    # --- tokens -------------------------------------------------------------------------------------------------

    def _peek(self) -> _Token:
        at = self._at
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise malformed(f"unexpected character {self._text[at]!r} at {at}", at, at + 1)
            if match.lastgroup != "space":
                return _Token(match.lastgroup or "", match[0], at, match.end())
            at = match.end()
        return _Token("end", "", at, at)

    def _next(self) -> _Token:
        token = self._peek()
        self._at = self._end_of_last = token.end
        return token

    def _accept(self, *texts: str) -> str | None:
        token = self._peek()
        if token.kind in {"op", "name"} and token.text.lower() in texts:
            self._next()
            return token.text.lower()
        return None

    def _expect(self, text: str) -> None:
        token = self._peek()
        if self._accept(text) is None:
            raise malformed(f"expected {text!r}, found {token.text or 'the end'!r}", token.start, token.end)

    # --- commands -----------------------------------------------------------------------------------------------

    def query(self) -> Query:
        query = Query()
        while True:
            self._command(query)
            token = self._next()
            if token.kind == "end":
                break
            if token.text != "|":
                raise malformed(f"expected '|', found {token.text!r}", token.start, token.end)
        if sum(isinstance(command, Stats) for command in query.commands) > MAX_STATS:
            raise malformed(f"a query may hold {MAX_STATS} stats commands")
        return query

    def _command(self, query: Query) -> None:
        token = self._next()
        name = token.text.lower()
        if name == "source" and not query.commands and not query.prefixes:
            query.prefixes = self._source()
        elif name == "filter":
            query.commands.append(Filter(self._either()))
        elif name == "stats":
            query.commands.append(self._stats())
        elif name in {"fields", "display"}:
            query.commands.append(Fields(self._named_list(), only=name == "display"))
        elif name == "sort":
            query.commands.append(self._sort())
        elif name == "limit":
            query.commands.append(Limit(self._count()))
        else:
            raise malformed(f"command {token.text or 'the end'!r} is not emulated here", token.start, token.end)

    def _source(self) -> tuple[str, ...]:
        for text in ("loggroups", "(", "nameprefix", ":", "["):
            self._expect(text)
        prefixes = tuple(str(value.value) for value in self._list_until("]"))
        self._expect(")")
        if not 1 <= len(prefixes) <= 5:  # noqa: PLR2004  # the limit of SOURCE
            raise malformed("SOURCE logGroups takes 1 to 5 values of namePrefix")
        return prefixes

    def _stats(self) -> Stats:
        aggregates = self._named_list()
        for each in aggregates:
            if not _aggregated(each.node):
                raise malformed(f"{each.name!r} is no aggregate")
        keys = self._named_list() if self._accept("by") else ()
        return Stats(aggregates, keys)

    def _sort(self) -> Sort:
        keys: list[tuple[Named, bool]] = []
        while True:
            named = self._named()
            keys.append((named, self._accept("asc", "desc") == "desc"))
            if not self._accept(","):
                return Sort(tuple(keys))

    def _count(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit():
            raise malformed(f"limit takes a number, found {token.text!r}", token.start, token.end)
        return int(token.text)

    def _named_list(self) -> tuple[Named, ...]:
        named = [self._named()]
        while self._accept(","):
            named.append(self._named())
        return tuple(named)

    def _named(self) -> Named:
        start = self._peek().start
        node = self._sum()
        text = self._text[start : self._end_of_last].strip()
        if self._accept("as"):
            token = self._next()
            if token.kind != "name":
                raise malformed(f"expected a name after 'as', found {token.text!r}", token.start, token.end)
            return Named(token.text.strip("`"), node)
        return Named(text.strip("`"), node)

    # --- conditions ---------------------------------------------------------------------------------------------

    def _either(self) -> Node:
        node = self._both()
        while self._accept("or"):
            node = Binary("or", node, self._both())
        return node

    def _both(self) -> Node:
        node = self._negated()
        while self._accept("and"):
            node = Binary("and", node, self._negated())
        return node

    def _negated(self) -> Node:
        return Not(self._negated()) if self._accept("not") else self._comparison()

    def _comparison(self) -> Node:
        left = self._sum()
        negated = self._accept("not") is not None
        node: Node
        if self._accept("like"):
            node = Like(left, self._pattern())
        elif self._accept("in"):
            self._expect("[")
            node = In(left, self._list_until("]"))
        elif not negated and self._accept("=~"):
            node = Like(left, self._pattern())
        elif not negated and (operator := self._accept("=", "!=", "<", "<=", ">", ">=")):
            node = Binary(operator, left, self._sum())
        elif negated:
            raise malformed("expected 'like' or 'in' after 'not'", self._at, self._at)
        else:
            return left
        return Not(node) if negated else node

    def _pattern(self) -> re.Pattern[str]:
        if match := _REGEX.match(self._text, self._at):
            self._at = self._end_of_last = match.end()
            return self._compile(match[1])
        token = self._next()
        if token.kind != "string":
            raise malformed(f"like takes /regex/ or a text, found {token.text!r}", token.start, token.end)
        return self._compile(re.escape(_unquote(token.text)))

    def _compile(self, text: str) -> re.Pattern[str]:
        try:
            return re.compile(text)
        except re.error as error:
            raise malformed(f"regular expression {text!r}: {error}") from error

    def _list_until(self, closing: str) -> tuple[Constant, ...]:
        values: list[Constant] = []
        while True:
            node = self._primary()
            if not isinstance(node, Constant):
                raise malformed("a list holds texts and numbers", self._at, self._at)
            values.append(node)
            if not self._accept(","):
                self._expect(closing)
                return tuple(values)

    # --- values -------------------------------------------------------------------------------------------------

    def _sum(self, level: int = 0) -> Node:
        if level == len(_SCALAR_ORDER):
            return self._primary()
        node = self._sum(level + 1)
        while operator := self._accept(*_SCALAR_ORDER[level]):
            node = Binary(operator, node, self._sum(level + 1))
        return node

    def _primary(self) -> Node:
        token = self._next()
        node: Node
        if token.text == "(":
            node = self._either()
            self._expect(")")
        elif token.text == "-":
            node = Binary("-", Constant(0.0, "number"), self._primary())
        elif token.kind in _CONSTANTS:
            node = _CONSTANTS[token.kind](token)
        elif token.kind != "name":
            raise malformed(f"unexpected {token.text or 'end'!r}", token.start, token.end)
        elif not token.text.startswith("`") and self._accept("("):
            node = self._call(token)
        else:
            node = Field(token.text.strip("`"))
        return node

    def _call(self, token: _Token) -> Node:
        name = token.text.lower()
        if name not in AGGREGATES | FUNCTIONS:
            raise malformed(f"function {token.text!r} is not emulated here", token.start, token.end)
        arguments: list[Node] = []
        if name == "count" and self._accept("*"):
            arguments.append(Star())
            self._expect(")")
        elif not self._accept(")"):
            arguments.append(self._either())
            while self._accept(","):
                arguments.append(self._either())
            self._expect(")")
        call = Call(name, tuple(arguments))
        _check_call(call, token)
        return call


def _check_call(call: Call, token: _Token) -> None:
    """Refuse calls with the wrong number or kind of arguments, and aggregates of aggregates."""
    counts = {"pct": 2, "percentile": 2, "datefloor": 2}
    arguments = call.arguments
    if call.name == "count" and not arguments:
        return
    if call.name != "coalesce" and len(arguments) != counts.get(call.name, 1):
        raise malformed(f"{call.name} takes {counts.get(call.name, 1)} argument(s)", token.start, token.end)
    if not arguments or (call.name in AGGREGATES and any(_aggregated(each) for each in arguments)):
        raise malformed(f"{call.name} does not take these arguments", token.start, token.end)
    if call.name in {"pct", "percentile"}:
        percent = arguments[1]
        if not isinstance(percent, Constant) or percent.kind != "number" or not 0 <= float(percent.value) <= 100:  # noqa: PLR2004
            raise malformed(f"{call.name} takes a percentage from 0 to 100", token.start, token.end)
    if call.name in {"bin", "datefloor"}:
        span = arguments[-1]
        if not isinstance(span, Constant) or span.kind != "span" or not span.value:
            raise malformed(f"{call.name} takes a span of time such as 1h", token.start, token.end)


def _aggregated(node: Node) -> bool:
    if isinstance(node, Call):
        return node.name in AGGREGATES or any(_aggregated(each) for each in node.arguments)
    return isinstance(node, Binary) and (_aggregated(node.left) or _aggregated(node.right))


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _span_ms(token: _Token) -> float:
    match = re.fullmatch(r"(\d+)([a-z]+)", token.text)
    if match is None or match[2] not in _SPAN_MS:
        raise malformed(f"the span {token.text!r} is not emulated here", token.start, token.end)
    return float(int(match[1]) * _SPAN_MS[match[2]])


_CONSTANTS: dict[str, Callable[[_Token], Constant]] = {
    "number": lambda token: Constant(float(token.text), "number"),
    "string": lambda token: Constant(_unquote(token.text), "string"),
    "span": lambda token: Constant(_span_ms(token), "span"),
}
