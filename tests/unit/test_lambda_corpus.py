"""Exact answers on a log of every format with hostile lines mixed in."""

from __future__ import annotations

import statistics as stdlib

import pytest

from tasks.components.lambda_functions.reports import statistics
from tests.lambda_corpus import FUNCTIONS, Corpus, generate


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return generate(800)


def test_exact_answers_whatever_is_mixed_in(corpus: Corpus) -> None:
    assert len(corpus.events) >= 10_000
    found = statistics(corpus.events)
    assert sorted(found) == sorted(FUNCTIONS)
    for name, truth in corpus.truth.items():
        one = found[name]
        assert one.invocations == len(truth.durations), name
        assert (one.cold_starts, one.restores) == (len(truth.inits), len(truth.restores)), name
        assert (one.provisioned_inits, one.failed_inits) == (truth.provisioned, truth.failed_inits), name
        assert (one.timeouts, one.errors) == (truth.timeouts, truth.errors), name
        assert (one.billed_ms, one.duplicates) == (truth.billed, truth.duplicates), name
        for samples, percentiles in ((truth.durations, one.duration_ms), (truth.inits, one.init_ms)):
            if not samples:
                assert percentiles is None
                continue
            assert percentiles is not None
            cuts = stdlib.quantiles(samples, n=100, method="inclusive")
            assert (percentiles.n, percentiles.maximum) == (len(samples), max(samples))
            seen = (percentiles.p50, percentiles.p95, percentiles.p99)
            assert seen == pytest.approx((cuts[49], cuts[94], cuts[98]))
        assert one.suspicious > 0, name
