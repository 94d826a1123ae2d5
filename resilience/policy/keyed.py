"""Keyed rate: a rate limit of its own for each tenant or client, and never too many of them.

Why: one bucket for all is emptied by whoever asks most, so each gets one. But the keys come from
outside, and a table with a row for each name that a stranger sends is a leak; while a table that
forgets whom it met longest ago gives a full burst to everybody who is forgotten and comes back.
Two rules keep both ends:

- *Only who is as new may be forgotten*: a key whose bucket is full again, whose windows are empty.
  Met again, it gets what it would have had. So forgetting can't be seen from outside.
- *While none is, newcomers share one overflow gate.* When there is room for one of them its own
  gate begins as the heir of the overflow, with all that was taken there: nobody knows by whom, and
  it may have been this key. In the calm the overflow is as new, and so is the heir.

Together: whatever names come and go, **no key ever gets more than its one gate would have let
through**; a property test holds every key to a gate that is never forgotten.

Source: nginx ngx_http_limit_req_module.c (ngx_http_limit_req_expire), which first looks for entries
of zero rate, and forgets the oldest by force when memory is short; Envoy local_rate_limit keeps
``max_dynamic_descriptors`` (20) and, as its docs say, a descriptor evicted too early comes
back with a new bucket. Unlike both nothing is forgotten by force.
Not handled: gates without a time at which they are as new, such as breakers and limiters (slots
for each key: ``pools``); one rate over several processes (``token_lease``); who may call himself
what: take keys from what was authenticated, or the callers choose their own.
"""

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from typing import Protocol

from resilience.policy.contract import Gate, Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.pools import by_tenant

MAX_KEYS = 10_000  # ours: of about 300 bytes each; Envoy keeps 20, nginx 16,000 a megabyte

LOOKS = 16  # at who may be forgotten, for one newcomer; nginx takes two or three
_NEVER_S = float("-inf")
_IGNORED, _OK = Outcome.IGNORED, Outcome.OK  # see Outcome


class RateGate(Gate, Protocol):
    """A gate that time alone makes as new: TokenBucket, Gcra, SlidingWindow, SlidingLog."""

    def fresh_s(self) -> float:
        """Return when it is as new if nothing more comes; -inf when it is."""

    def heir(self) -> "RateGate":
        """Make one in the same state, which counts on its own from here."""


class KeyedPermit(Permit):
    """A permit that knows the gate it goes back to; ``inner`` is that gate's."""

    __slots__ = ("gate", "inner")

    def __init__(self, gate: Gate, inner: Permit) -> None:
        # Not through super(): one is made on every call.
        self.generation = inner.generation
        self.issued_s = inner.issued_s
        self.cost = inner.cost
        self.settled = False
        self.gate = gate
        self.inner = inner


class KeyedRejection(Rejection):
    """A refusal that says whose gate refused."""

    __slots__ = ("key",)

    def __init__(self, key: str, inner: Rejection) -> None:
        super().__init__(inner.policy, inner.reason, inner.retry_after_s, inner.value, inner.limit)
        self.key = key


