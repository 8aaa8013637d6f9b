"""A Redis that is hostile, or whose network is: the cache is "not measured" in one line, on time, or measured."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from deployments.config import Target, build_config
from tasks.components.cache import CACHE
from tests.faults.outcome import SECRET, judge, outcome, wrong
from tests.faults.proxy import FAULTS, proxy
from tests.faults.redis_faults import WAYS, hostile
from tests.valkeys import valkey

CONFIG = build_config("development", overrides={"duration_s": "2", "ramp_up_s": "0"})
LIMIT_S = 2 + 15
SURVIVED = {"one-byte-at-a-time", "slow-by-50-ms"}


def target(port: int) -> Target:
    return Target(redis_url=SecretStr(f"redis://:{SECRET}@127.0.0.1:{port}/0"), local=True)


def test_no_hostile_server_is_measured_and_none_holds_the_run() -> None:
    def one(way: str) -> str:
        with hostile(way) as port:
            found = outcome(CACHE, CONFIG, target(port))
        return judge(found, LIMIT_S) or ("" if found.refused else "was measured")

    assert wrong(WAYS, one) == {}


def test_an_answer_of_a_billion_elements_is_refused_before_there_is_room_for_them() -> None:
    with hostile("array-huge") as port:
        assert "announces" in outcome(CACHE, CONFIG, target(port)).refused


def test_what_a_network_does_ends_in_a_word_or_in_figures(tmp_path: Path) -> None:
    with valkey(tmp_path, password=SECRET) as server:
        with server.client() as client:
            client.mset({f"menu:{number}": "x" * 200 for number in range(500)})

        def one(way: str) -> str:
            with proxy(server.port, FAULTS[way]) as before:
                found = outcome(CACHE, CONFIG, target(before.port))
            measured = bool(not found.refused)
            return judge(found, LIMIT_S) or ("" if measured is (way in SURVIVED) else f"measured: {measured}")

        assert wrong(FAULTS, one) == {}
