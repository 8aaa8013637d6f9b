"""A shell script of what the findings advise: it lists, and does or undoes one change when a person says which.

Nothing here runs anything. What a step learns (the version that an alias had) is kept in a file beside the script, so
that it can be undone another day.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from storage.records import Finding

_CHANGE = re.compile(
    r"aws (?:lambda|application-autoscaling|service-quotas) "
    r"(?:update|put|delete|publish|create|register|deregister|request)-"
)
_ASSIGNMENT = re.compile(r"(?P<name>[A-Z]+)=\$\(")
_RECALLED = re.compile(r"\$([A-Z]+)\b")

_HEAD = """#!/usr/bin/env bash
# {title}
# Read before you run. Each change is made alone, by its name, and undone by its name:
#   {name} list            what there is
#   {name} show CHANGE     the commands, and those that undo them
#   {name} apply CHANGE    make it
#   {name} undo CHANGE     take it back
# A change by command drifts from the infrastructure code: carry it over there, or the next deployment undoes it.
set -euo pipefail
cd "$(dirname "$0")"
STATE={state}
remember() {{ printf '%s\\t%s\\t%s\\n' "$1" "$2" "$3" >> "$STATE"; }}
recall() {{
  [[ -f "$STATE" ]] || return 0
  awk -F'\\t' -v change="$1" -v name="$2" '$1 == change && $2 == name {{ found = $3 }} END {{ print found }}' "$STATE"
}}
run() {{ printf '+ %s\\n' "$*" >&2; "$@"; }}
"""

_TAIL = """
usage() {{ sed -n '3,7s/^# \\{{0,1\\}}//p' "$0" >&2; exit 2; }}
case "${{1:-}}" in
  list) list ;;
  show) [[ -n "${{2:-}}" ]] || usage; show "$2" ;;
  apply) [[ -n "${{2:-}}" ]] || usage; apply "$2" ;;
  undo) [[ -n "${{2:-}}" ]] || usage; undo "$2" ;;
  *) usage ;;
esac
"""


def changes(findings: Iterable[Finding]) -> list[Finding]:
    """The findings whose remedy changes something by command, in their order."""
    return [each for each in findings if any(_CHANGE.search(command) for command in each.remedy.commands)]


def script(findings: Iterable[Finding], title: str, name: str = "lambda-changes.sh") -> str:
    """The script for the findings that change something; it is plain bash with the AWS CLI."""
    wanted = changes(findings)
    state = shlex.quote(name.removesuffix(".sh") + ".state")
    parts = [
        _HEAD.format(title=" ".join(title.split()), name=name, state=state),
        "list() {\n  cat <<'CHANGES'\n" + "".join(_listed(each) for each in wanted) + "CHANGES\n}\n",
        _cases("show", ((each, _shown(each)) for each in wanted)),
        _cases("apply", ((each, _steps(each, each.remedy.commands)) for each in wanted)),
        _cases("undo", ((each, _undo(each)) for each in wanted)),
        _TAIL.format(),
    ]
    return "\n".join(parts)


def _listed(finding: Finding) -> str:
    return f"{finding.id}\n    {_line(finding.title)}\n    {_line(finding.remedy.summary)}\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _shown(finding: Finding) -> Iterator[str]:
    text = "\n".join(["# apply", *finding.remedy.commands, "# undo", *finding.remedy.rollback])
    yield f"cat <<'COMMANDS'\n{text}\nCOMMANDS"


def _steps(finding: Finding, commands: Sequence[str]) -> Iterator[str]:
    change = shlex.quote(finding.id)
    for command in commands:
        found = _ASSIGNMENT.match(command)
        if found is None:
            yield f"run {command}"
        else:
            name = found["name"]
            yield command.replace("=$(", "=$(run ", 1)
            yield f'remember {change} {name} "${name}"'


def _undo(finding: Finding) -> Iterator[str]:
    if not finding.remedy.rollback:
        yield "echo 'this change has no way back by command' >&2; exit 3"
        return
    change = shlex.quote(finding.id)
    names = dict.fromkeys(name for command in finding.remedy.rollback for name in _RECALLED.findall(command))
    for name in names:
        yield f"{name}=$(recall {change} {name})"
        yield f"[[ -n \"${name}\" ]] || {{ echo 'nothing is known of {name}: was it applied here?' >&2; exit 3; }}"
    yield from _steps(finding, finding.remedy.rollback)


def _cases(function: str, bodies: Iterable[tuple[Finding, Iterable[str]]]) -> str:
    lines = [f"{function}() {{", '  case "$1" in']
    for finding, body in bodies:
        lines += [f"    {shlex.quote(finding.id)})", *body, "      ;;"]
    lines += ['    *) echo "no change is called $1; see: list" >&2; exit 2 ;;', "  esac", "}"]
    return "\n".join(lines) + "\n"