class KeyedRate:
    """A Gate of one rate gate per key. O(1) for a key it knows, O(log keys) for a newcomer.

    Args:
        make: Makes the gate of a newcomer, e.g. ``lambda: TokenBucket(10, 20)``; each time a new
            one, all alike. Decisions are reported under their name.
        named: Keys known beforehand with gates made for them, e.g. of another rate. They are never
            forgotten, never share, and are not counted.
        max_keys: Most further keys with a gate of their own at a time, >= 1.
        key_of: Says whose gate a request belongs to.

    Raises:
        ValueError: ``max_keys`` is below 1.

    Invariants: keys with a gate <= max_keys, the named aside; what passed for a key would have
    passed a gate that was all its own and never forgotten.
    """

    __slots__ = (
        "_by_key",
        "_fading",
        "_key_of",
        "_make",
        "_named",
        "_rejected",
        "forgotten",
        "max_keys",
        "name",
        "overflow",
        "overflowed",
    )

    def __init__(
        self,
        make: Callable[[], RateGate],
        *,
        named: Mapping[str, Gate] | None = None,
        max_keys: int = MAX_KEYS,
        key_of: Callable[[Request], str] = by_tenant,
    ) -> None:
        if max_keys < 1:
            raise ValueError(f"max_keys={max_keys} must be >= 1")
        self._make = make
        self._named = dict(named or {})
        self._key_of = key_of
        self._by_key: dict[str, RateGate] = {}
        # Heap: a key, and when it was to be as new when last looked at; by now that may be later.
        self._fading: list[tuple[float, str]] = []
        self._rejected = 0
        self.max_keys = max_keys
        self.overflow = make()
        self.name = self.overflow.name
        self.forgotten = 0
        self.overflowed = 0

    def gate(self, key: str) -> Gate | None:
        """Return the gate of a key; None while it has none of its own."""
        named = self._named.get(key)
        return self._by_key.get(key) if named is None else named

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Ask the gate of the request's key, or the one that newcomers share."""
        key = self._key_of(request)
        gate: Gate | None = self._by_key.get(key)
        if gate is None:
            gate = self._named.get(key)
        if gate is None:
            gate = self._place(key, now_s)
        decision = gate.admit(request, now_s)
        if isinstance(decision, Rejection):
            self._rejected += 1
            return KeyedRejection(key, decision)
        return KeyedPermit(gate, decision)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the permit back to its gate; the overflow takes nothing back for an IGNORED one.

        What one key hands back there another could spend, beyond what is its own.
        """
        assert isinstance(permit, KeyedPermit), "a permit of another policy"
        permit.mark_settled()
        if outcome is _IGNORED and permit.gate is self.overflow:
            outcome = _OK
        permit.gate.settle(permit.inner, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Forget what has passed and the counters; keys keep their gates."""
        self._rejected = self.forgotten = self.overflowed = 0
        for gate in (self.overflow, *self._named.values(), *self._by_key.values()):
            gate.reset(now_s)
        self._fading = [(_NEVER_S, key) for key in self._by_key]
        heapify(self._fading)

    def snapshot(self) -> Snapshot:
        """Return how many keys there are, and how often room was made for one or was not."""
        return {
            "keys": len(self._by_key),
            "max_keys": self.max_keys,
            "named": len(self._named),
            "forgotten": self.forgotten,
            "overflowed": self.overflowed,
            "rejected": self._rejected,
        }

    def key_snapshots(self) -> dict[str, Snapshot]:
        """Return the figures of each gate by its key, for a page. O(keys)."""
        gates = {**self._named, **self._by_key}
        return {key: gate.snapshot() for key, gate in gates.items()}

    def _place(self, key: str, now_s: float) -> Gate:
        """Give a newcomer a gate, in the place of one as new if need be; else the overflow."""
        if len(self._by_key) >= self.max_keys and not self._forget(now_s):
            self.overflowed += 1
            return self.overflow
        is_calm = self.overflow.fresh_s() <= now_s
        gate = self._by_key[key] = self._make() if is_calm else self.overflow.heir()
        heappush(self._fading, (now_s, key))
        return gate

    def _forget(self, now_s: float) -> bool:
        """Forget one key whose gate is as new; False when none was found.

        Who was seen to be busy until a time is not looked at before it. What a look finds busy
        again was asked since; with very many such keys the next newcomers look on.
        """
        fading = self._fading
        for _ in range(LOOKS):
            if fading[0][0] > now_s:
                return False
            key = fading[0][1]
            fresh_s = self._by_key[key].fresh_s()
            if fresh_s <= now_s:
                heappop(fading)
                del self._by_key[key]
                self.forgotten += 1
                return True
            heapreplace(fading, (fresh_s, key))
        return False

    def __repr__(self) -> str:
        return f"<KeyedRate {len(self._by_key)}/{self.max_keys} keys, {self.overflow!r} for others>"
