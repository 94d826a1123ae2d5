"""Who can be called: the endpoints of each service, from the leases.

Why: the registry says who exists; balancers and health checks say who is well. So this file is slow
to take an endpoint away: an absence counts only when the registry itself has been steady for longer
than a lease, and a mass expiry is not believed for services of four members or more (it is more
likely that the registry lost them than that they all died at once).
While a fault disturbs one of the process's own links, the links process stands in for the servers:
endpoints then have its address, and what isn't in the registry (nodes of store and cache) is looked
up with ``dial``; see ``kit.ways``.
Source: design.md, "Control plane"; Eureka's self-preservation (it stops expiring below 85 % of the
renewals expected; with a handful of members half is the nearest that means anything).
Not handled: who is well; that is for checks, outlier ejection and connect errors.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from kit.listeners import call_all
from kit.members import LEASE_S, RENEW_EVERY_S, Member
from kit.state import LabState
from kit.ways import Address, Ways

# After control was away or is new, members need a renewal to show up again; one lease covers it.
STEADY_S = LEASE_S + RENEW_EVERY_S
MASS_MEMBERS = 4  # design.md: not believed for services of four members or more
MASS_SHARE = 0.5


class Endpoint(NamedTuple):
    """Where to connect in order to reach an instance."""

    instance: str
    host: str
    port: int


class Directory:
    """Keep the endpoints by service; ``update`` and ``set_state`` come from the node.

    Args:
        client: The own service: whose links these are.

    Reading is O(1) and never waits: with control dead the last picture stands.
    """

    def __init__(self, client: str = "") -> None:
        self._known: dict[str, Member] = {}
        self._state = LabState()
        self._endpoints: dict[str, list[Endpoint]] = {}
        self._listeners: dict[str, list[Callable[[list[Endpoint]], None]]] = defaultdict(list)
        self._ways = Ways(client)
        self._dialers: list[Callable[[object], None]] = []
        self._steady_since_s: float | None = None
        self.is_wanted = False

    def __repr__(self) -> str:
        sizes = " ".join(f"{name} {len(ends)}" for name, ends in sorted(self._endpoints.items()))
        return f"<Directory {sizes or 'empty'}>"

    def endpoints(self, service: str) -> list[Endpoint]:
        """Return who of a service is ready and not drained, by name."""
        self.is_wanted = True
        return self._endpoints.get(service, [])

    def members(self) -> list[Member]:
        """Return everyone known, by name."""
        return [self._known[name] for name in sorted(self._known)]

    def on_change(self, service: str, callback: Callable[[list[Endpoint]], None]) -> None:
        """Call this with the endpoints now, and each time they change."""
        self.is_wanted = True
        self._listeners[service].append(callback)
        callback(self.endpoints(service))

    def dial(self, host: str, port: int) -> Address:
        """Return where to connect in order to reach an address now; the same one as a rule."""
        return self._ways.dial(host, port)

    def on_dial_change(self, callback: Callable[[], None]) -> None:
        """Call this each time ``dial`` may answer differently."""
        self.is_wanted = True
        self._dialers.append(lambda _: callback())

    def update(self, members: Iterable[Member], now_s: float) -> None:
        """Take the live leases of one reading."""
        live = {member.instance: member for member in members}
        if self._steady_since_s is None:
            self._steady_since_s = now_s
        is_steady = now_s - self._steady_since_s >= STEADY_S
        kept = self._kept(live, is_steady)
        self._known = {**kept, **live}
        self._publish()

    def on_interruption(self) -> None:
        """Note that control was away or is new: absences mean nothing for a while."""
        self._steady_since_s = None

    def forget(self) -> None:
        """Believe no lease any more: what a process without ``static`` does with control away."""
        self._known = {}
        self._publish()

    def set_state(self, state: LabState) -> None:
        """Take a new picture of who is drained."""
        self._state = state
        self._publish()

    def _kept(self, live: Mapping[str, Member], is_steady: bool) -> dict[str, Member]:
        """Choose who stays although no lease of theirs is there."""
        absent = {name: one for name, one in self._known.items() if name not in live and one.ready}
        if not is_steady:
            return absent
        sizes = _sizes(one for one in self._known.values() if one.ready)
        gone = _sizes(absent.values())
        doubted = {
            service
            for service, size in sizes.items()
            if size >= MASS_MEMBERS and gone.get(service, 0) > size * MASS_SHARE
        }
        return {name: one for name, one in absent.items() if one.service in doubted}

    def _publish(self) -> None:
        if self._ways.update(self._known.values(), self._state):
            call_all(self._dialers, None)
        before = self._endpoints
        self._endpoints = self._build()
        for service in before.keys() | self._endpoints.keys():
            now = self._endpoints.get(service, [])
            if before.get(service, []) != now:
                call_all(self._listeners.get(service, ()), now)

    def _build(self) -> dict[str, list[Endpoint]]:
        endpoints: dict[str, list[Endpoint]] = defaultdict(list)
        for name in sorted(self._known):
            member = self._known[name]
            is_drained = self._state.is_drained(member.service, member.replica)
            if member.ready and member.port and not is_drained:
                address = self._ways.dial(member.host, member.port)
                endpoints[member.service].append(Endpoint(name, *address))
        return dict(endpoints)


def _sizes(members: Iterable[Member]) -> dict[str, int]:
    sizes: dict[str, int] = defaultdict(int)
    for member in members:
        sizes[member.service] += 1
    return sizes
