"""Sticky cookie: a client stays with the endpoint it was first given, while that may be picked.

Why: sessions kept in memory, uploads in parts. The first answer carries a cookie that names the
endpoint, later requests bring it back; no table is kept, so any balancer understands it. When the
endpoint is gone, ejected or excluded, another policy picks, and the next answer renews the cookie.
Source: HAProxy, ``cookie SERVERID insert``; nginx, ``sticky cookie``; Envoy's stateful_session
filter (``cookie``), whose cookie holds the address itself. Here it is a keyed hash: it tells nobody
an address, and nobody can choose an endpoint by making one up.
Not handled: reading and setting cookies (the adapter's: ``Request.key`` is the cookie's value, and
``cookie_of`` what to set when the endpoint is another); moving sessions off one that drains; a
key for hashing beside the cookie.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from lb.policy.roster import Algorithm, rule_of
from resilience.policy.contract import Outcome, Request, Snapshot

TOKEN_BYTES = 12  # 96 bits: no two endpoints share one, and no guess finds one
MIN_SECRET_BYTES = 16
MAX_SECRET_BYTES = blake2b.MAX_KEY_SIZE


def endpoint_cookie(endpoint: str, secret: bytes) -> str:
    """Return the cookie's value for an endpoint: 24 hexadecimal digits.

    Args:
        endpoint: Its name.
        secret: 16 to 64 bytes.
    """
    return blake2b(endpoint.encode(), key=secret, digest_size=TOKEN_BYTES).hexdigest()


class Sticky:
    """Pick the endpoint that the request's key names, else what another algorithm picks.

    Args:
        inner: Picks for clients without a valid cookie.
        secret: 16 to 64 bytes, the same for all balancers of the fleet.

    Raises:
        ValueError: When the secret is too short or too long.
    """

    name = "sticky"

    def __init__(self, inner: Algorithm, secret: bytes) -> None:
        if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
            raise ValueError(f"secret must be 16 to 64 bytes, not {len(secret)}")
        self._inner = inner
        self._secret = secret
        self._names: dict[str, str] = {}
        self._candidates: frozenset[str] = frozenset()
        self._kept = self._moved = 0

    def set_endpoints(self, endpoints: Iterable[str] | Mapping[str, float]) -> None:
        """Know these, by weight when weights are given; all of them are candidates."""
        weights = (
            dict(endpoints) if isinstance(endpoints, Mapping) else dict.fromkeys(endpoints, 1.0)
        )
        self._inner.set_endpoints(weights)
        self._names = {self.cookie_of(name): name for name in weights}
        self._candidates = frozenset(weights)

    def set_candidates(self, names: Sequence[str]) -> None:
        """Choose among these known endpoints only, until told otherwise."""
        self._inner.set_candidates(names)
        self._candidates = frozenset(names).intersection(self._names.values())

    def pick(self, request: Request, exclude: Sequence[str], now_s: float) -> str | None:
        """Name the cookie's endpoint if it may be picked, else what the inner algorithm says."""
        named = self._names.get(request.key)
        if named in self._candidates and named not in exclude:
            self._kept += 1
            return named
        self._moved += bool(request.key)
        return self._inner.pick(request, exclude, now_s)

    def cookie_of(self, endpoint: str) -> str:
        """Return the cookie's value for an endpoint."""
        return endpoint_cookie(endpoint, self._secret)

    def on_start(self, endpoint: str, now_s: float) -> None:
        """Pass on: sticky requests are load like others."""
        self._inner.on_start(endpoint, now_s)

    def on_finish(self, endpoint: str, outcome: Outcome, now_s: float) -> None:
        """Pass on."""
        self._inner.on_finish(endpoint, outcome, now_s)

    def rule(self, request: Request, picked: str) -> str:
        """Say that the cookie named it, else who picked instead."""
        if self._names.get(request.key) == picked:
            return "sticky cookie"
        return rule_of(self._inner, request, picked)

    def snapshot(self) -> Snapshot:
        """Requests that stayed, those whose cookie no longer held, and the inner snapshot."""
        return {"kept": self._kept, "moved": self._moved, **self._inner.snapshot()}
