"""Every flavour against what its own project publishes, or a computation made another way."""

from collections import Counter

import pytest

from hashing import jump, ketama_nginx, ketama_twemproxy, maglev, modulo, ring_hash
from hashing.algorithm import Node
from hashing.digests import fnv1a_64_in_32_bits, murmur3_of_words, xxh64

ENVOY_HOSTS = [Node(f"127.0.0.1:{port}") for port in range(90, 96)]
TOP = 2**64 - 1


@pytest.mark.paper
def test_fnv_is_that_of_libhashkit() -> None:
    """libmemcached: tests/hash_results.h, fnv1a_64_values of its first four words."""
    words = [b"apple", b"beat", b"carrot", b"daikon"]

    assert [fnv1a_64_in_32_bits(word) for word in words] == [
        1488911807,
        2500855813,
        1510099634,
        1390325195,
    ]


def test_fnv_extends_the_sign_of_bytes_above_127() -> None:
    """Flipping the upper 24 bits of the state first gives the same as a signed char does."""
    state = ((0x84222325 ^ 0xFFFFFFE4) * 0x1B3) % 2**32

    assert fnv1a_64_in_32_bits(b"\xe4") == state


@pytest.mark.paper
def test_xxh64_of_short_and_long_data() -> None:
    """XXH64 of nothing, and of a text longer than a stripe, as xxHash's own bindings publish."""
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1


def test_murmur_is_that_of_another_implementation() -> None:
    """Computed with the C code of mmh3 5.x: hash64(pack("<QQ", a, b), seed, x64arch=True)[0]."""
    assert murmur3_of_words(0, 42, 0) == 4235526421325011168
    assert murmur3_of_words(1, 42, 0) == 830322281416518563
    assert murmur3_of_words(399, 2718281828, 2307) == 1868546438794894362
    assert murmur3_of_words(TOP, 42, 0) == 863415807373079473


@pytest.mark.paper
def test_envoys_ring_of_twelve() -> None:
    """envoy:test/common/upstream/ring_hash_lb_test.cc, Basic: all places, the edges, the close."""
    ring = ring_hash.build(ENVOY_HOSTS, min_size=12)

    assert list(zip(ring.points, [int(name[-1]) for name in ring.owners], strict=True)) == [
        (833437586790550860, 4),
        (928266305478181108, 2),
        (1033482794131418490, 0),
        (3551244743356806947, 5),
        (3851675632748031481, 3),
        (5583722120771150861, 1),
        (6311230543546372928, 1),
        (7700377290971790572, 3),
        (13144177310400110813, 5),
        (13444792449719432967, 2),
        (15516499411664133160, 4),
        (16117243373044804889, 0),
    ]
    assert ring.at(0) == ring.at(TOP) == "127.0.0.1:94"
    assert ring.at(3551244743356806948) == "127.0.0.1:93"


