"""What a page says of the cache: where its cacheable part came from, and how old that is.

Two headers: ``Server-Timing: cache;desc="hit"`` (``miss``, ``off``) and, on a hit, ``Age`` in whole
seconds. They stand beside what the context layer writes; lists of one name are joined (RFC 9110,
5.3).
Source: W3C Server Timing; RFC 9111, 5.1 (Age: seconds since the answer was made at its origin).
"""

from enum import Enum
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Lookup(Enum):
    """What a service's cache had to do with an answer."""

    OFF = "off"
    HIT = "hit"
    MISS = "miss"


class Cached(NamedTuple, Generic[T]):
    """A value, and how it was found.

    Args:
        value: What was asked for.
        lookup: Where it came from.
        age_s: Of a hit: seconds since it was read at its origin; else 0.
    """

    value: T
    lookup: Lookup
    age_s: float = 0.0

    def headers(self) -> dict[str, str]:
        """Say so to the client."""
        headers = {"server-timing": f'cache;desc="{self.lookup.value}"'}
        if self.lookup is Lookup.HIT:
            headers["age"] = str(max(0, int(self.age_s)))
        return headers
