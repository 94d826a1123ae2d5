"""Who lives in the lab: the lease each process holds, and what people want to know of it.

Why: ``squall status`` reads one place, balancers find their endpoints there, and a change of state
is known to have arrived when the leases say so. A lease carries all of it, once a second.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import msgspec

LEASE_S = 3.0  # design.md, "Control plane": 3 s, renewed each second
RENEW_EVERY_S = 1.0


class Digest(msgspec.Struct, frozen=True):
    """A process's last second, in figures.

    Args:
        rps: Requests finished per second.
        p99_ms: Their 99th percentile; 0 when there were none.
        failures: Of those, how many failed by our own fault (5xx) per second.
        in_flight: Requests being served now.
        rss_bytes: Resident memory.
        cpu_ratio: CPU over one core (or the quota, when that is smaller), 0..1 and a little over.
        lag_ms: Event-loop lag, 99th percentile of the last second.
    """

    rps: float = 0.0
    p99_ms: float = 0.0
    failures: float = 0.0
    in_flight: int = 0
    rss_bytes: int = 0
    cpu_ratio: float = 0.0
    lag_ms: float = 0.0


class Member(msgspec.Struct, frozen=True):
    """One process's lease.

    Args:
        instance: ``video.2``.
        service: ``video``.
        replica: 2.
        host: Where it answers.
        port: Its service port; 0 before it listens.
        admin_port: Its admin pages.
        ready: Whether it wants requests.
        version_seen: The version of control's state that it acts on.
        pid: Its process id, in its own process namespace.
        started_unix_s: When it started, by its own clock.
        digest: Its last second.
        via: Ways round that it keeps open while faults of links need them: what a client service
            would dial (``gateway>10.0.0.5:9000``) to what it dials instead (``10.0.0.9:9400``).
    """

    instance: str
    service: str
    replica: int
    host: str
    port: int = 0
    admin_port: int = 0
    ready: bool = False
    version_seen: int = 0
    pid: int = 0
    started_unix_s: float = 0.0
    digest: Digest = Digest()
    via: dict[str, str] = {}


class Renewal(NamedTuple):
    """What renewing a lease learned in the same trip."""

    version: int
    incarnation: str
    settled: bool


class LiveReport(NamedTuple):
    """Who acts on a version; prints as ``live in 3 of 3 after 140 ms``."""

    live: int
    total: int
    after_ms: float
    missing: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether everybody acts on it."""
        return not self.missing

    def __str__(self) -> str:
        head = f"live in {self.live} of {self.total} after {self.after_ms:.0f} ms"
        return f"{head}; not yet: {', '.join(self.missing)}" if self.missing else head


def select(members: Iterable[Member], targets: Collection[str] | None) -> list[Member]:
    """Return the members that a set of targets means; None or ``*`` means all."""
    if targets is None or "*" in targets:
        return list(members)
    return [member for member in members if member.instance in targets or member.service in targets]
