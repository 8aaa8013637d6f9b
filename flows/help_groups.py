"""The parts of `hasivu-perf --help`, in the order in which a newcomer meets them."""

from __future__ import annotations

from cyclopts import Group

MEASURE = Group("Measure", sort_key=0)
STORED = Group("Look at stored runs", sort_key=1)
PREPARE = Group("Prepare and watch", sort_key=2)
OPERATE = Group("Operate with a Prefect server", sort_key=3)
