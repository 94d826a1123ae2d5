"""Freshness: until when a kept value is fresh, and how long after that it may still be given.

    fill ──── fresh ────▶ soft end ──── stale: given, while one reads it anew ────▶ hard end

Why: at the end of a hot value's life its readers all wait for the origin at once. A value that is
only a little too old is mostly as good, so it is given meanwhile, and one reader fetches the next.
What was *deleted* is never given, fresh or stale: age is all that this excuses.
Source: RFC 5861, section 3 (stale-while-revalidate). That one reader only is told to fetch, by the
node and for all clients: memcached's meta commands (memcached:doc/protocol.txt, ``mg``: the flags
X for stale and W for who has won the right to recache).
Not handled: stale-if-error beyond the window (RFC 5861, section 4); fetching before the soft end.
"""

from typing import NamedTuple

REFRESH_S = 2.0  # how long the others leave it to the one; then it may have died


class Life(NamedTuple):
    """A value's life from its fill.

    Args:
        fresh_s: Seconds until its soft end.
        total_s: Seconds until its hard end, >= fresh_s.
    """

    fresh_s: float
    total_s: float


def life(ttl_s: float, stale_s: float, longest_s: float) -> Life:
    """Return the life of a value filled now.

    Args:
        ttl_s: For how long it is fresh, seconds, > 0.
        stale_s: For how long after that it may be given as stale, seconds; 0 or less means never.
        longest_s: No value lives longer, seconds, > 0; what is too much is cut from the end.
    """
    total_s = min(ttl_s + max(0.0, stale_s), longest_s)
    return Life(min(ttl_s, total_s), total_s)
