"""Gate profiles and waivers as files: what is wrong is named, with all of its fields."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.config import build_config, known, load_gate
from deployments.gates import GateProfile, gate_policy, load_waivers
from storage.errors import ConfigurationError

WHOLE = """
[[waiver]]
check = "api.latency.p95"
environments = ["staging"]
owner = "priya"
reason = "new payment provider, PERF-131"
until = 2025-04-30
"""


def waivers_of(folder: Path, text: str, environment: str = "staging") -> int:
    path = folder / "waivers.toml"
    path.write_text(text, encoding="utf-8")
    return len(load_waivers(environment, path))


def test_production_and_staging_block_and_development_warns() -> None:
    assert {name: load_gate(name).blocks for name in known()} == {
        "development": False,
        "production": True,
        "staging": True,
    }
    assert load_gate("production").self_test
    assert build_config("quick").gate.name == "warn"
    assert load_gate("development", named="strict").blocks
    with pytest.raises(ConfigurationError, match="no gate profile"):
        load_gate("development", named="lenient")


def test_an_environment_that_no_profile_names_is_gated_strictly() -> None:
    assert gate_policy({}, "anything").blocks
    lax = GateProfile(environments=("a",), blocks=False)
    assert gate_policy({"lax": lax}, "b").blocks
    with pytest.raises(ConfigurationError, match="both claim a"):
        gate_policy({"lax": lax, "other": lax}, "a")


def test_a_waiver_is_for_its_environments(tmp_path: Path) -> None:
    assert waivers_of(tmp_path, WHOLE) == 1
    assert waivers_of(tmp_path, WHOLE, "production") == 0


@pytest.mark.parametrize("field", ["owner", "reason", "until", "check"])
def test_a_waiver_without_owner_reason_or_end_is_refused(tmp_path: Path, field: str) -> None:
    lines = [line for line in WHOLE.splitlines() if not line.startswith(field)]
    with pytest.raises(ConfigurationError, match=rf"waivers\.toml: waiver\.0\.{field}"):
        waivers_of(tmp_path, "\n".join(lines))


def test_an_empty_owner_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="owner"):
        waivers_of(tmp_path, WHOLE.replace('"priya"', '"  "'))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.toml"):
        load_waivers("staging", tmp_path / "no.toml")
