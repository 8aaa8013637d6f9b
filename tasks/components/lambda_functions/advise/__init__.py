"""What should be done about the functions: each finding with its evidence, commands, rollback and patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deployments.config import LambdaSettings
from storage.records import Finding, Measurement
from tasks.components.lambda_functions.advise import fronts, health, starts
from tasks.components.lambda_functions.advise.architecture import architecture
from tasks.components.lambda_functions.advise.memory import idle_memory, memory
from tasks.components.lambda_functions.advise.rank import ranked
from tasks.components.lambda_functions.facts import Facts, FunctionFacts

__all__ = ["advise"]


def advise(facts: Facts, measurements: Sequence[Measurement], settings: LambdaSettings) -> list[Finding]:
    """All findings of a run, the most severe first, then by dollars and milliseconds that they are worth."""
    found = [*health.unsupported_runtimes(facts), *idle_memory(facts)]
    found += health.no_traffic(facts)
    found += [*fronts.orphan_routes(facts), *fronts.strange_stages(facts)]
    for function in facts.functions.values():
        found += _of(function, facts, measurements, settings)
    return ranked(found, measurements)


def _of(
    function: FunctionFacts, facts: Facts, measurements: Sequence[Measurement], settings: LambdaSettings
) -> Iterator[Finding]:
    own = [each for each in measurements if each.labels.get("function") == function.name]
    yield from starts.cold_starts(function, own, facts, settings)
    yield from starts.failed_inits(function, own)
    yield from starts.unused_provisioned(function, own)
    yield from memory(function, own)
    yield from architecture(function, own)
    yield from health.errors(function, own)
    yield from health.throttles(function, own, facts)
    yield from health.bursts(function, own)
