"""The hash functions that published placements are made of, which the standard library lacks.

Why: a ring is only Envoy's if every point is, so the function belongs to the algorithm. They are
pure Python, some microseconds for a short key; what may choose freely takes blake2b from hashlib.
Sources: XXH64: xxHash, doc/xxhash_spec.md (seed 0 and 1 are what Envoy's Maglev uses). FNV-1a as
twemproxy has it: twemproxy:src/hashkit/nc_fnv.c, whose "fnv1a_64" keeps 32 bits. MurmurHash3 of two
words: katran:katran/lib/MurmurHash3.cpp, the first half of MurmurHash3_x64_128 of 16 bytes.
MD5 has its place here for speed: see below.
Not handled: streaming; XXH64 of secret keys (none of these resists who chooses the keys).
"""

import struct

try:
    # What hashlib itself falls back to. A digest by OpenSSL costs 0.38 to 0.6 us for a short key,
    # most of it in setting up; this one 0.2 us, and a ketama lookup is little else.
    from _md5 import md5  # type: ignore[import-not-found]  # no stubs of CPython's private modules
except ImportError:  # a Python built with `--with-builtin-hashlib-hashes` that leaves it out
    from functools import partial
    from hashlib import md5 as _hashlib_md5

    md5 = partial(_hashlib_md5, usedforsecurity=False)

__all__ = ["fnv1a_64_in_32_bits", "md5", "murmur3_of_words", "xxh64"]

_MASK_64 = (1 << 64) - 1
_MASK_32 = (1 << 32) - 1

# xxHash specification, "XXH64 algorithm description": the five primes.
_PRIME_1 = 0x9E3779B185EBCA87
_PRIME_2 = 0xC2B2AE3D27D4EB4F
_PRIME_3 = 0x165667B19E3779F9
_PRIME_4 = 0x85EBCA77C2B2AE63
_PRIME_5 = 0x27D4EB2F165667C5
_STRIPE_BYTES = 32
_STRIPE = struct.Struct("<4Q")

# The 64-bit offset basis and prime, cut to the 32 bits that twemproxy computes with.
_FNV_BASIS_32 = 0xCBF29CE484222325 & _MASK_32
_FNV_PRIME_32 = 0x100000001B3 & _MASK_32
_SIGN = 0x80
_SIGN_EXTENSION = 0xFFFFFF00


def xxh64(data: bytes, seed: int = 0) -> int:
    """Return XXH64, 0..2**64 - 1.

    Args:
        seed: 0..2**64 - 1.
    """
    length = len(data)
    position = 0
    if length >= _STRIPE_BYTES:
        state, position = _stripes(data, seed)
    else:
        state = seed + _PRIME_5
    state = (state + length) & _MASK_64
    while position + 8 <= length:
        lane = int.from_bytes(data[position : position + 8], "little")
        state ^= _round(0, lane)
        state = (_rotated(state, 27) * _PRIME_1 + _PRIME_4) & _MASK_64
        position += 8
    if position + 4 <= length:
        state ^= int.from_bytes(data[position : position + 4], "little") * _PRIME_1 & _MASK_64
        state = (_rotated(state, 23) * _PRIME_2 + _PRIME_3) & _MASK_64
        position += 4
    for byte in data[position:]:
        state ^= byte * _PRIME_5 & _MASK_64
        state = _rotated(state, 11) * _PRIME_1 & _MASK_64
    return _avalanche(state, 33, _PRIME_2, 29, _PRIME_3, 32)


def fnv1a_64_in_32_bits(data: bytes) -> int:
    """Return what twemproxy calls fnv1a_64: 0..2**32 - 1, as its variable has 32 bits.

    A byte above 127 is sign-extended, for ``char`` is signed where it was measured.
    """
    state = _FNV_BASIS_32
    for byte in data:
        value = byte | _SIGN_EXTENSION if byte & _SIGN else byte
        state = ((state ^ value) * _FNV_PRIME_32) & _MASK_32
    return state


def murmur3_of_words(first: int, second: int, seed: int) -> int:
    """Return the first 64 bits of MurmurHash3_x64_128 of two little-endian 64-bit words.

    Args:
        first: 0..2**64 - 1.
        second: 0..2**64 - 1.
        seed: 0..2**32 - 1.
    """
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = seed ^ (_rotated(first * c1 & _MASK_64, 31) * c2 & _MASK_64)
    h1 = ((_rotated(h1, 27) + seed) * 5 + 0x52DCE729) & _MASK_64
    h2 = seed ^ (_rotated(second * c2 & _MASK_64, 33) * c1 & _MASK_64)
    h2 = ((_rotated(h2, 31) + h1) * 5 + 0x38495AB5) & _MASK_64
    h1, h2 = h1 ^ 16, h2 ^ 16
    h1 = (h1 + h2) & _MASK_64
    h2 = (h2 + h1) & _MASK_64
    m1, m2 = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
    return (_avalanche(h1, 33, m1, 33, m2, 33) + _avalanche(h2, 33, m1, 33, m2, 33)) & _MASK_64


def _stripes(data: bytes, seed: int) -> tuple[int, int]:
    """Return the state after all whole stripes of 32 bytes, and how many bytes those are."""
    lanes = [seed + _PRIME_1 + _PRIME_2, seed + _PRIME_2, seed, seed - _PRIME_1]
    end = len(data) - len(data) % _STRIPE_BYTES
    for position in range(0, end, _STRIPE_BYTES):
        values = _STRIPE.unpack_from(data, position)
        lanes = [_round(lane, value) for lane, value in zip(lanes, values, strict=True)]
    turns = zip(lanes, (1, 7, 12, 18), strict=True)
    state = sum(_rotated(lane, by) for lane, by in turns)
    for lane in lanes:
        state = (((state ^ _round(0, lane)) & _MASK_64) * _PRIME_1 + _PRIME_4) & _MASK_64
    return state, end


def _round(state: int, lane: int) -> int:
    state = (state + lane * _PRIME_2) & _MASK_64
    return _rotated(state, 31) * _PRIME_1 & _MASK_64


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK_64


def _avalanche(state: int, a: int, by: int, b: int, by_then: int, c: int) -> int:
    state = ((state ^ (state >> a)) * by) & _MASK_64
    state = ((state ^ (state >> b)) * by_then) & _MASK_64
    return state ^ (state >> c)
