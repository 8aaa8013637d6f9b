"""Environments and thresholds: every problem at once, named by file, field and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.config import (
    ENVIRONMENTS,
    build_config,
    load_environment,
    load_thresholds,
    missing_variables,
    needs_platform,
    resolve_target,
)
from deployments.masking import mask, secrets_of
from flows.host import platform_variables
from storage.errors import ConfigurationError
from storage.records import ComponentId

SET = {
    "STAGING_API_URL": "https://user:s3cret@staging.example.test",
    "STAGING_WS_URL": "wss://staging.example.test/ws",
    "STAGING_REDIS_URL": "redis://:s3cret@localhost:6379/0",
    "STAGING_DATABASE_URL": "postgresql://u:s3cret@localhost/hasivu",
    "AWS_REGION": "ap-south-1",
}


def test_every_wrong_field_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    text = (ENVIRONMENTS / "staging.toml").read_text(encoding="utf-8")
    text = text.replace("users = 50", 'users = "many"').replace("duration_s = 300", "duration_s = -3")
    text = text.replace("[cache]", "[cache]\nspeed = 3").replace('path = "/health"', 'path = "health"')
    (tmp_path / "staging.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_environment("staging", tmp_path)
    problems = caught.value.problems
    assert {line.split(": ")[1] for line in problems} == {
        "load.users",
        "load.duration_s",
        "cache.speed",
        "api.endpoints.0.path",
    }
    assert all(line.startswith(str(tmp_path / "staging.toml")) for line in problems)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "staging.toml").write_text("name = ", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"staging\.toml"):
        load_environment("staging", tmp_path)


def test_an_unknown_environment_names_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="development, production, staging"):
        load_environment("qa")


@pytest.mark.parametrize("missing", sorted(SET))
def test_a_missing_variable_is_named(missing: str) -> None:
    variables = {name: value for name, value in SET.items() if name != missing}
    with pytest.raises(ConfigurationError) as caught:
        resolve_target(build_config("staging"), variables)
    assert caught.value.problems == (f"{missing} is not set; set it, or use --local",)


def test_only_the_addresses_of_chosen_components_are_needed() -> None:
    config = build_config("staging", components=("api",))
    assert missing_variables(config, {"STAGING_API_URL": "https://x.test"}) == []


def test_overrides_reach_any_field_and_are_validated() -> None:
    changed = build_config("custom", overrides={"users": "200", "duration_s": "1800", "api.timeout_s": "5"})
    assert (changed.environment.load.users, changed.environment.load.duration_s) == (200, 1800)
    assert changed.environment.api.timeout_s == 5
    with pytest.raises(ConfigurationError, match=r"load\.users"):
        build_config("custom", overrides={"users": "0"})
    with pytest.raises(ConfigurationError, match=r"no such field"):
        build_config("custom", overrides={"api.speed": "1"})


def test_a_rate_above_max_rate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_rate"):
        build_config("staging", overrides={"users": "5000"})


def test_quick_is_the_database_alone() -> None:
    assert build_config("quick").components == (ComponentId.DATABASE,)


def test_thresholds_take_an_environments_overrides(tmp_path: Path) -> None:
    text = Path("deployments/thresholds.toml").resolve()
    file = tmp_path / "thresholds.toml"
    file.write_text(
        text.read_text(encoding="utf-8") + '\n[environment.staging."api.latency.p95"]\ngood = 250\n', encoding="utf-8"
    )
    plain, _ = load_thresholds("production", file)
    changed, _ = load_thresholds("staging", file)
    assert next(t.good for t in plain if t.metric == "api.latency.p95") == 200
    assert next(t.good for t in changed if t.metric == "api.latency.p95") == 250


def test_disordered_limits_are_refused(tmp_path: Path) -> None:
    text = Path("deployments/thresholds.toml").resolve().read_text(encoding="utf-8")
    file = tmp_path / "thresholds.toml"
    file.write_text(text.replace("good = 200\nfair = 500", "good = 600\nfair = 500"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"api\.latency\.p95"):
        load_thresholds(None, file)


def test_the_platform_stands_in_only_where_nothing_is_set() -> None:
    development = build_config("development")
    assert needs_platform(development, {})
    assert not needs_platform(development, {k.replace("STAGING", "DEVELOPMENT"): v for k, v in SET.items()})
    with pytest.raises(ConfigurationError, match="DEVELOPMENT_DATABASE_URL"):
        needs_platform(development, {"DEVELOPMENT_API_URL": "http://localhost:1"})
    with pytest.raises(ConfigurationError, match="STAGING_API_URL"):
        needs_platform(build_config("staging"), {})
    assert needs_platform(build_config("staging", local=True), {})


def test_the_platforms_addresses_take_the_environments_names() -> None:
    given = {"DEVELOPMENT_API_URL": "http://127.0.0.1:1", "AWS_REGION": "ap-south-1"}
    assert platform_variables(build_config("staging"), given) == {
        "STAGING_API_URL": "http://127.0.0.1:1",
        "AWS_REGION": "ap-south-1",
    }


def test_addresses_are_secret_when_shown() -> None:
    assert "s3cret" not in repr(resolve_target(build_config("staging"), SET))
    assert "s3cret" not in resolve_target(build_config("staging"), SET).model_dump_json()


def test_a_token_stands_in_a_variable_that_a_header_names() -> None:
    config = build_config("staging", overrides={"api.headers": '{ authorization = "Bearer ${STAGING_TOKEN}" }'})
    with pytest.raises(ConfigurationError, match="STAGING_TOKEN is not set"):
        resolve_target(config, SET)
    target = resolve_target(config, SET | {"STAGING_TOKEN": "canary-token"})
    assert target.headers["authorization"].get_secret_value() == "Bearer canary-token"
    assert "canary" not in config.model_dump_json() + target.model_dump_json() + repr(target)
    assert mask("refused: canary-token", secrets_of(target, {})) == "refused: ***"
    alone = build_config("staging", components=("cache",), overrides={"api.headers": '{ x = "${STAGING_TOKEN}" }'})
    assert missing_variables(alone, SET) == []
