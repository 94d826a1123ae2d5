"""Key hash: the same key to the same endpoint, whatever places keys on nodes.

Why: an endpoint that keeps something per key (a cache, a session, a room) is worth most when every
balancer sends a key there without asking anyone. The placement (ketama's ring, rendezvous, any
``Build`` of ``hashing``) is built over the candidates, once per change: when one leaves, only its
keys move, and they come back with it.
Source: Envoy's ring hash and Maglev balancers, source/extensions/load_balancing_policies: built
over the healthy hosts; without a hash policy's value the host is random.
Differs: Envoy hashes again for a second attempt; here the next is the excluded key's next by
rendezvous, so a retry of a key always lands on the same second endpoint, and the keys of one
endpoint on all others evenly.
Not handled: a key that is hotter than its endpoint can bear (``bounded_load``).
"""

import random
from collections.abc import Sequence

from hashing import ketama
from hashing.algorithm import Build, Node, Placement
from hashing.rendezvous import Rendezvous
from lb.policy.roster import Roster
from resilience.policy.contract import Request


class KeyHash(Roster):
    """Pick by ``Request.key`` (what of a request is its key, the adapter says).

    Args:
        rng: Picks for requests without a key.
        build: Places keys on nodes.

    A pick is the placement's lookup; O(candidates) while some are excluded. A change of candidates
    builds the placement anew.
    """

    name = "key_hash"

    def __init__(self, rng: random.Random, build: Build = ketama.build) -> None:
        super().__init__()
        self._random = rng.random
        self._build = build
        self._placement: Placement | None = None
        self._order: Rendezvous | None = None

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name the key's owner, or who follows it; None when all are excluded."""
        if self._placement is None:
            return None
        if not request.key:
            names = self.allowed(exclude)
            return names[int(self._random() * len(names))] if names else None
        owner = self._placement.lookup(request.key.encode())
        if owner not in exclude:
            return owner
        return next((name for name in self.followers(request.key) if name not in exclude), None)

    def owner(self, key: str) -> str | None:
        """Name the candidate that owns a key; None when there is no candidate."""
        return self._placement.lookup(key.encode()) if self._placement else None

    def followers(self, key: str) -> list[str]:
        """Name all candidates in the order in which they stand in for a key's owner."""
        return self._order.ranked(key.encode()) if self._order else []

    def _on_change(self) -> None:
        nodes = [Node(name, self.weights[name]) for name in self.candidates]
        self._placement = self._build(nodes) if nodes else None
        self._order = Rendezvous(nodes) if nodes else None
