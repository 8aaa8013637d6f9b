"""What the concurrency plan says about a function with cold starts, in words and as a remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from storage.records import Measurement, PredictedChange, Remedy
from tasks.components.lambda_functions.advise.provisioning import provision, provision_patches, undo_provision
from tasks.components.lambda_functions.concurrency import Option
from tasks.components.lambda_functions.cost import MB_PER_GB
from tasks.components.lambda_functions.facts import FunctionFacts
from tasks.components.lambda_functions.per_function import pick
from tasks.components.lambda_functions.planning import Planned, snap_start_possible
from tasks.components.lambda_functions.quantiles import Percentiles
from tasks.components.lambda_functions.timetable import Block


def start_remedy(
    function: FunctionFacts, made: Planned | None, timezone: str, measurements: Sequence[Measurement]
) -> Remedy:
    """Environments as the plan has them; without a plan, as many as ran at once, around the clock."""
    smaller = "First make the init smaller (bundle, lazy imports, no network calls in it)."
    if made is not None and not made.plan.chosen.environments:
        return Remedy(summary=f"{smaller} Environments that stand ready are not the way: {made.plan.verdict}.")
    wanted = made.plan.chosen.environments if made is not None else _at_once(function)
    always, blocks = (made.always, made.blocks) if made is not None else (wanted, ())
    when = f" {_timetable(blocks)}" if blocks else ""
    besides = f", {always} at any other time" if blocks and always else ""
    return Remedy(
        summary=(
            f"{smaller} Where that is not enough, keep {wanted} environments ready on the alias live{when}{besides}, "
            "and let callers use the alias."
        ),
        commands=provision(function, wanted, always=always, blocks=blocks, timezone=timezone),
        rollback=undo_provision(function, always=always, blocks=blocks),
        patches=provision_patches(function, wanted, always=always, blocks=blocks, timezone=timezone),
        predicted=tuple(_predicted(function, made, measurements)) if made is not None else (),
    )


def _at_once(function: FunctionFacts) -> int:
    return max(1, math.ceil(function.metric("ConcurrentExecutions", "Maximum") or 1))


def _timetable(blocks: Sequence[Block]) -> str:
    return " and ".join(str(block) for block in blocks)


def _predicted(
    function: FunctionFacts, made: Planned, measurements: Sequence[Measurement]
) -> Iterator[PredictedChange]:
    labels, how = {"function": function.name}, "Erlang's loss formula on the arrivals of each minute"
    chosen = made.plan.chosen
    yield PredictedChange(metric="lambda.cold_start.ratio", value=chosen.cold_share, labels=labels, how=how)
    cost = pick(measurements, "lambda.cost.month", function.name)
    if cost is not None and cost.value is not None:
        yield PredictedChange(metric="lambda.cost.month", value=cost.value + chosen.extra, labels=labels, how=how)


def plan_words(function: FunctionFacts, made: Planned | None, starts: Percentiles) -> str:
    """What each way costs, the model held against what was seen."""
    if made is None:
        return _price_of(function, _at_once(function))
    nothing = next(option for option in made.plan.options if option.name == "do nothing")
    seen = starts.n / function.statistics.invocations if function.statistics else 0.0
    ways = "; ".join(_way(option) for option in made.plan.options if option.name != "do nothing")
    risks = "".join(f" Risk: {risk}." for risk in made.plan.risks)
    possible = (
        " SnapStart is possible; its restore was not measured." if _unmeasured_snap_start(function, made) else ""
    )
    return (
        f"Plan for {made.arrivals.days} days by the minute ({made.arrivals.total} requests): {made.plan.verdict}. "
        f"Without any, {nothing.cold_share:.1%} start cold by the model ({seen:.1%} were seen"
        f"{_kept(made)}) at ${nothing.dollars:.2f} a month. Ways: {ways or 'none is needed'}.{possible}{risks}"
    )


def _kept(made: Planned) -> str:
    return f"; idle environments are kept about {made.keep_alive_s:.0f} s" if made.fitted else ""


def _unmeasured_snap_start(function: FunctionFacts, made: Planned) -> bool:
    return snap_start_possible(function) and all(option.name != "SnapStart" for option in made.plan.options)


def _way(option: Option) -> str:
    many = f" ({option.environments})" if option.environments else ""
    each = f", ${option.per_avoided:.4f} a cold start avoided" if option.per_avoided is not None else ""
    return f"{option.name}{many} {option.extra:+.2f} $ a month, {option.cold_share:.1%} cold{each}"


def standing(function: FunctionFacts, environments: int) -> float | None:
    """Dollars a month of environments that stand ready around the clock, None where nothing is priced."""
    if function.price is None:
        return None
    memory_gb: float = function.setup["memory_mb"] / MB_PER_GB
    return environments * memory_gb * function.price.month_s * function.price.provisioned


def _price_of(function: FunctionFacts, environments: int) -> str:
    dollars = standing(function, environments)
    if dollars is None:
        return f"What {environments} provisioned environments cost in {function.region} is not in the price table."
    return (
        f"{environments} provisioned environments around the clock cost ${dollars:.2f} a month before what they save."
    )
