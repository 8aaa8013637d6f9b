"""Load on the API: weighted endpoints by arrivals or by users, or a scenario's journeys; then a search if asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.config import Endpoint, RunConfig
from storage.records import Collected, ComponentId
from tasks.components.base import CollectContext, Progress
from tasks.load import figures
from tasks.load.capacity import steps_table
from tasks.load.http_load import SEED, HttpPlan, HttpRun, connections_for, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.plan import judged_phases, judged_rate, phases_of, speed
from tasks.load.scenario.load import ScenarioRun, run_scenario
from tasks.load.scenario.plan import ScenarioPlan, plan_of, users_plan
from tasks.load.search import SearchPlan, described, pause_before, search_plan

_JITTERS = {"poisson": "Poisson arrivals", "uniform": "arrivals jittered evenly", "none": "evenly spaced arrivals"}


def collect(context: CollectContext) -> Collected:
    """Load the API for the profile's duration; `NotMeasuredError` where its address is missing or has no host.

    A target that refuses every connection is measured all the same: its errors are counted. Where the environment
    names a scenario, its journeys are made in place of the weighted endpoints.
    """
    environment = context.config.environment
    if environment.scenario.file:
        return _collect_scenario(context)
    if environment.load.model == "users":
        return _collect_users(context)
    return _collect_arrivals(context)


def allowed(endpoints: Sequence[Endpoint], *, writes: bool) -> tuple[list[Endpoint], list[Endpoint]]:
    """Endpoints that may be asked, and those left out because they would change data."""
    chosen = [endpoint for endpoint in endpoints if writes or not endpoint.writes]
    return chosen, [endpoint for endpoint in endpoints if endpoint not in chosen]


def _collect_arrivals(context: CollectContext) -> Collected:
    environment = context.config.environment
    url, address = figures.address_of(context.target.api_url, environment.variables.api_url)
    chosen, left_out = allowed(environment.api.endpoints, writes=environment.writes)
    load = environment.load
    search = None if load.search is None else search_plan(load.search, load)
    plan = HttpPlan(
        url=url,
        variable=environment.variables.api_url,
        endpoints=[endpoint_plan(endpoint) for endpoint in chosen],
        values=environment.api.values,
        stages=_stages(context.config, search, range(len(chosen))),
        load=load,
        timeout_s=environment.api.timeout_s,
        max_connections=connections_for(max([load.peak_rate, *(search.rates if search else ())])),
        headers={name: value.get_secret_value() for name, value in context.target.headers.items()},
        config=context.config,
    )
    run = run_http(plan, _teller(context, plan.duration_s), journals=context.journals)
    context.sink.write("samples", run.table)
    if search is not None:
        context.sink.write("steps", steps_table(run.steps))
    return Collected(
        window=run.window,
        load=run.summary(**_asked(context, run)),
        load_plan={**_described(context.config, len(chosen), run), **_search_told(search, run)},
        fingerprint={"target": address.shown, **run.release},
        notes=(*_notes(left_out, run), *_search_notes(context.config, search)),
    )


def _stages(config: RunConfig, search: SearchPlan | None, endpoints: range) -> list[dict[str, Any]]:
    environment = config.environment
    load = environment.load
    phases = phases_of(load)
    if search is None:
        return [schedule_stage(phases, endpoints, jitter=load.jitter)]
    pause = pause_before(environment, config.components)
    until_s = load.duration_s + pause.duration_s + search.seconds
    return [schedule_stage([*phases, pause], endpoints, jitter=load.jitter), search.stage(endpoints, until_s)]


def _collect_users(context: CollectContext) -> Collected:
    environment = context.config.environment
    chosen, left_out = allowed(environment.api.endpoints, writes=environment.writes)
    run = _run(context, users_plan(context.config, context.target, chosen))
    context.sink.write("samples", run.table)
    load = environment.load
    least, most = load.think
    return Collected(
        window=run.window,
        load=run.summary(**_asked(context, run)),
        load_plan={
            **_described(context.config, len(chosen), run),
            "model": run.described["model"],
            "think_s": f"{least:g}" if least == most else f"{least:g} to {most:g}",
        },
        fingerprint={"target": _shown(context)},
        notes=(*run.notes(), *_notes(left_out, run)),
    )


def _collect_scenario(context: CollectContext) -> Collected:
    environment = context.config.environment
    plan = plan_of(context.config, context.target)
    run = _run(context, plan)
    for name, table in (("samples", run.table), ("journeys", run.journeys), ("checks", run.checks)):
        context.sink.write(name, table)
    if plan.search is not None:
        context.sink.write("steps", steps_table(run.steps))
    return Collected(
        window=run.window,
        load=run.journey_summary(**_asked(context, run)),
        load_plan={
            **_described(context.config, 0, run),
            "scenario": environment.scenario.file,
            **run.described,
            **_search_told(plan.search, run),
        },
        fingerprint={"target": _shown(context)},
        notes=(*run.notes(), *_notes((), run), *_search_notes(context.config, plan.search)),
    )


def _run(context: CollectContext, plan: ScenarioPlan) -> ScenarioRun:
    return run_scenario(plan, _teller(context, plan.duration_s), journals=context.journals)


def _shown(context: CollectContext) -> str:
    return figures.address_of(context.target.api_url, context.config.environment.variables.api_url)[1].shown


def _asked(context: CollectContext, run: HttpRun) -> dict[str, Any]:
    """What a summary is told of the plan."""
    load = context.config.environment.load
    return {
        "steady": judged_phases(load),
        "judged": [phase.name for phase in phases_of(load)] + [one.phase for one in run.steps if one.sustained],
        "rate": judged_rate(load),
        "seconds": load.judged_s,
        "same_machine": context.target.local,
    }


def _teller(context: CollectContext, total_s: float) -> Any:
    """Turn a worker's progress into the component's."""

    def tell(progress: Mapping[str, Any]) -> None:
        stage = progress["stage"]
        context.progress(
            Progress(
                component=ComponentId.API,
                elapsed_s=progress["elapsed_s"],
                total_s=total_s,
                rate=progress["rate"],
                p95_ms=progress["p95_ms"],
                failed=progress["failed"],
                message=stage if stage.startswith("step:") else "",
            )
        )

    return tell


# --- what is told of it ---


def _described(config: RunConfig, endpoints: int, run: HttpRun) -> dict[str, str]:
    load = config.environment.load
    day = "" if load.day is None else f"{len(load.day.periods)} periods, {speed(load):.0f} times as fast as the clock"
    plan = {
        "model": f"open, {_JITTERS[load.jitter]}",
        "rate": f"{load.rate:g}/s",
        **({"day": day} if day else {}),
        "users": str(load.users),
        "pace_s": f"{load.pace_s:g}",
        "duration_s": f"{load.duration_s:g}",
        "ramp_up_s": f"{load.ramp_up_s:g}",
        **({"warmup_s": f"{load.warmup_s:g}"} if load.warmup_s else {}),
        "endpoints": str(endpoints),
        "seed": str(SEED),
        "connections": str(run.facts["connects"]),
        **({"shards": run.shards} if config.environment.scale.shards > 1 else {}),
    }
    return plan if run.stopped is None else plan | {"stopped": run.stopped}


def _search_told(search: SearchPlan | None, run: HttpRun) -> dict[str, str]:
    if search is None:
        return {}
    return {"search": search.described, **described(run.steps, run.facts["search_ended"])}


def _notes(left_out: Sequence[Endpoint], run: HttpRun) -> tuple[str, ...]:
    notes = []
    if left_out:
        names = ", ".join(endpoint.name for endpoint in left_out)
        notes.append(f"left out, because this environment forbids writes: {names}")
    if run.stopped is not None:
        notes.append(f"the load was {run.stopped}: the rest of its plan was not sent")
    return tuple(notes)


def _search_notes(config: RunConfig, search: SearchPlan | None) -> tuple[str, ...]:
    asked = config.environment.load.search
    if search is None or asked is None:
        return ()
    notes = []
    if config.environment.scale.shards > 1:
        notes.append("the capacity search ran in one process, not in shards")
    if search.rates[-1] < asked.target:
        notes.append(
            f"max_rate {search.rates[-1]:g}/s is below the target of {asked.target:g}/s: "
            "the search cannot show that the target is reached"
        )
    return tuple(notes)
