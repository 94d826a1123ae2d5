"""Key slots against the Redis Cluster specification."""

from binascii import crc_hqx

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashing.slots import SLOT_COUNT, hashed_part, slot_of, tag_of


def test_documented_constants() -> None:
    """There are 16384 slots."""
    assert SLOT_COUNT == 16_384


@pytest.mark.paper
def test_crc_check_value() -> None:
    """Cluster specification, Appendix A: the CRC of "123456789" is 0x31C3, slot 12739."""
    assert crc_hqx(b"123456789", 0) == 0x31C3
    assert slot_of(b"123456789") == 12_739


@pytest.mark.paper
@pytest.mark.parametrize(
    ("key", "part"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"{user1000}.followers", b"user1000"),
        (b"foo{}{bar}", b"foo{}{bar}"),
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"{}", b"{}"),
        (b"", b""),
        (b"}{", b"}{"),
        (b"a}b{c}d", b"c"),
        (b"open{only", b"open{only"),
    ],
)
def test_hash_tags(key: bytes, part: bytes) -> None:
    """Cluster specification, "Hash tags": its own examples, and the edges."""
    assert hashed_part(key) == part
    assert slot_of(key) == crc_hqx(part, 0) % SLOT_COUNT


def test_an_empty_tag_hashes_the_whole_key() -> None:
    """The figure of the specification's rule against Codis: slot 8363, not slot 0."""
    assert slot_of(b"foo{}{bar}") == 8_363


@given(st.binary(max_size=16).filter(lambda tag: tag and b"}" not in tag), st.binary(max_size=16))
def test_keys_of_one_tag_share_a_slot(tag: bytes, rest: bytes) -> None:
    """What multi-key commands rely on: a common tag is a common slot."""
    assert slot_of(b"{" + tag + b"}" + rest) == slot_of(b"{" + tag + b"}")


@given(st.integers(0, SLOT_COUNT - 1), st.binary())
def test_a_tag_puts_any_key_into_its_slot(slot: int, name: bytes) -> None:
    """Whatever follows it."""
    assert slot_of(b"{%b}%b" % (tag_of(slot), name)) == slot
