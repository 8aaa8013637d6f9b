"""Which commands can be made at all: reading ones, and writes to keys of one's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.load.redis.commands import OWN_PREFIX, READ_ONLY, OwnKeys, command, encode, get_command, new_run


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4))
def test_no_other_word_becomes_a_command(words: list[str]) -> None:
    verb = words[0].upper()
    if verb in READ_ONLY or " ".join(words[:2]).upper() in READ_ONLY:
        return
    with pytest.raises(ValueError, match="reads only"):
        encode(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("SET", OWN_PREFIX + "0" * 16 + ":1", "x"),
        ("DEL", OWN_PREFIX + "0" * 16 + ":1"),
        ("GETDEL", "k"),
        ("GETEX", "k"),
        ("CLUSTER", "FAILOVER"),
        ("SENTINEL", "FAILOVER", "lunch"),
        ("EVAL", "return 1", "0"),
    ],
)
def test_a_write_cannot_be_encoded_even_to_own_keys(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="reads only"):
        command(*words)


def test_own_keys_are_set_with_an_expiry_read_and_deleted() -> None:
    own = OwnKeys("0123456789abcdef")
    assert len(own.sets) == len(own.gets) == len(own.deletes) == OwnKeys.NUMBER
    keys = [made.words[1] for made in own.sets]
    assert keys == [made.words[1] for made in own.gets] == [made.words[1] for made in own.deletes]
    assert len(set(keys)) == OwnKeys.NUMBER
    assert all(key.startswith(b"hasivu-perf:probe:0123456789abcdef:") for key in keys)
    assert {(made.words[0], *made.words[3:]) for made in own.sets} == {(b"SET", b"PX", b"60000")}
    assert {made.words[0] for made in own.deletes} == {b"DEL"}
    assert own.deletes[3].data == b"*2\r\n$3\r\nDEL\r\n$36\r\n" + keys[3] + b"\r\n"


@pytest.mark.parametrize("run", ["", "x" * 16, "0123456789abcde", "0123456789abcdef:*", "../0123456789ab"])
def test_a_run_cannot_reach_beyond_its_prefix(run: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        OwnKeys(run)


def test_each_run_has_a_name_of_its_own() -> None:
    names = {new_run() for _ in range(50)}
    assert len(names) == 50
    assert all(OwnKeys(name) for name in names)


def test_a_get_is_prepared_once_and_knows_its_slot() -> None:
    # the slots of the cluster specification's own examples: https://valkey.io/topics/cluster-spec/
    assert get_command("123456789").slot == 0x31C3
    assert get_command("{user1000}.following").slot == get_command("{user1000}.followers").slot
    assert get_command("foo{}{bar}").slot != get_command("bar").slot
    assert get_command("foo{{bar}}zap").slot == get_command("{bar").slot
    assert get_command("a") is get_command("a")
