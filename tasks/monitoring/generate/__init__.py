"""Prometheus rules with their tests, Grafana dashboards and CloudWatch alarms, all made from thresholds.toml. Pure.

`hasivu-perf monitoring` writes them; those of the thresholds that come with this program are kept in
`tasks/monitoring/generated`, and a test sees to it that they are what the command would write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from storage.records import Threshold
from tasks.monitoring.generate.cloudwatch import alarms_script
from tasks.monitoring.generate.executive import executive_dashboard
from tasks.monitoring.generate.prometheus import rules_file, tests_file
from tasks.monitoring.generate.technical import technical_dashboard

FOLDER = Path(__file__).resolve().parent.parent / "generated"
"""Where those of this program's own thresholds are kept."""

RULES, RULE_TESTS = "prometheus-rules.yml", "prometheus-rules.test.yml"
EXECUTIVE, TECHNICAL = "grafana-executive.json", "grafana-technical.json"
ALARMS = "cloudwatch-alarms.sh"


def files(thresholds: Sequence[Threshold], critical: Sequence[str], name_prefix: str) -> Mapping[str, str]:
    """Every file by its name; `critical` and `name_prefix` name the functions that serve lunch."""
    return {
        RULES: rules_file(thresholds),
        RULE_TESTS: tests_file(thresholds, RULES),
        EXECUTIVE: executive_dashboard(thresholds),
        TECHNICAL: technical_dashboard(thresholds),
        ALARMS: alarms_script(thresholds, critical, name_prefix),
    }