@pytest.mark.paper
def test_envoys_weighted_ring() -> None:
    """The same file, HostWeightedLargeRing: 6144 points shared 1:2:3, hits of 6000 even places."""
    ring = ring_hash.build(
        [Node(f"127.0.0.1:{89 + share}", share) for share in (1, 2, 3)], min_size=6144
    )
    hits = Counter(ring.at(number * (TOP // 6000)) for number in range(6000))

    assert Counter(ring.owners).most_common()[-1] == ("127.0.0.1:90", 1024)
    assert [hits[f"127.0.0.1:{port}"] for port in (90, 91, 92)] == [987, 1932, 3081]


@pytest.mark.paper
def test_envoys_maglev_tables() -> None:
    """envoy:test/common/upstream/maglev_lb_test.cc, Basic, BasicWithHostName and Weighted."""
    table = maglev.build_envoy(ENVOY_HOSTS, size=7)
    named = maglev.build_envoy([Node(str(port)) for port in range(90, 96)], size=7)
    weighted = maglev.build_envoy([Node("127.0.0.1:90", 1), Node("127.0.0.1:91", 2)], size=17)

    assert list(table.table) == [2, 4, 0, 1, 5, 0, 3]
    assert list(named.table) == [2, 5, 0, 3, 4, 1, 0]
    assert list(weighted.table) == [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]


@pytest.mark.paper
def test_katrans_tables() -> None:
    """katran:katran/lib/tests: 400 equal hosts differ by 1; V2 by 16385 at 2:1:1, 5/2 of seven."""
    equal = Counter(maglev.katran_table(range(400), [1] * 400, 65_537))
    uneven = Counter(maglev.katran_table(range(3), [2, 1, 1], 65_537))

    assert max(equal.values()) - min(equal.values()) == 1
    assert max(uneven.values()) - min(uneven.values()) == 16_385
    assert Counter(maglev.katran_table(range(2), [2, 1], 7)) == {0: 5, 1: 2}


def test_maglev_sizes() -> None:
    """65 537 places by default; a size that isn't prime or is out of range is refused."""
    assert maglev.DEFAULT_TABLE_SIZE == len(maglev.build_envoy([Node("a")]).table) == 65_537
    assert maglev.MAX_TABLE_SIZE == 5_000_011
    for size, why in ((8, "prime"), (1, "2 to"), (5_000_012, "2 to")):
        with pytest.raises(ValueError, match=why):
            maglev.build_envoy([Node("a")], size=size)


def test_ring_sizes() -> None:
    """1024 points at least and 8 Mi at most; sizes that contradict each other are refused."""
    assert (ring_hash.DEFAULT_MIN_SIZE, ring_hash.DEFAULT_MAX_SIZE) == (1024, 8_388_608)
    assert len(ring_hash.build(ENVOY_HOSTS[:4]).points) == 1024
    with pytest.raises(ValueError, match="min <= max"):
        ring_hash.build(ENVOY_HOSTS, min_size=20, max_size=10)


@pytest.mark.paper
def test_jump_is_guavas() -> None:
    """guava: HashingTest, testConsistentHash_linearCongruentialGeneratorCompatibility."""
    golden = [0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83]

    assert [jump.bucket(key, 100) for key in range(20)] == golden
    assert jump.bucket(10863919174838991, 11) == 6
    assert jump.bucket(2016238256797177309, 11) == 3
    assert jump.bucket(1673758223894951030, 11) == 5
    assert [jump.bucket(key, 100_001) for key in (2, 2201, 2202)] == [80343, 22152, 15018]


def test_jump_refuses_to_lose_a_middle_node() -> None:
    """The reason names the node, its bucket, and what would be possible."""
    nodes = [Node(name) for name in "abc"]

    assert jump.rebuild(nodes, nodes[:2]).lookup(b"k") in {"a", "b"}
    with pytest.raises(ValueError, match="'b' leaves from the middle, bucket 1 of 3"):
        jump.rebuild(nodes, [nodes[0], nodes[2]])
    with pytest.raises(ValueError, match="'a' changes its place"):
        jump.rebuild(nodes, nodes[::-1])
    with pytest.raises(ValueError, match="jump has no weights"):
        jump.build([Node("a", 1), Node("b", 2)])


def test_twemproxys_points_are_libketamas() -> None:
    """python_ketama's published point of 127.0.0.1:11211 is on the ring of that server's name."""
    ring = ketama_twemproxy.build([Node("127.0.0.1:11211", 600), Node("127.0.0.1:11212", 400)])

    assert ring.at(3_454_255_383) == ring.at(3_446_378_249) == "127.0.0.1:11211"
    assert len(ring.points) == ketama_twemproxy.POINTS_PER_SERVER * 2


def test_twemproxy_puts_sequential_keys_together() -> None:
    """32-bit FNV: eight keys on one of four servers, 400 uneven, and 100 000 within 5 %."""
    ring = ketama_twemproxy.build([Node(f"server{number}") for number in range(1, 5)])
    owners = [ring.lookup(b"key:%d" % number) for number in range(100_000)]

    assert len(set(owners[:8])) == 1
    assert [Counter(owners[:400])[f"server{n}"] for n in range(1, 5)] == [100, 140, 110, 50]
    assert [Counter(owners)[f"server{n}"] for n in range(1, 5)] == [24576, 24418, 24765, 26241]


def _crc_step(state: int, data: bytes) -> int:
    """CRC-32 bit by bit, unfinished: as ngx_crc32_update leaves it."""
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0xEDB88320 if state & 1 else 0)
    return state


def test_nginxs_points_by_a_bitwise_crc() -> None:
    """Without published vectors: the chain computed bit by bit, as the C code's registers go."""
    expected = {}
    for host, port, weight in (("10.0.0.1", "8080", 1), ("cache.example", "", 2)):
        base = _crc_step(0xFFFFFFFF, host.encode() + b"\0" + port.encode())
        place = 0
        for _ in range(160 * weight):
            place = _crc_step(base, place.to_bytes(4, "little")) ^ 0xFFFFFFFF
            expected[place] = f"{host}:{port}".rstrip(":")

    ring = ketama_nginx.build([Node("10.0.0.1:8080"), Node("cache.example", 2)])

    assert dict(zip(ring.points, ring.owners, strict=True)) == expected
    assert ketama_nginx.POINTS_PER_WEIGHT == 160
    assert ring.lookup(b"123456789") == ring.at(0xCBF43926)  # CRC-32's check value


@pytest.mark.parametrize(
    "build", [ketama_nginx.build, ketama_twemproxy.build, modulo.build, maglev.build_katran]
)
def test_fractions_are_refused_where_weights_are_whole(build) -> None:  # type: ignore[no-untyped-def]
    """Half a weight has no place in them, and the message says so."""
    with pytest.raises(ValueError, match="whole"):
        build([Node("a", 1.5), Node("b")])
