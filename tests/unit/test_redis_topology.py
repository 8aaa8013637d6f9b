"""The map of a cluster, a sample of its keys, and its nodes' counters in one row."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from storage.errors import NotMeasuredError
from tasks.components.cache.info import info_row, summed, summed_commands
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.sample import KeySample
from tasks.load.redis.topology import topology_of

RNG = random.Random(1)  # noqa: S311 - draws keys of a test
ASKED = RedisAddress("entry", 7000, password="p", tls=True)


def test_each_slot_has_its_node_and_what_nobody_serves_has_none() -> None:
    replica = [b"10.0.0.9", 7009, b"id9", []]
    found = topology_of(
        ASKED,
        [
            [0, 99, [b"10.0.0.1", 7001, b"id1", []], replica],
            [100, 199, [b"10.0.0.2", 7002, b"id2", []]],
            [300, 16383, [b"10.0.0.1", 7001, b"id1", []]],
        ],
    )
    assert [(node.host, node.port, node.password, node.tls) for node in found.nodes] == [
        ("10.0.0.1", 7001, "p", True),
        ("10.0.0.2", 7002, "p", True),
    ]
    slots = (0, 99, 100, 199, 200, 299, 300, 16383)
    assert [found.node_of(slot) for slot in slots] == [0, 0, 1, 1, None, None, 0, 0]
    assert found.cluster


@pytest.mark.parametrize("host", [b"", None, b"?"])
def test_a_node_that_does_not_know_its_name_is_where_it_was_asked(host: bytes | None) -> None:
    assert topology_of(ASKED, [[0, 16383, [host, 7005, b"id"]]]).nodes[0].host == "entry"


def test_a_cluster_that_was_not_put_together_says_so() -> None:
    with pytest.raises(NotMeasuredError, match="serves no slots"):
        topology_of(ASKED, [])


def test_kinds_of_keys_are_drawn_alike_whatever_their_number() -> None:
    keys = [b"menu:%d" % number for number in range(990)] + [b"user:%d" % number for number in range(10)]
    sample = KeySample(keys, RNG)
    drawn = Counter(sample.draw().words[1].partition(b":")[0] for _ in range(4000))
    assert drawn.keys() == {b"menu", b"user"}
    assert 1800 < drawn[b"user"] < 2200
    assert KeySample([], RNG).draw().words == (b"GET", b"hasivu-perf:absent")


def row(**fields: Any) -> dict[str, Any]:
    told = {"keyspace_hits": 1, "run_id": "a", "uptime_in_seconds": 9, "used_memory": 10, "maxmemory": 100}
    return info_row({name: str(value) for name, value in (told | fields).items()}, at_ns=5, own=(3, 4))


def test_counters_are_summed_and_memory_is_the_fullest_nodes() -> None:
    total = summed([row(), row(keyspace_hits=20, run_id="b", uptime_in_seconds=4, used_memory=90), row(loading=1)])
    assert (total["hits"], total["uptime_s"], total["run_id"]) == (22, 4, "a+a+b")
    assert (total["used_memory"], total["maxmemory"]) == (90, 100)
    assert (total["own_hits"], total["own_misses"], total["loading"]) == (3, 4, 1)
    assert total["misses"] is None  # none of them tells it
    assert summed([row()]) == row()


def test_a_number_that_one_node_does_not_tell_is_not_known() -> None:
    assert summed([row(evicted_keys=1), row()])["evicted"] is None


def test_commands_of_all_nodes_are_counted_together() -> None:
    one = {"end": "start", "command": "get", "calls": 3, "usec": 9, "rejected": 0, "failed": 1, "p99_us": 4.0}
    other = one | {"calls": 5, "p99_us": 8.0, "rejected": None}
    assert summed_commands([one, other, one | {"command": "set"}]) == [
        one | {"calls": 8, "usec": 18, "failed": 2, "rejected": None, "p99_us": 8.0},
        one | {"command": "set"},
    ]
