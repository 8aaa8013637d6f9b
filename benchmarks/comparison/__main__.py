"""Two-run tests on simulated load: `python -m benchmarks.comparison [TRIALS]`. Alarm rates, "worse" or "better"."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.comparison.load import Floats, Load, figures, run
from tasks.judge.compare import compare_runs

Run = tuple[Floats, Floats]
Test = Callable[[Run, Sequence[Run]], bool]

CASES = {"A/A": (1.0, 1.0), "+5 %": (1.05, 1.0), "+10 %": (1.1, 1.0), "+20 %": (1.2, 1.0), "tail": (1.0, 1.25)}
LOADS = {
    "usual": Load(),
    "busy": Load(wander=0.15, pauses=8, memory_s=20),
    "restless": Load(apart=0.03),
    "short": Load(requests=3_000, seconds=60, pauses=1),
}


def ours(now: Run, before: Sequence[Run]) -> bool:
    """Sliced p95 against five baselines."""
    found = compare_runs(figures("now", *now), [figures(str(at), *one) for at, one in enumerate(before)])
    return found[0].verdict in ("worse", "better")


def ours_of_one(now: Run, before: Sequence[Run]) -> bool:
    """The same against one baseline."""
    return ours(now, before[:1])


def ten_per_cent(now: Run, before: Sequence[Run]) -> bool:
    """p95 more than 10 % above that of the last run."""
    return bool(np.quantile(now[1], 0.95) > 1.1 * np.quantile(before[0][1], 0.95))


def mann_whitney(now: Run, before: Sequence[Run]) -> bool:
    """All requests of both runs: p < 0.01."""
    a, b = before[0][1], now[1]
    order = np.argsort(np.argsort(np.concatenate([a, b]))) + 1
    u = float(order[len(a) :].sum()) - len(b) * (len(b) + 1) / 2
    z = (u - len(a) * len(b) / 2) / math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
    return abs(z) > 2.576


def main(trials: int) -> None:
    """Print a table for each kind of load."""
    tests: dict[str, Test] = {
        "p95 > +10 %": ten_per_cent,
        "Mann-Whitney": mann_whitney,
        "sliced, 1 baseline": ours_of_one,
        "sliced, 5 baselines": ours,
    }
    for name, load in LOADS.items():
        rng = np.random.default_rng(5)
        alarms = {test: dict.fromkeys(CASES, 0) for test in tests}
        spent = dict.fromkeys(tests, 0.0)
        for _ in range(trials):
            before = [run(rng, load) for _ in range(5)]
            for case, (factor, tail) in CASES.items():
                now = run(rng, load, factor, tail)
                for test, alarm in tests.items():
                    began = time.process_time()
                    alarms[test][case] += alarm(now, before)
                    spent[test] += time.process_time() - began
        print(f"\n{name}: {load}, {trials} trials\n{'':20}{''.join(f'{case:>8}' for case in CASES)}{'ms':>8}")
        for test in tests:
            rates = "".join(f"{alarms[test][case] / trials:8.2f}" for case in CASES)
            print(f"{test:20}{rates}{spent[test] / trials / len(CASES) * 1e3:8.1f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
