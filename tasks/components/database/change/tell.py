"""What a run says at its end: words for a terminal, a page, JSON, and the exit code. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from storage.errors import ExitCode
from tasks.components.database.change.records import Entry, Figures, Outcome, State

_MB = 1_000_000
_WORDS = {
    State.KEPT: "kept",
    State.UNDONE: "undone",
    State.FAILED: "not done",
    State.PRESENT: "nothing to do",
    State.DONE: "done and not judged",
    State.INTENDED: "not done",
    State.UNDOING: "being undone",
    State.UNCLEAN: "NOT CLEAN",
}
_SHOWN = 5


def exit_code(outcome: Outcome) -> ExitCode:
    """0 everything stands, 1 something was undone by its verdict, 3 something was not done, 130 interrupted."""
    states = {entry.state for entry in (*outcome.entries, *outcome.recovered)}
    if outcome.interrupted:
        return ExitCode.INTERRUPTED
    if State.UNCLEAN in states or {entry.state for entry in outcome.entries} & {State.FAILED, State.DONE}:
        return ExitCode.INCOMPLETE
    return ExitCode.GATE_FAILED if State.UNDONE in {entry.state for entry in outcome.entries} else ExitCode.PASS


def text(outcome: Outcome) -> str:
    """The outcome for a terminal."""
    head = f"{outcome.environment} {outcome.database}, run {outcome.run}, plan {outcome.plan[:12]}"
    lines = [head, f"  approved by {outcome.approved_by}"]
    for title, entries in (("", outcome.entries), ("left by an earlier run: ", outcome.recovered)):
        for entry in entries:
            lines += ["", *_entry(entry, title)]
    lines += ["", *(f"note: {note}" for note in outcome.notes)] if outcome.notes else []
    return "\n".join(lines)


def _entry(entry: Entry, title: str) -> Iterator[str]:
    size = f", {entry.bytes / _MB:.1f} MB" if entry.bytes is not None else ""
    took = f", {entry.seconds:.1f} s" if entry.seconds is not None else ""
    yield f"{title}{entry.step.name} on {entry.step.table_name}: {_WORDS[entry.state]}{size}{took}"
    yield f"  {entry.words}"
    never = entry.state in (State.FAILED, State.PRESENT, State.INTENDED)
    yield f"  {'asked' if never else 'done':<7} {entry.step.sql};"
    if entry.verdict is not None and entry.verdict.gain is not None:
        yield f"  gain    {100 * entry.verdict.gain:.0f} % of the time of the statements on the table"
    for left, right in _compared(entry.before, entry.after):
        yield f"  {left}: {right}"
    notes = (note for side in (entry.before, entry.after) if side is not None for note in side.notes)
    for note in dict.fromkeys(notes):
        yield f"  note    {note}"
    if entry.state is State.KEPT:
        yield f"  undo    {entry.step.undo};"


def _compared(before: Figures | None, after: Figures | None) -> Iterator[tuple[str, str]]:
    """Statements that are known on both sides, before → after, the dearest first."""
    if before is None or after is None:
        return
    if before.span is not None and after.span is not None:
        later = {work.id: work for work in after.span.work}
        pairs = [(work, later[work.id]) for work in before.span.work if work.touches and work.id in later]
        for then, now in sorted(pairs, key=lambda pair: -pair[0].total_ms)[:_SHOWN]:
            calls = f"{then.calls} and {now.calls} calls"
            yield then.shown, f"{then.mean_ms:.3g} → {now.mean_ms:.3g} ms a call ({calls}, pg_stat_statements)"
        if after.span.scans is not None:
            yield "scans", f"{after.span.scans} of the index by real work within {after.span.window.seconds:.0f} s"
    replays = {(one.id, one.digest): one for one in after.replays}
    for one in before.replays[:_SHOWN]:
        other = replays.get((one.id, one.digest))
        if other is not None:
            ms = f"{one.median_ms:.3g} → {other.median_ms:.3g} ms"
            yield one.shown, f"{ms}, {one.buffers} → {other.buffers} pages (replayed, median of {other.n})"


def markdown(outcome: Outcome) -> str:
    """The outcome as a page of the Prefect UI."""
    rows = [
        f"| {_cell(entry.step.name)} | {_cell(entry.step.table_name)} | {_WORDS[entry.state]} | {_cell(entry.words)} "
        f"| `{_cell(entry.step.undo if entry.state is State.KEPT else '—')}` |"
        for entry in (*outcome.recovered, *outcome.entries)
    ]
    lines = [
        f"# Database changes: {outcome.environment}",
        f"Run {outcome.run} on {outcome.database}, plan `{outcome.plan[:12]}`",
        f"Approved by {_cell(outcome.approved_by)}",
        "",
        "| index | table | outcome | why | to undo |",
        "|---|---|---|---|---|",
        *rows,
        "",
        *(f"- {_cell(note)}" for note in outcome.notes),
        "```",
        text(outcome).replace("```", "'''"),
        "```",
    ]
    return "\n".join(lines)


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ").replace("`", "'")
