"""Cutting commands by slot and putting their replies together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.slots import slot_of
from shard.policy.commands import Command, Join, find
from shard.policy.split import KEYS_NAMED, CrossSlotError, join, split

keys = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def command(name: bytes) -> Command:
    """Find one that exists."""
    found = find(name)
    assert found is not None
    return found


def test_keys_of_one_slot_stay_together() -> None:
    """Hash tags: the command itself is the only part."""
    words = [b"MGET", b"{a}1", b"{a}2"]
    (part,) = split(command(b"MGET"), words)
    assert (part.slot, part.words) == (slot_of(b"a"), words)


@given(keys)
def test_a_split_mget_answers_as_one_store_would(names: list[bytes]) -> None:
    """Every part has one slot; joined, each key has its own value, in order, twice if named so."""
    parts = split(command(b"MGET"), [b"MGET", *names])
    for part in parts:
        assert {slot_of(key) for key in part.words[1:]} == {part.slot}
    replies = [[b"of " + key for key in part.words[1:]] for part in parts]
    assert join(Join.LIST, parts, replies) == [b"of " + key for key in names]


@given(keys)
def test_a_split_mset_sets_the_same(names: list[bytes]) -> None:
    """A key that stands twice ends with its later value, since its parts keep their order."""
    words = [b"MSET"]
    for number, key in enumerate(names):
        words += [key, b"%d" % number]
    done: dict[bytes, bytes] = {}
    parts = split(command(b"MSET"), words)
    for part in parts:
        done.update(zip(part.words[1::2], part.words[2::2], strict=True))
    assert done == {key: b"%d" % number for number, key in enumerate(names)}
    assert join(Join.OK, parts, [b"OK"] * len(parts)) == b"OK"


@given(keys)
def test_counts_add_up(names: list[bytes]) -> None:
    """DEL, UNLINK, EXISTS, TOUCH: the sum of the parts."""
    parts = split(command(b"EXISTS"), [b"EXISTS", *names])
    assert join(Join.SUM, parts, [len(part.words) - 1 for part in parts]) == len(names)


@pytest.mark.parametrize("line", [b"SUNION a b", b"MSETNX a 1 b 2", b"RENAME a b", b"EVAL s 2 a b"])
def test_what_cannot_be_split_names_its_keys(line: bytes) -> None:
    """With their slots and the way out."""
    words = line.split()
    with pytest.raises(CrossSlotError, match=r"^CROSSSLOT .* a \(slot 15495\), b \(slot 3300\)"):
        split(command(words[0]), words)


def test_an_error_names_a_few_keys_of_many() -> None:
    """A message of a megabyte helps nobody."""
    words = [b"SUNION", *(b"key:%d" % n for n in range(1000))]
    with pytest.raises(CrossSlotError, match=f"and {1000 - KEYS_NAMED} more") as told:
        split(command(b"SUNION"), words)
    assert len(str(told.value)) < 500


def test_a_command_without_a_key_has_no_slot() -> None:
    """Where to send it is for its caller to say."""
    with pytest.raises(ValueError, match="PING: no key"):
        split(command(b"PING"), [b"PING"])


def test_a_reply_of_another_shape_is_refused() -> None:
    """A node that lies must not shift values to other keys."""
    parts = split(command(b"MGET"), [b"MGET", b"a", b"b"])
    with pytest.raises(ValueError, match="expected a list of 1"):
        join(Join.LIST, parts, [[b"1", b"2"], []])
    with pytest.raises(ValueError, match="expected a count"):
        join(Join.SUM, parts, [1, b"x"])
