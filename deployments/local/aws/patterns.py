"""Filter patterns of CloudWatch Logs: terms, phrases, `?any`, `-none`, `%regex%` and `{ $.json = … }`.

A pattern outside this grammar is refused, never guessed. Source: CloudWatch Logs User Guide, "Filter pattern
syntax". Matching is case-sensitive. A term matches whole words (letters, digits and underscore): the guide says
"the word", and offers the regular expression for parts of words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from deployments.local.aws.errors import invalid

Matcher = Callable[[str], bool]

MAX_LENGTH = 1024

_TERM = re.compile(r'\s*(?P<sign>[?-]?)(?:"(?P<phrase>(?:[^"\\]|\\.)+)"|%(?P<regex>[^%]+)%|(?P<word>\w+))(?=\s|$)')
_REGEX_ALPHABET = re.compile(r"[A-Za-z0-9:_#=@/;,\-^$?\[\]{}|\\*+. ]+")


def compile_pattern(pattern: str | None) -> Matcher:
    """The test that `pattern` puts to a message; InvalidParameterException where it is not understood."""
    text = (pattern or "").strip()
    if len(text) > MAX_LENGTH:
        raise invalid(f"filterPattern is longer than {MAX_LENGTH} characters")
    if not text:
        return lambda _message: True
    if text.startswith("{"):
        return _compile_json(text)
    if text.startswith("["):
        raise invalid("Invalid filter pattern: space-delimited patterns are not emulated here")
    return _compile_terms(text)


def _compile_terms(text: str) -> Matcher:
    required: list[Matcher] = []
    anyone: list[Matcher] = []
    excluded: list[Matcher] = []
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise invalid(f"Invalid filter pattern: cannot read {text[at:]!r}; quote terms that are not alphanumeric")
        at = match.end()
        {"": required, "?": anyone, "-": excluded}[match["sign"]].append(_term(match))
        at += len(text[at:]) - len(text[at:].lstrip())
    if anyone and (required or excluded):
        raise invalid("Invalid filter pattern: ?terms beside other terms are not emulated here")

    def matches(message: str) -> bool:
        if anyone:
            return any(term(message) for term in anyone)
        return all(term(message) for term in required) and not any(term(message) for term in excluded)

    return matches


def _term(match: re.Match[str]) -> Matcher:
    if (regex := match["regex"]) is not None:
        if not _REGEX_ALPHABET.fullmatch(regex):
            raise invalid(f"Invalid filter pattern: the regular expression {regex!r} uses unsupported characters")
        try:
            search = re.compile(regex).search
        except re.error as error:
            raise invalid(f"Invalid filter pattern: {error}") from error
        return lambda message: search(message) is not None
    literal = match["word"] if match["phrase"] is None else re.sub(r"\\(.)", r"\1", match["phrase"])
    before = r"(?<!\w)" if re.match(r"\w", literal) else ""
    after = r"(?!\w)" if re.search(r"\w$", literal) else ""
    word = re.compile(before + re.escape(literal) + after).search
    return lambda message: literal in message and word(message) is not None


# --- { $.field = value && … } -----------------------------------------------------------------------------------

_JSON_TOKEN = re.compile(
    r"\s*(?:(?P<path>\$(?:\.[\w-]+|\[\d+\]|\[\"[^\"]+\"\])+)|(?P<op>&&|\|\||!=|<=|>=|=|<|>|\(|\))"
    r'|"(?P<string>(?:[^"\\]|\\.)*)"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.-])|(?P<word>[\w.*/:-]+))'
)
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\[\"([^\"]+)\"\]")
_MISSING = object()

Condition = Callable[[Any], bool]


def _compile_json(text: str) -> Matcher:
    if not text.endswith("}"):
        raise invalid("Invalid filter pattern: a JSON pattern ends in }")
    parser = _JsonParser(text[1:-1])
    condition = parser.either()
    parser.finish()

    def matches(message: str) -> bool:
        try:
            document = json.loads(message)
        except ValueError:
            return False
        return isinstance(document, dict) and condition(document)

    return matches


class _JsonParser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            match = _JSON_TOKEN.match(text, at)
            if match is None:
                raise invalid(f"Invalid filter pattern: cannot read {text[at:]!r}")
            kind = match.lastgroup or ""
            self._tokens.append((kind, match[kind]))
            at = match.end()

    def finish(self) -> None:
        if self._tokens:
            raise invalid(f"Invalid filter pattern: {self._tokens[0][1]!r} was not expected")

    def either(self) -> Condition:
        parts = [self._both()]
        while self._accept("||"):
            parts.append(self._both())
        return lambda document: any(part(document) for part in parts)

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._accept("&&"):
            parts.append(self._one())
        return lambda document: all(part(document) for part in parts)

    def _one(self) -> Condition:
        if self._accept("("):
            inner = self.either()
            self._expect(")")
            return inner
        kind, path = self._next()
        if kind != "path":
            raise invalid(f"Invalid filter pattern: {path!r} stands where a property selector ($.…) should")
        steps = [a or c or int(b) for a, b, c in _STEP.findall(path)]
        kind, operator = self._next()
        if (kind, operator) == ("word", "IS"):
            return self._null(steps)
        if (kind, operator) == ("word", "NOT"):
            self._expect_word("EXISTS")
            return lambda document: _resolve(document, steps) is _MISSING
        if kind != "op" or operator in {"(", ")", "&&", "||"}:
            raise invalid(f"Invalid filter pattern: {operator!r} is no comparison")
        return self._comparison(steps, operator)

    def _null(self, steps: list[str | int]) -> Condition:
        _, word = self._next()
        wanted = {"NULL": None, "TRUE": True, "FALSE": False}
        if word not in wanted:
            raise invalid(f"Invalid filter pattern: IS {word}")
        return lambda document: _resolve(document, steps) is wanted[word]

    def _comparison(self, steps: list[str | int], operator: str) -> Condition:
        kind, value = self._next()
        if kind == "number":
            number = float(value)
            return lambda document: _compare(_resolve(document, steps), operator, number)
        if kind not in {"string", "word"} or operator not in {"=", "!="}:
            raise invalid(f"Invalid filter pattern: {operator} {value!r}")
        pattern = re.compile(".*".join(re.escape(part) for part in value.split("*")), re.DOTALL)

        def equal(document: Any) -> bool:
            found = _resolve(document, steps)
            if not isinstance(found, str):
                return False
            return (pattern.fullmatch(found) is not None) == (operator == "=")

        return equal

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise invalid("Invalid filter pattern: it ends too early")
        return self._tokens.pop(0)

    def _accept(self, operator: str) -> bool:
        if self._tokens[:1] == [("op", operator)]:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, operator: str) -> None:
        if not self._accept(operator):
            raise invalid(f"Invalid filter pattern: {operator!r} is missing")

    def _expect_word(self, word: str) -> None:
        if self._next() != ("word", word):
            raise invalid(f"Invalid filter pattern: {word} is missing")


def _resolve(document: Any, steps: list[str | int]) -> Any:
    for step in steps:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return _MISSING
            document = document[step]
        elif not isinstance(document, dict) or step not in document:
            return _MISSING
        else:
            document = document[step]
    return document


def _compare(found: Any, operator: str, number: float) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return {
        "=": found == number,
        "!=": found != number,
        "<": found < number,
        ">": found > number,
        "<=": found <= number,
        ">=": found >= number,
    }[operator]
