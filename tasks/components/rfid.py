"""RFID readers at the school gate: how fast one card is verified, how fast a bulk, and how many cards a second.

Three parts, one after the other:

1. *single*: verifications at a moderate rate, min(50/s, a quarter of the target): `rfid.latency.*`;
2. *bulk*: requests that each carry `bulk_size` verifications: `rfid.bulk.*`;
3. *search*: single verifications at rates that grow step by step through the target up to target × margin, never
   above the load's `max_rate`. A step is sustained while p95 and errors keep their limits and 95 % of its rate is
   achieved; the first step that breaks is tried once more, and ends the search when it breaks again.
   `rfid.throughput` is what the highest sustained step achieved. Where none was sustained it is what the
   first step achieved when it was tried again; where nothing was answered it has no value.

The first two share the load's duration, beside the load of the other components. The search would disturb those, for
it drives the platform to its limit: it starts when their load has ended, after a pause, and `load_plan` records from
when to when it ran. A verification is good when its status and its body say so.
`rfid.errors.ratio` speaks of the first two parts: a search overloads its target on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pyarrow as pa

from deployments.config import Endpoint, RfidSettings, RunConfig, Target, ValueRange
from deployments.load import Load
from storage.records import (
    Collected,
    ComponentId,
    Finding,
    Level,
    Measurement,
    Remedy,
    Severity,
)
from tasks.components.base import Check, CollectContext, Progress, Samples
from tasks.load import advice, figures
from tasks.load.advice import again, of_metric
from tasks.load.capacity import Capacity, outcome, steps_from, steps_table
from tasks.load.http_load import (
    SEED,
    HttpPlan,
    HttpRun,
    connections_for,
    run_http,
    schedule_stage,
)
from tasks.load.mix import endpoint_plan
from tasks.load.recording import samples
from tasks.load.recording.samples import STEADY, WARMUP
from tasks.load.schedule import Phase
from tasks.load.search import PAUSE, PAUSE_S, SearchPlan, capacity_measurement, described, readers_search

BULK = "bulk"
_SINGLE_RATE = 50.0
_TARGET_PART = 4
_SINGLE_SHARE = 0.6
_WARMUP_SHARE = 0.1
_WARMUP_S = 2.0
_GOOD = r'"success"\s*:\s*true'
_ALL_GOOD = r'\A(?![\s\S]*"success"\s*:\s*false)[\s\S]*"success"\s*:\s*true'
_SECONDS_A_MINUTE = 60


@dataclass(frozen=True)
class Timing:
    """How the load's duration is shared out; seconds, and requests a second."""

    single_rate: float
    warmup_s: float
    single_s: float
    bulk_rate: float
    bulk_s: float
    pause_s: float
    search: SearchPlan

    @property
    def total_s(self) -> float:
        """All of it: what the live view counts up to."""
        return self.warmup_s + self.single_s + self.bulk_s + self.pause_s + self.search.seconds


@dataclass(frozen=True)
class RfidComponent:
    """See the module."""

    id: ComponentId = ComponentId.RFID
    title: str = "RFID readers"
    metrics: frozenset[str] = frozenset(
        {
            "rfid.throughput",
            "rfid.latency.p50",
            "rfid.latency.p95",
            "rfid.bulk.throughput",
            "rfid.bulk.p95",
            "rfid.errors.ratio",
        }
    )

    def collect(self, context: CollectContext) -> Collected:
        """Present test cards to the readers; `NotMeasuredError` where the address is missing or has no host."""
        environment = context.config.environment
        url, address = figures.address_of(context.target.api_url, environment.variables.api_url)
        settings, load = environment.rfid, environment.load
        timing = share_out(settings, load)
        plan = HttpPlan(
            url=url,
            variable=environment.variables.api_url,
            endpoints=_endpoints(settings),
            values=_values(settings),
            stages=_stages(timing),
            load=load,
            timeout_s=settings.timeout_s,
            max_connections=connections_for(timing.search.rates[-1]),
            headers={name: value.get_secret_value() for name, value in context.target.headers.items()},
            config=context.config,
        )
        run = run_http(plan, _teller(context, timing.total_s), journals=context.journals)
        context.sink.write("samples", run.table)
        context.sink.write("steps", steps_table(run.steps))
        sustained = [step.phase for step in run.steps if step.sustained]
        return Collected(
            window=run.window,
            load=run.summary(
                steady=(STEADY,),
                judged=(STEADY, BULK, *sustained),
                rate=timing.single_rate,
                seconds=timing.single_s,
                same_machine=context.target.local,
            ),
            load_plan=_described(settings, timing, run, shards=environment.scale.shards),
            fingerprint={"target": address.shown, **run.release},
            notes=_notes(settings, load, run, shards=environment.scale.shards),
        )

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """Throughput of the search, latency of single verifications, figures of bulks, errors of both."""
        return _figures(samples, config.environment.rfid)

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """The shared findings of load, refused payloads and errors, too few verifications a second."""
        table = samples.tables["samples"]
        return [
            *advice.common(ComponentId.RFID, table, samples.collected, measurements, config),
            *_refused(table, measurements, config),
            *_too_slow(samples, measurements, config),
        ]

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """Name, TCP connection and TLS of the address that readers call, without any request."""
        seen = figures.look(target.api_url, config.environment.variables.api_url)
        return [Check(f"RFID {what}", ok, detail, remedy) for what, ok, detail, remedy in seen]


