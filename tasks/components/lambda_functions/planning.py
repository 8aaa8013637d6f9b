"""A concurrency plan for one function, from what was measured of it: `concurrency.plan` with the evidence filled in.

Where the rows of single invocations are missing (Logs Insights' statistics alone), there is no plan: hourly figures
hide bursts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.components.lambda_functions.arrivals import Arrivals
from tasks.components.lambda_functions.concurrency import MOST_COLD, ConcurrencyPlan, Size, SnapStart, plan
from tasks.components.lambda_functions.erlang import KEEP_ALIVE_S, flow
from tasks.components.lambda_functions.facts import Facts, FunctionFacts
from tasks.components.lambda_functions.timetable import Block, timetable

ENOUGH_ARRIVALS = 100
"""Requests within the planned days below which the model of arrivals is a guess."""

ENOUGH_COLD = 10
"""Cold starts from which the time that environments are kept can be told."""

KEEP_ALIVE_RANGE_S = (60.0, 3600.0)
_HALVINGS = 10

_SNAP_START = (
    "java11",
    "java17",
    "java21",
    "java25",
    "python3.12",
    "python3.13",
    "python3.14",
    "dotnet8",
    "dotnet10",
)


@dataclass(frozen=True)
class Planned:
    """The plan, the arrivals behind it, and when environments should stand ready (empty: always, or none).

    `keep_alive_s` is how long an idle environment is kept; `fitted` where the cold starts that were seen tell it.
    """

    plan: ConcurrencyPlan
    arrivals: Arrivals
    blocks: tuple[Block, ...]
    keep_alive_s: float
    fitted: bool

    @property
    def always(self) -> int:
        """Environments that stand ready at all times."""
        chosen = self.plan.chosen
        if not chosen.environments:
            return 0
        return chosen.least if chosen.hours else chosen.environments


def planned(
    function: FunctionFacts, facts: Facts, size: Size | None = None, *, most_cold: float = MOST_COLD
) -> Planned | None:
    """The plan of one function; None where arrivals, durations, inits or prices are not known."""
    known, price, came = function.statistics, function.price, function.arrivals
    if known is None or price is None or came is None or came.total < ENOUGH_ARRIVALS:
        return None
    if known.duration_ms is None or known.duration_ms.mean <= 0:
        return None
    init = known.init_ms or known.restore_ms
    if init is None:
        return None
    keep_alive_s, fitted = keep_alive(came, known.duration_ms.mean, init.mean, provisioned=bool(function.provisioned))
    made = plan(
        came.minutes.tolist(),
        known.duration_ms.mean,
        init.mean,
        function.setup["memory_mb"],
        price,
        most_cold=most_cold,
        keep_alive_s=keep_alive_s,
        snapstart=_snapstart(function, facts.functions),
        size=size,
        reserved=function.setup.get("reserved"),
        account_limit=facts.concurrency_limit,
    )
    return Planned(made, came, timetable(made.chosen.hours, came.start), keep_alive_s, fitted)


def keep_alive(came: Arrivals, duration_ms: float, init_ms: float, *, provisioned: bool) -> tuple[float, bool]:
    """How long idle environments are kept: what explains the cold starts that were seen, or else the usual time.

    AWS does not document it, and it differs between functions. The model's share of cold starts falls with it, so it
    is found by halving. Environments that stood ready hide it.
    """
    if provisioned or came.cold < ENOUGH_COLD:
        return KEEP_ALIVE_S, False
    seen, low, high = came.cold / came.total, *KEEP_ALIVE_RANGE_S
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        gone = flow(came.minutes, duration_ms / 1e3, init_ms / 1e3, keep_alive_s=middle)
        low, high = (middle, high) if gone.cold_share > seen else (low, middle)
    return (low + high) / 2, True


def snap_start_possible(function: FunctionFacts) -> bool:
    """Whether SnapStart could be switched on: a runtime that has it, a ZIP package, /tmp of 512 MB."""
    setup = function.setup
    runtime = setup["runtime"].removesuffix(".al2023")
    small = (setup["storage_mb"] or 0) <= 512  # noqa: PLR2004 - SnapStart takes no larger /tmp
    return not setup["snap_start"] and setup["package"] == "Zip" and runtime in _SNAP_START and small


def _snapstart(function: FunctionFacts, functions: Mapping[str, FunctionFacts]) -> SnapStart | None:
    """Its effect, where restores of the same runtime were measured in this account; a guess is no evidence."""
    if not snap_start_possible(function):
        return None
    runtime = function.setup["runtime"]
    restores = [
        (each.statistics.restore_ms.n, each.statistics.restore_ms.mean)
        for each in functions.values()
        if each.setup["runtime"] == runtime and each.statistics and each.statistics.restore_ms
    ]
    if not restores:
        return None
    mean = sum(n * value for n, value in restores) / sum(n for n, _ in restores)
    price = function.price
    if price is None or runtime.startswith("java"):
        return SnapStart(mean, 0.0, 0.0)
    return SnapStart(mean, price.snapstart_cache, price.snapstart_restore)
