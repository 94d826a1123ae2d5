"""Redis Cluster's key slots: CRC16 of the key, or of its hash tag, modulo 16384.

Why: clients and servers must agree on the slot of every key, so this is the protocol, to the bit.
Source: Redis Cluster specification, "Key distribution model" and "Hash tags", Appendix A (CRC-16
XMODEM, check value 0x31C3 for "123456789"); valkey: src/cluster.c, ``keyHashSlot``. The standard
library's ``binascii.crc_hqx`` with initial value 0 is that CRC.
"""

from binascii import crc_hqx
from functools import cache

SLOT_COUNT = 16_384  # 2**14: the bitmap of owned slots in a gossip header stays at 2 KiB
_SLOT_MASK = SLOT_COUNT - 1


def slot_of(key: bytes) -> int:
    """Return the slot of a key, 0..16383; O(length of the key)."""
    return crc_hqx(hashed_part(key), 0) & _SLOT_MASK


def hashed_part(key: bytes) -> bytes:
    """Return the bytes that decide: what is between the first { and the first } after it.

    Without such a pair, and when nothing is between them, it is the whole key.
    """
    start = key.find(b"{")
    if start < 0:
        return key
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if end > start + 1 else key


def tag_of(slot: int) -> bytes:
    """Return two bytes that as a hash tag, between braces, put a key into a slot, 0..16383."""
    return _tags()[slot]


@cache
def _tags() -> dict[int, bytes]:
    """Find a tag for each slot: the CRC takes each value once over all pairs of bytes."""
    pairs = (number.to_bytes(2, "big") for number in range(1 << 16))
    return {slot_of(b"{%b}" % pair): pair for pair in pairs if b"}" not in pair}
