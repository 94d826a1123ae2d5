"""Ketama against what libketama itself publishes."""

from hashlib import md5

import pytest

from hashing.algorithm import Node
from hashing.ketama import DIGESTS_PER_NODE, POINTS_PER_DIGEST, Ketama, hash_key

# RJ/ketama: ketama.servers; memory is the weight.
SERVERS = [
    Node(f"10.0.1.{number}:11211", weight)
    for number, weight in enumerate((600, 300, 200, 350, 1000, 800, 950, 100), start=1)
]
PUBLISHED_MD5 = "5672b131391f5aa2b280936aec1eea74"  # RJ/ketama: libketama/test.sh
KEY_COUNT = 1_000_000


def test_documented_constants() -> None:
    """Forty digests of four points each: 160 points a server."""
    assert DIGESTS_PER_NODE == 40
    assert DIGESTS_PER_NODE * POINTS_PER_DIGEST == 160


@pytest.mark.paper
def test_a_million_keys_give_the_published_checksum() -> None:
    """libketama's test.sh: hash, point and server of keys 0..999999 over its eight servers."""
    ring = Ketama(SERVERS)
    checksum = md5(b"\n", usedforsecurity=False)  # the harness prints the empty error first

    for number in range(KEY_COUNT):
        key = b"%d" % number
        place = hash_key(key)
        point, server = ring.at(place)
        checksum.update(f"{place} {point} {server}\n".encode())

    assert checksum.hexdigest() == PUBLISHED_MD5


@pytest.mark.paper
def test_python_binding_vector() -> None:
    """RJ/ketama, python_ketama/tests.py: test_hashi, test_hashing and test_points."""
    ring = Ketama([Node("127.0.0.1:11211", 600), Node("127.0.0.1:11212", 400)])

    assert hash_key(b"test") == 3_446_378_249
    assert ring.at(3_446_378_249) == (3_454_255_383, "127.0.0.1:11211")
    assert ring.lookup(b"test") == "127.0.0.1:11211"
    assert ring.point_count == 160 * 2


@pytest.mark.paper
def test_a_key_past_the_last_point_wraps_to_the_first() -> None:
    """libmemcached, tests/ketama: VDEAAAAA hashes to fffcd1b5, after the last point."""
    ring = Ketama(SERVERS)

    assert hash_key(b"VDEAAAAA") == 0xFFFCD1B5
    assert ring.at(0xFFFCD1B5) == ring.at(0)
    assert ring.lookup(b"VDEAAAAA") == ring.at(0)[1]


def test_equal_weights_give_160_points_each() -> None:
    """Single-precision rounding takes no point from any of 1 to 40 equal servers."""
    for count in range(1, 41):
        ring = Ketama([Node(f"s{number}") for number in range(count)])
        assert ring.point_count == 160 * count
