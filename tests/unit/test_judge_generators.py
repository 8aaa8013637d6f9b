"""The gate's row on the load generators: not trusted passes no gate, indicative a development gate alone."""

from __future__ import annotations

import pytest

from deployments.config import build_config
from storage.records import Collected, ComponentId, GateCheck, GateVerdict, LoadSummary, MeasuredComponent, Trust
from tasks.judge.gate import gate
from tasks.judge.generators import LOAD_TRUST, load_trust
from tasks.judge.score import score
from tests.report_example import THRESHOLDS, WEIGHTS, WINDOW, failed, measured, results, switched_off


def loaded(component: ComponentId, trust: Trust, *reasons: str) -> MeasuredComponent:
    load = LoadSummary(
        planned=10,
        sent=10,
        unsent=0,
        answered=10,
        failed=0,
        target_rate=5,
        achieved_rate=5,
        trust=trust,
        reasons=reasons,
    )
    return measured(component, collected=Collected(window=WINDOW, load=load))


def row(*trusts: Trust, indicative: bool = False) -> GateCheck:
    components = [loaded(c, trust, f"because of {c}") for c, trust in zip(ComponentId, trusts, strict=False)]
    found = load_trust(components, indicative=indicative)
    assert found is not None
    return found


def test_trusted_generators_pass() -> None:
    found = row(Trust.TRUSTED, Trust.TRUSTED)
    assert (found.id, found.verdict, found.value, found.limit) == (LOAD_TRUST, GateVerdict.PASS, 0, 0)
    assert found.detail == "2 load generators, all trusted"


@pytest.mark.parametrize("development", [True, False])
def test_one_that_is_not_trusted_is_no_data_whatever_the_environment(*, development: bool) -> None:
    found = row(Trust.TRUSTED, Trust.NOT_TRUSTED, indicative=development)
    assert (found.verdict, found.value) == (GateVerdict.NO_DATA, None)
    assert found.detail == f"{list(ComponentId)[1]} not trusted: because of {list(ComponentId)[1]}"


def test_an_indicative_one_passes_a_development_gate_alone_and_is_named() -> None:
    here = row(Trust.INDICATIVE, indicative=True)
    assert (here.verdict, here.value) == (GateVerdict.PASS, 0)
    assert "indicative only" in here.detail
    assert row(Trust.INDICATIVE).verdict is GateVerdict.NO_DATA


def test_the_gravest_come_first_and_one_reason_is_told_once() -> None:
    one, two, three, *_ = ComponentId
    loads = [
        loaded(one, Trust.INDICATIVE, "one machine"),
        loaded(two, Trust.NOT_TRUSTED, "late"),
        loaded(three, Trust.INDICATIVE, "one machine"),
    ]
    found = load_trust(loads, indicative=True)
    assert found is not None
    assert found.detail == f"{two} not trusted: late; {one}, {three} indicative only: one machine"


def test_there_is_no_row_without_load() -> None:
    assert load_trust([*results(), failed(ComponentId.API)], indicative=True) is None
    assert load_trust([switched_off(ComponentId.API)], indicative=True) is None


def test_the_row_decides_with_the_rest_of_the_gate() -> None:
    found = results()
    for trust, development, verdict in (
        (Trust.TRUSTED, False, GateVerdict.PASS),
        (Trust.INDICATIVE, True, GateVerdict.PASS),
        (Trust.INDICATIVE, False, GateVerdict.NO_DATA),
        (Trust.NOT_TRUSTED, True, GateVerdict.NO_DATA),
    ):
        api = next(one for one in found if one.component is ComponentId.API)
        assert api.status == "measured"
        load = loaded(ComponentId.API, trust).collected
        changed = [one if one is not api else api.model_copy(update={"collected": load}) for one in found]
        outcome = score(changed, THRESHOLDS, WEIGHTS)
        assert gate(outcome, changed, THRESHOLDS, (), indicative=development).verdict is verdict


def test_only_where_nothing_is_released_the_gate_takes_indicative_figures() -> None:
    takers = {name: build_config(name).environment.indicative for name in ("development", "staging", "production")}
    assert takers == {"development": True, "staging": False, "production": False}


def test_a_doubted_generator_hides_no_failure_that_others_measured() -> None:
    """A slow cold start fails the gate whatever the API's generator thinks of itself; its own slowness does not."""

    def verdict(lambda_p95: float, api_p95: float) -> GateVerdict:
        figures = {"lambda.cold_start.p95": lambda_p95, "api.latency.p95": api_p95}
        found = results(figures)
        api = next(one for one in found if one.component is ComponentId.API)
        assert api.status == "measured"
        late = loaded(ComponentId.API, Trust.NOT_TRUSTED).collected
        changed = [one if one is not api else api.model_copy(update={"collected": late}) for one in found]
        return gate(score(changed, THRESHOLDS, WEIGHTS), changed, THRESHOLDS, (), indicative=True).verdict

    limits = {one.metric: one.gate for one in THRESHOLDS}
    cold, slow = limits["lambda.cold_start.p95"], limits["api.latency.p95"]
    assert cold is not None
    assert slow is not None
    assert verdict(cold / 2, slow / 2) is GateVerdict.NO_DATA
    assert verdict(cold * 1.1, slow / 2) is GateVerdict.FAIL
    assert verdict(cold / 2, slow * 1.1) is GateVerdict.NO_DATA
