"""What should be done about the functions: each finding with its evidence, commands, rollback and patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from storage.records import Finding, Measurement
from tasks.components.lambda_functions.advise import health, starts
from tasks.components.lambda_functions.advise.memory import idle_memory, memory
from tasks.components.lambda_functions.facts import Facts, FunctionFacts

__all__ = ["advise"]


def advise(facts: Facts, measurements: Sequence[Measurement]) -> list[Finding]:
    """All findings of a run, by kind and subject within each function."""
    found = [*health.unsupported_runtimes(facts), *idle_memory(facts)]
    for function in facts.functions.values():
        found += _of(function, facts, measurements)
    return found


def _of(function: FunctionFacts, facts: Facts, measurements: Sequence[Measurement]) -> Iterator[Finding]:
    own = [each for each in measurements if each.labels.get("function") == function.name]
    yield from starts.cold_starts(function, own)
    yield from starts.failed_inits(function, own)
    yield from starts.unused_provisioned(function, own)
    yield from memory(function, own)
    yield from health.errors(function, own)
    yield from health.throttles(function, own, facts)
    yield from health.bursts(function, own)
    yield from health.no_traffic(function, facts, own)