RFID = RfidComponent()
"""The one instance."""


def share_out(settings: RfidSettings, load: Load) -> Timing:
    """Share the load's duration out; the search comes after it, and takes a quarter of it at most.

    Single verifications take 60 % of the duration (a tenth of that, at most 2 s, as warm-up) and bulks 40 %.
    """
    single = _SINGLE_SHARE * load.duration_s
    warmup = min(_WARMUP_S, _WARMUP_SHARE * single)
    return Timing(
        single_rate=min(_SINGLE_RATE, settings.target_rate / _TARGET_PART, load.max_rate),
        warmup_s=warmup,
        single_s=single - warmup,
        bulk_rate=min(settings.bulk_rate, load.max_rate),
        bulk_s=load.duration_s - single,
        pause_s=PAUSE_S,
        search=readers_search(settings, load),
    )


def _endpoints(settings: RfidSettings) -> list[dict[str, Any]]:
    one = {"cardNumber": "{card}", "readerId": "{reader}"}
    many = [{"cardNumber": f"{{card{n}}}", "readerId": "{reader}"} for n in range(settings.bulk_size)]
    return [
        endpoint_plan(Endpoint(method="POST", path=settings.verify_path, body=one), expect_body=_GOOD),
        endpoint_plan(
            Endpoint(method="POST", path=settings.bulk_path, body={"verifications": many}),
            items=settings.bulk_size,
            expect_body=_ALL_GOOD,
        ),
    ]


def _values(settings: RfidSettings) -> dict[str, ValueRange]:
    bulk = {f"card{n}": settings.cards for n in range(settings.bulk_size)}
    return {"card": settings.cards, "reader": settings.readers, **bulk}


def _stages(timing: Timing) -> list[dict[str, Any]]:
    single = [
        Phase(WARMUP, timing.single_rate, timing.single_rate, timing.warmup_s),
        Phase(STEADY, timing.single_rate, timing.single_rate, timing.single_s),
    ]
    bulk = [
        Phase(BULK, timing.bulk_rate, timing.bulk_rate, timing.bulk_s),
        Phase(PAUSE, 0, 0, timing.pause_s),  # the load of the other components ends meanwhile
    ]
    return [
        schedule_stage(single, [0]),
        schedule_stage(bulk, [1], jitter="uniform"),
        timing.search.stage([0], timing.total_s),
    ]


def _teller(context: CollectContext, total_s: float) -> Any:
    """Turn a worker's progress into the component's."""

    def tell(progress: Mapping[str, Any]) -> None:
        context.progress(
            Progress(
                component=ComponentId.RFID,
                elapsed_s=progress["elapsed_s"],
                total_s=total_s,
                rate=progress["rate"],
                p95_ms=progress["p95_ms"],
                failed=progress["failed"],
                message=progress["stage"],
            )
        )

    return tell


def _described(settings: RfidSettings, timing: Timing, run: HttpRun, *, shards: int) -> dict[str, str]:
    plan = {
        "single": f"{timing.single_rate:g}/s for {timing.single_s:.1f} s after {timing.warmup_s:.1f} s of warm-up",
        "bulk": f"{timing.bulk_rate:g}/s of {settings.bulk_size} verifications for {timing.bulk_s:.1f} s",
        "search": timing.search.described,
        "seed": str(SEED),
        "connections": str(run.facts["connects"]),
        **({"shards": run.shards} if shards > 1 else {}),
        **described(run.steps, run.facts["search_ended"]),
    }
    return plan if run.stopped is None else plan | {"stopped": run.stopped}


def _notes(settings: RfidSettings, load: Load, run: HttpRun, *, shards: int) -> tuple[str, ...]:
    notes = [] if shards == 1 else ["the capacity search ran in one process, not in shards"]
    if run.stopped is not None:
        notes.append(f"the load was {run.stopped}: the rest of its plan was not sent")
    if load.max_rate < settings.target_rate:
        notes.append(
            f"max_rate {load.max_rate:g}/s is below the target of {settings.target_rate:g}/s: "
            "the search cannot show that the target is reached"
        )
    return tuple(notes)


# --- measure ---


def _search(samples_: Samples) -> Capacity:
    ended = samples_.collected.load_plan.get("search_ended", "stopped")
    return outcome(steps_from(samples_.tables["steps"]), ended)


