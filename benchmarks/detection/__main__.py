"""Detectors on labelled series, replayed run by run: `python -m benchmarks.detection [COUNT] [SUITES]`, minutes.

With SUITES, a number of series, ours alone is replayed on five draws of that many series of every family as well, and
asked once for each whole series: the medians of the draws, and the worst.

PELT is that of `ruptures` where it is installed; it is no dependency of the project.
"""

from __future__ import annotations

import importlib
import math
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.detection.families import FAMILIES, family
from benchmarks.detection.replay import Detector, at_once, replay_all
from benchmarks.detection.series import Floats, suite
from tasks.judge.detect import change_points

Changes = list[tuple[int, int]]
SEEDS = (901, 902, 903, 904, 905)
"""Draws that nothing was tuned on."""


def ours(values: Floats) -> Changes:
    """The robust confirmed change point."""
    return [(found.index, found.direction) for found in change_points(values.tolist())]


def against_last(values: Floats) -> Changes:
    """10 % against the last run."""
    place = np.flatnonzero(np.isfinite(values))[-2:]
    if len(place) < 2:
        return []
    ratio = values[place[1]] / values[place[0]]
    return [(int(place[1]), 1 if ratio > 1 else -1)] if abs(ratio - 1) > 0.1 else []


def z_score(values: Floats) -> Changes:
    """The last run against mean and deviation of the 20 before, |z| > 3."""
    place = np.flatnonzero(np.isfinite(values))[-21:]
    if len(place) < 11:
        return []
    before = values[place[:-1]]
    z = (values[place[-1]] - before.mean()) / max(float(before.std(ddof=1)), 1e-12)
    return [(int(place[-1]), 1 if z > 0 else -1)] if abs(z) > 3 else []


def mann_whitney(values: Floats) -> Changes:
    """The last 7 runs against the 20 before: p < 0.001 and an effect of 4 %."""
    place = np.flatnonzero(np.isfinite(values))[-27:]
    if len(place) < 27:
        return []
    old, new = values[place[:20]], values[place[20:]]
    order = np.argsort(np.argsort(np.concatenate([old, new]))) + 1
    u = float(order[20:].sum()) - 7 * 8 / 2
    z = (u - 70) / math.sqrt(20 * 7 * 28 / 12)
    effect = float(np.median(new) / np.median(old) - 1)
    return [(int(place[20]), 1 if z > 0 else -1)] if abs(z) > 3.29 and abs(effect) > 0.04 else []


def pelt() -> Detector | None:
    """PELT with a BIC penalty on logarithms."""
    try:
        ruptures = importlib.import_module("ruptures")
    except ImportError:
        return None
    made: Callable[..., Any] = ruptures.KernelCPD

    def detect(values: Floats) -> Changes:
        place = np.flatnonzero(np.isfinite(values))
        logs = np.log(values[place])
        scale = 1.4826 * float(np.median(np.abs(np.diff(logs)))) / math.sqrt(2)
        edges = made(kernel="linear", min_size=3).fit(logs[:, None]).predict(pen=3 * scale**2 * math.log(len(logs)))
        cuts = [0, *edges]
        return [
            (int(place[b]), 1 if logs[b:c].mean() > logs[a:b].mean() else -1)
            for a, b, c in zip(cuts, cuts[1:], cuts[2:], strict=False)
        ]

    return detect


def main(count: int) -> None:
    """Print a row for each detector."""
    found = suite(count)
    detectors: dict[str, Detector | None] = {
        "robust confirmed": ours,
        "10 % against last": against_last,
        "z-score": z_score,
        "Mann-Whitney": mann_whitney,
        "PELT (ruptures)": pelt(),
    }
    changes, points = sum(len(one.changes) for one in found), sum(len(one.values) for one in found)
    print(f"{count} series, {points:,} points, {changes} changes")
    print(f"{'':20}{'F1':>7}{'hits':>7}{'false/1000':>12}{'delay':>7}{'ms a call':>11}")
    for name, detector in detectors.items():
        if detector is None:
            print(f"{name:20} not measured: ruptures is not installed")
            continue
        began = time.process_time()
        score = replay_all(found, detector)
        each = (time.process_time() - began) / points * 1e3
        figures = f"{score.f1:7.3f}{score.hits:7d}{score.false_per_1000:12.2f}{score.delay:7.1f}{each:11.2f}"
        print(f"{name:20}{figures}", flush=True)


def by_family(count: int) -> None:
    """Print a row for each family of series, medians over `SEEDS`; after the stroke the worst of them."""
    print(f"\n{len(SEEDS)} x {count} series of each family")
    print(f"{'':16}{'changes':>8}{'F1':>14}{'false/1000':>14}{'delay':>7}{'F1 of whole':>13}{'runs off':>9}")
    for name in ("nightly", *FAMILIES):
        draws = [family(name, count, seed=seed) for seed in SEEDS]
        scores = [replay_all(found, ours) for found in draws]
        wholes = [at_once(found, ours) for found in draws]
        f1 = f"{median(one.f1 for one in scores):.3f} / {min(one.f1 for one in scores):.3f}"
        rates = [one.false_per_1000 for one in scores]
        delay, whole = (median(one.delay for one in group) for group in (scores, wholes))
        changes = sum(len(one.changes) for found in draws for one in found)
        told = (
            [f1, f"{delay:.1f}", f"{median(one.f1 for one in wholes):.3f}", f"{whole:.1f}"] if changes else ["-"] * 4
        )
        false = f"{median(rates):.2f} / {max(rates):.2f}"
        print(f"{name:16}{changes:8d}{told[0]:>14}{false:>14}{told[1]:>7}{told[2]:>13}{told[3]:>9}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 240)
    if len(sys.argv) > 2:
        by_family(int(sys.argv[2]))
