"""Canary share: a chosen share of requests, or of users, goes to the new version.

Why: a release that is bad should be bad for few, and for the same few: a user who meets the new
version now and the old one a second later sees a mixture that nobody tested. So a request with a
key falls by its hash: it is among the first 5 % or it isn't, on every balancer, and raising the
share to 10 % adds users without moving any back. A request without a key falls by chance.
Source: weighted clusters in Envoy's route (``weighted_clusters``, by chance) and nginx's
``split_clients`` (by hash).
Not handled: deciding whether the canary is well (compare the two groups' figures; ``outlier``
ejects single endpoints of either).
"""

import random
from collections.abc import Callable, Mapping
from hashlib import blake2b

from lb.policy.groups import Groups
from lb.policy.roster import Algorithm
from resilience.policy.contract import Request

STABLE, CANARY = "stable", "canary"
_UNUSED_BITS = 64 - 53  # 53 bits are what a double holds exactly
_STEPS = float(1 << 53)


class Canary(Groups[str]):
    """Pick among the canary's endpoints for a share of requests, else among the stable ones.

    Args:
        rng: Decides for requests without a key.
        is_canary: Whether an endpoint runs the new version.
        make: Makes the algorithm of each side.
        share: Share of requests, 0..1, whatever the number of endpoints on either side.
        salt: Another salt chooses other users.

    With nobody usable on one side the other takes all: a canary serves rather than nobody.

    Raises:
        ValueError: When the share is out of range.
    """

    name = "canary"

    def __init__(
        self,
        rng: random.Random,
        is_canary: Callable[[str], bool],
        make: Callable[[], Algorithm],
        share: float,
        *,
        salt: str = "",
    ) -> None:
        super().__init__(rng, lambda name: CANARY if is_canary(name) else STABLE, make)
        self._salt = salt
        self.set_share(share)

    def set_share(self, share: float) -> None:
        """Send another share from now on."""
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"share must be within 0 and 1, not {share}")
        self._share = share
        self._shares = self._new_shares()

    def _new_shares(self) -> Mapping[str, float]:
        members = self.members(self.candidates)
        wanted = {CANARY: self._share, STABLE: 1.0 - self._share}
        present = {side: share for side, share in wanted.items() if members.get(side)}
        return dict.fromkeys(present, 1.0) if len(present) == 1 else present

    def _draw(self, request: Request) -> str | None:
        if not request.key or len(self._shares) < 2:
            return super()._draw(request)
        return CANARY if place_of(request.key, self._salt) < self._share else STABLE


def place_of(key: str, salt: str = "") -> float:
    """Return a key's place among all, 0 <= place < 1, the same everywhere."""
    digest = blake2b(f"{salt}:{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> _UNUSED_BITS) / _STEPS
