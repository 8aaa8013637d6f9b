"""[scale] of an environment: what it may say, and what is refused before anything starts."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from deployments.config import ENVIRONMENTS, Scale, build_config, load_environment
from deployments.scale import scheduler_address
from storage.errors import ConfigurationError, NotMeasuredError
from tasks import task_runner


def environment(folder: Path, section: str) -> Scale:
    text = (ENVIRONMENTS / "staging.toml").read_text(encoding="utf-8")
    (folder / "staging.toml").write_text(f"{text}\n[scale]\n{section}\n", encoding="utf-8")
    return load_environment("staging", folder).scale


def test_one_machine_and_one_generator_unless_the_file_says_otherwise() -> None:
    for name in ("development", "staging", "production"):
        scale = load_environment(name).scale
        assert (scale.runner, scale.shards, scale.address, scale.cluster_workers) == ("threads", 1, None, None)


def test_a_file_asks_for_a_cluster_and_shards(tmp_path: Path) -> None:
    scale = environment(tmp_path, 'runner = "dask"\naddress = "STAGING_DASK"\nshards = 4\nmax_clock_offset_ms = 20')
    assert scheduler_address(scale, {"STAGING_DASK": "tls://scheduler:8786"}) == "tls://scheduler:8786"
    assert (scale.shards, scale.max_clock_offset_ms) == (4, 20)
    assert build_config("staging", overrides={"scale.shards": "2"}).environment.scale.shards == 2


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ('runner = "dask"', "needs either address or cluster_workers"),
        ('runner = "dask"\naddress = "A"\ncluster_workers = 2', "needs either address or cluster_workers"),
        ('address = "A"', 'address has a meaning with runner = "dask" alone'),
        ("cluster_workers = 2", 'cluster_workers has a meaning with runner = "dask" alone'),
        ('runner = "dask"\naddress = "tls://user:secret@host:1"', "scale.address"),
        ('runner = "ray"', "scale.runner"),
        ("shards = 0", "scale.shards"),
        ("processes = 3", "scale.processes"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, section: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        environment(tmp_path, section)
    assert "secret" not in str(caught.value)


def test_a_variable_that_is_not_set_is_named() -> None:
    scale = Scale(runner="dask", address="STAGING_DASK")
    with pytest.raises(ConfigurationError, match="STAGING_DASK is not set"):
        scheduler_address(scale, {})


def test_a_missing_extra_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_runner, "find_spec", lambda _name: None)
    with (
        pytest.raises(ConfigurationError, match=r"hasivu-perf\[dask\]"),
        task_runner.open_runner(Scale(runner="dask", cluster_workers=1)),
    ):
        pytest.fail("it was opened")


def test_threads_need_no_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] in ("dask", "distributed", "prefect_dask"):
            raise ImportError(name)
        return whole(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with task_runner.open_runner(Scale()) as runner:
        assert type(runner).__name__ == "ThreadPoolTaskRunner"


def test_a_scheduler_that_does_not_answer_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGING_DASK", "tcp://127.0.0.1:1")
    monkeypatch.setattr(task_runner, "_CONNECT_S", 1)
    with (
        pytest.raises(NotMeasuredError, match="no Dask scheduler answers at the address in STAGING_DASK"),
        task_runner.open_runner(Scale(runner="dask", address="STAGING_DASK")),
    ):
        pytest.fail("it was opened")
