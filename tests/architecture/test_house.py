"""Rules of the house that import-linter cannot see."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from deployments.config import ENVIRONMENTS, build_config, known, load_environment, load_thresholds
from storage.records import ComponentId
from tasks.components import COMPONENTS

ROOT = Path(__file__).resolve().parents[2]
OURS = ("flows", "tasks", "deployments", "storage")


def test_nothing_else_installed_owns_our_top_level_names() -> None:
    owners = packages_distributions()
    assert {name: set(owners.get(name, [])) - {"hasivu-perf"} for name in OURS} == {name: set() for name in OURS}


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("*.py")), ids=lambda path: path.stem)
def test_a_flow_file_shadows_no_module(path: Path) -> None:
    # Prefect may put flows/ first on sys.path, where flows/redis.py would become `import redis`.
    if path.stem != "__init__":
        assert path.stem not in sys.stdlib_module_names
        assert find_spec(path.stem) is None


def test_every_component_is_registered_under_its_own_id() -> None:
    assert {key: component.id for key, component in COMPONENTS.items()} == {one: one for one in ComponentId}


def test_thresholds_and_components_name_the_same_metrics() -> None:
    thresholds, weights = load_thresholds()
    produced = {metric for component in COMPONENTS.values() for metric in component.metrics}
    assert {one.metric for one in thresholds} <= produced
    for component in COMPONENTS.values():
        assert any(one.metric.startswith(f"{component.id.value}.") for one in thresholds)
        assert component.id in weights


def test_environments_hold_names_of_variables_and_no_addresses() -> None:
    for name in known():
        environment = load_environment(name)
        assert environment.name == name
        assert "://" not in (ENVIRONMENTS / f"{name}.toml").read_text(encoding="utf-8")


def test_production_forbids_writes() -> None:
    config = build_config("production")
    assert config.environment.production
    assert not config.environment.writes


def test_a_wrong_argument_is_answered_without_prefect() -> None:
    code = "import sys, flows.cli; sys.exit('prefect' in sys.modules or 'boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60, cwd=ROOT).returncode == 0


def test_the_package_is_private() -> None:
    assert "Private :: Do Not Upload" in (distribution("hasivu-perf").metadata.get_all("Classifier") or [])
