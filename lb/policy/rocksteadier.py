"""Rocksteadier subsetting: even subsets that barely change when the number of backends does.

Why: deterministic subsetting moves most connections when one backend is added, which an autoscaler
does all day. Here everything has a place that doesn't depend on how many there are: backends are
cut into lots of ten, and lots lie on a ring by the van der Corput sequence (0, 1/2, 1/4, 3/4, …),
which stays even as it grows. The ten clients of a lot share one shuffle inside each backend lot,
each begins in a column of its own, and takes one backend from each lot along the ring.
Source: Ward, Wankadia and Guliani, "Reinventing Backend Subsetting at Google", ACM Queue 20(5),
2022: Ringsteady's sequence, Rocksteadier's lots of 10. Written from its description: the ring
begins where the client lot's own number of the sequence lies, and a shuffle is a sort by hash.
Not handled: numbering backends and clients; a number that is vacant is a ``None`` in the list.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice

from lb.policy.subset import DEFAULT_SIZE

LOT = 10  # the article's: larger lots mix more and balance less

_RANK_BYTES = 6  # of one hash: ten ranks of 48 bits


def rocksteadier(
    backends: Sequence[str | None], client: int, size: int = DEFAULT_SIZE
) -> list[str]:
    """Return the backends that a client should use, in its order.

    Args:
        backends: Names by number; None where a number is vacant. Adding at the end, or filling or
            vacating a number, changes at most two places of any subset of up to a backend a lot.
        client: The client's number, >= 0.
        size: How many, >= 1; all when there are no more.

    Raises:
        ValueError: When a number is out of range.
    """
    if client < 0 or size < 1:
        raise ValueError(f"client must be 0 or more and size 1 or more: {client}, {size}")
    numbers = _in_order(len(backends), client)
    return list(islice((name for n in numbers if (name := backends[n]) is not None), size))


def van_der_corput(number: int) -> float:
    """Return a number's place on the ring: its binary digits mirrored at the point; 0 <= x < 1."""
    place, digit = 0.0, 0.5
    while number:
        place += digit * (number & 1)
        number >>= 1
        digit /= 2
    return place


def _in_order(backend_count: int, client: int) -> Iterator[int]:
    """Yield all backend numbers: the client's column along the ring of lots, then the next."""
    client_lot, column = divmod(client, LOT)
    begin = van_der_corput(client_lot)
    lots = range(-(-backend_count // LOT))
    ring = sorted(lots, key=lambda lot: (van_der_corput(lot) - begin) % 1.0)
    shuffled = [(lot, _shuffle(client_lot, lot)) for lot in ring]
    for step in range(LOT):
        for lot, slots in shuffled:
            number = lot * LOT + slots[(column + step) % LOT]
            if number < backend_count:
                yield number


def _shuffle(client_lot: int, lot: int) -> list[int]:
    """Return the ten slots of a backend lot as the clients of a lot see them."""
    digest = blake2b(f"{client_lot}:{lot}".encode(), digest_size=LOT * _RANK_BYTES).digest()
    return sorted(range(LOT), key=lambda slot: digest[slot * _RANK_BYTES :][:_RANK_BYTES])