def _figures(samples_: Samples, settings: RfidSettings) -> list[Measurement]:
    table = samples_.tables["samples"]
    stopped = samples_.collected.load_plan.get("stopped")
    why = f"the load was {stopped}, before this part" if stopped else "no request was sent"
    single, bulk = samples.of_phase(table, STEADY), samples.of_phase(table, BULK)
    both = samples.of_phase(table, WARMUP, STEADY, BULK)
    return [
        capacity_measurement(
            "rfid.throughput",
            _search(samples_),
            table,
            settings.target_rate,
            source="capacity search: good verifications a second of the highest sustained step",
        ),
        figures.latency("rfid.latency.p50", single, 0.50, why_none=why),
        figures.latency("rfid.latency.p95", single, 0.95, why_none=why),
        figures.latency("rfid.latency.p99", single, 0.99, why_none=why),
        figures.throughput("rfid.bulk.throughput", bulk, why_none=why, items=True),
        figures.latency("rfid.bulk.p50", bulk, 0.50, why_none=why),
        figures.latency("rfid.bulk.p95", bulk, 0.95, why_none=why),
        figures.errors("rfid.errors.ratio", both, why_none=why),
        *(
            figures.errors("rfid.errors.ratio", samples.of_endpoint(both, name), labels={"endpoint": name})
            for name in samples.endpoints(both)
        ),
    ]


# --- advise ---


def _refused(table: pa.Table, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """Verifications that were answered, but not as expected, or not at all; silent where nothing answered."""
    both = samples.of_phase(table, WARMUP, STEADY, BULK)
    if not samples.counts(both)["answered"]:
        return []
    found = []
    for endpoint in samples.endpoints(both):
        rows = samples.of_endpoint(both, endpoint)
        ratio = samples.error_ratio(rows) or 0.0
        if ratio:
            found.append(_refused_one(endpoint, rows, ratio, measurements, config))
    return found


def _refused_one(
    endpoint: str, rows: pa.Table, ratio: float, measurements: Sequence[Measurement], config: RunConfig
) -> Finding:
    number = samples.counts(rows)
    invalid = HTTPStatus.BAD_REQUEST in samples.statuses(rows.filter(pa.array(samples.failed(rows))))
    limit = config.environment.rfid.error_limit
    summary = (
        "Compare the payload (cardNumber, readerId) with the service's schema, and the cards and readers in "
        "[rfid] with those that are registered"
        if invalid
        else "Look for these statuses in the service's log; check that the test cards in [rfid] are active"
    )
    return Finding(
        id=f"rfid.{'payload' if invalid else 'errors'}:{endpoint}",
        component=ComponentId.RFID,
        kind="payload" if invalid else "errors",
        subject=endpoint,
        title=f"{endpoint} {'refuses the payload of' if invalid else 'fails for'} {ratio:.1%} of its requests",
        detail=f"{number['failed'] + number['errors']} of {number['sent']}: {figures.statuses_text(rows)}.",
        severity=Severity.WARNING if ratio > limit else Severity.INFO,
        impact=Level.HIGH if ratio > limit else Level.LOW,
        effort=Level.LOW if invalid else Level.MEDIUM,
        evidence=of_metric(measurements, "rfid.errors.ratio", endpoint=endpoint),
        remedy=Remedy(summary=summary, commands=(again(config, "rfid"),)),
    )


def _too_slow(samples_: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """Fewer verifications a second than the readers need; silent where the generator was the limit."""
    settings = config.environment.rfid
    search = _search(samples_)
    broken = search.broken
    figure = next((m for m in of_metric(measurements, "rfid.throughput") if m.value is not None), None)
    if broken is None or figure is None or figure.value is None:
        return []
    if broken.generator_limited or broken.rate > settings.target_rate:
        return []
    served, needed = figure.value * _SECONDS_A_MINUTE, settings.target_rate * _SECONDS_A_MINUTE
    return [
        Finding(
            id="rfid.throughput:verify",
            component=ComponentId.RFID,
            kind="throughput",
            subject=settings.verify_path,
            title=f"The readers serve {served:,.0f} children a minute, {needed:,.0f} are needed",
            detail=(
                f"{figure.value:.0f} verifications/s are sustained, the target is {settings.target_rate:g}/s; "
                f"at {broken.rate:g}/s {broken.why}."
            ),
            severity=Severity.WARNING,
            impact=Level.HIGH,
            effort=Level.MEDIUM,
            evidence=(figure, *of_metric(measurements, "rfid.latency.p95")),
            remedy=Remedy(
                summary="See which statements a verification runs and whether cards come from the cache; "
                "then add instances, or connections to the pool, and measure again",
                commands=(again(config, "database"), again(config, "cache"), again(config, "rfid")),
            ),
        )
    ]
