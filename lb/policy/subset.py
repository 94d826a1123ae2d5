"""Deterministic subsetting: each client keeps connections to a few backends, evenly.

Why: a thousand clients times a thousand backends are a million connections, with checks on each.
Random subsets are uneven (in the SRE Book's figure, subsets of 10 % load backends between half and
one and a half of the mean). So clients are numbered, and those of one round deal out one shuffled
list among themselves: within a round every backend has one client, give or take the rest.
Source: SRE Book ch. 20, "A Subset Selection Algorithm: Deterministic Subsetting".
Differs: the shuffle is a sort by hash of round and name instead of ``random.shuffle``: the same in
every version and language, whatever the order of the list, and a new backend moves others by a
place, not everyone.
Not handled: a change of the number of backends moves the borders of all subsets, and so many
connections (``rocksteadier`` is for that); numbering clients, which the registry must do.
"""

from collections.abc import Collection
from hashlib import blake2b

DEFAULT_SIZE = 20  # SRE Book ch. 20: "typically … 20 to 100 backend tasks"


def subset(backends: Collection[str], client: int, size: int = DEFAULT_SIZE) -> list[str]:
    """Return the backends that a client should use, in the order of its round.

    Args:
        backends: Unique names.
        client: The client's number, >= 0; numbers should have no gaps.
        size: How many, >= 1; all when there are no more.

    Raises:
        ValueError: When a number is out of range.
    """
    if client < 0 or size < 1:
        raise ValueError(f"client must be 0 or more and size 1 or more: {client}, {size}")
    count = max(1, len(backends) // size)
    turn, place = divmod(client, count)
    dealt = sorted(backends, key=lambda name: _rank(turn, name))
    return dealt[place * size : (place + 1) * size]


def _rank(turn: int, name: str) -> bytes:
    return blake2b(f"{turn}:{name}".encode(), digest_size=16).digest()
