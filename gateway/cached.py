"""What a page says of the cache: where its cacheable part came from, and how old that is.

Two headers: ``Server-Timing: cache;desc="hit"`` (``miss``, ``off``) and, on a hit, ``Age`` in whole
seconds. They stand beside what the context layer writes; lists of one name are joined (RFC 9110,
5.3). A third, ``x-squall-decision``, says who took parts of the page away.
Source: W3C Server Timing; RFC 9111, 5.1 (Age: seconds since the answer was made at its origin).
"""

import re
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from resilience.refusal import DECISION_HEADER

T = TypeVar("T")
_NO_TEXT = re.compile(r"[^\x20-\x7e]")  # may not stand in a header


class Lookup(Enum):
    """What a service's cache had to do with an answer."""

    OFF = "off"
    HIT = "hit"
    MISS = "miss"
    LOCAL = "local"
    STALE = "stale"

    @property
    def is_hit(self) -> bool:
        """Whether the answer comes out of the cache, and has an age."""
        return self in (Lookup.HIT, Lookup.LOCAL, Lookup.STALE)


class Cached(NamedTuple, Generic[T]):
    """A value, and how it was found.

    Args:
        value: What was asked for.
        lookup: Where it came from.
        age_s: Of a hit: seconds since it was read at its origin; else 0.
        decisions: Who left parts of it out, or let old ones stand in.
    """

    value: T
    lookup: Lookup
    age_s: float = 0.0
    decisions: tuple[str, ...] = ()

    def headers(self) -> dict[str, str]:
        """Say so to the client."""
        headers = {"server-timing": f'cache;desc="{self.lookup.value}"'}
        if self.lookup.is_hit:
            headers["age"] = str(max(0, int(self.age_s)))
        if self.decisions:
            headers[DECISION_HEADER] = _NO_TEXT.sub("?", ", ".join(self.decisions))
        return headers
