"""Zone-aware routing: stay in the zone as far as every endpoint still gets the same.

Why: a call across zones costs money and a millisecond, but a zone with half of the callers and a
third of the endpoints can't serve all its callers. What exceeds goes to the zones that have
capacity left after their own callers, in proportion to it.
Source: Envoy, zone_aware.rst and load_balancer_impl.cc,
``regenerateLocalityRoutingStructures``: with share of callers c and of endpoints e by zone, all
stay if e >= c at home, else e / c of them, the rest in proportion to max(0, e - c) elsewhere. Not
at all below 6 endpoints (``min_cluster_size``).
Differs: a zone that has only callers, or only endpoints, counts as 0 on the other side (Envoy of
old required the same zones in both).
Not handled: panic (a caller that panics should balance over everybody: don't use zones then);
callers that aren't equally busy; weights across zones (inside a zone they count).
"""

import random
from collections.abc import Callable, Mapping

from lb.policy.groups import Groups
from lb.policy.roster import Algorithm

DEFAULT_MIN_ENDPOINTS = 6  # Envoy: upstream.zone_routing.min_cluster_size


def zone_shares(
    home: str,
    callers: Mapping[str, int],
    endpoints: Mapping[str, int],
    min_endpoints: int = DEFAULT_MIN_ENDPOINTS,
) -> dict[str, float]:
    """Return where a caller's requests should go, as shares by zone, together 1.

    Args:
        home: The caller's own zone.
        callers: How many balancers there are by zone, this one included.
        endpoints: Usable endpoints by zone.
        min_endpoints: With fewer in all, zones don't matter: each gets by its number.
    """
    total = sum(endpoints.values())
    capacity = {zone: count / total for zone, count in endpoints.items() if count}
    everyone = sum(callers.values())
    if total < min_endpoints or not callers.get(home):
        return capacity
    asked, there = callers[home] / everyone, capacity.get(home, 0.0)
    if there >= asked:
        return {home: 1.0}
    stays = there / asked
    spare = {
        zone: max(0.0, share - callers.get(zone, 0) / everyone)
        for zone, share in capacity.items()
        if zone != home
    }
    whole = sum(spare.values())
    elsewhere = {zone: (1.0 - stays) * share / whole for zone, share in spare.items() if share}
    return ({home: stays} if stays else {}) | elsewhere


class ZoneAware(Groups[str]):
    """Pick in the own zone as far as that is fair.

    Args:
        rng: Draws the zone.
        home: The own zone.
        zone_of: An endpoint's zone.
        make: Makes the algorithm of a zone.
        min_endpoints: Candidates below which zones don't matter.

    Until ``set_callers`` was told of any, zones don't matter either.
    """

    name = "zone_aware"

    def __init__(
        self,
        rng: random.Random,
        home: str,
        zone_of: Callable[[str], str],
        make: Callable[[], Algorithm],
        *,
        min_endpoints: int = DEFAULT_MIN_ENDPOINTS,
    ) -> None:
        super().__init__(rng, zone_of, make)
        self._home = home
        self._min_endpoints = min_endpoints
        self._callers: Mapping[str, int] = {}

    def set_callers(self, callers: Mapping[str, int]) -> None:
        """Know how many balancers there are by zone, this one included."""
        self._callers = dict(callers)
        self._shares = self._new_shares()

    def _new_shares(self) -> Mapping[str, float]:
        usable = {zone: len(names) for zone, names in self.members(self.candidates).items()}
        return zone_shares(self._home, self._callers, usable, self._min_endpoints)
