"""Partitions: whoever asks for more than a fair share of a limiter is refused before the others.

Why: a limiter counts requests, not who sends them. With 8 requests a second of tenant A and 100 of
B at a service that can carry 20, A is refused as often as B: one bad client is everyone's problem.
Here each tenant has a weight. Whoever the limiter admits is in, so a share that its owner does not
use serves the others. Whom the limiter refuses goes on *above* the limit if

    (1) of its tenant fewer are in flight than its slots: max(1, ceil(limit × weight / weights)), or
    (2) its tenant has lately used less, for its weight, than the greediest: usage < 0.95 × most,
        and those in flight are no more than limit + max(2 × limit, 8)

While somebody is above the limit, whoever meets neither condition must let the total fall to the
limit first: what was lent is taken back as requests end, none is cut off.

(1) is the promise and (2) what makes it worth something: one slot of a limit of two is little help
to a tenant whose eight requests a second come in bursts of four. (2) is the definition of a max-min
fair division: nobody is refused while another has more for its weight. Usage counts only while
the limiter refuses: what nobody else wanted is held against no one. It starts from what each holds
at the first refusal, so whoever has just filled the limit is known at once; after that it is what
was admitted, forgotten with a time constant of 10 s. An IGNORED request gives back what it counted.

Source: (1) is Netflix/concurrency-limits' PartitionedLimiter
(concurrency-limits-core/.../limiter/AbstractPartitionedLimiter.java), whose partitions too bind
only when the whole limit is reached. Max-min fairness: Bertsekas and Gallager, Data Networks,
6.5.2. Usage by *forward decay*: Cormode et al., "Forward Decay" (ICDE 2009), which weighs what is
new by e^(t/10 s) instead of decaying what is old, so the greediest is known in O(1). Differences:
(2), for with (1) alone A gets 0.53 of what it asks for in the setting above, and 0.98 with both;
weights need no sum of 1; unknown tenants get partitions of their own while there is room; refused
requests are not delayed, which would hold up an event loop.

Not handled: fairness inside a tenant; importance (``criticality_gate`` goes around this one, or
inside). A request above the limit teaches the limiter nothing, which never saw it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from math import ceil, exp

from resilience.policy.contract import Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.layer import LimiterGate

DEFAULT_WEIGHT = 1.0  # all alike
LEAST_SLOTS = 1  # Netflix: max(1, ceil(limit × percent))
MAX_TENANTS = 64  # Netflix names each partition; this many fit in 16 KiB and on one page
OTHERS = "others"  # the partition of tenants without one
USAGE_S = 10.0  # as BBR remembers; at 8 requests a second usage is known to about 8 %
FAIR_RATIO = 0.95  # nearer to the greediest than that is as greedy; at 1 all but one may overdraw
BURST_RATIO = 2.0  # what CRITICAL has above the limit in criticality_gate
LEAST_BURST = 8.0  # the same
HOLD_S = 1.0  # BBR stays "cold" as long
REBASE_S = 1000.0  # a float carries e^100 with ease; after that the landmark moves


class Partition:
    """What is known of one tenant.

    Args:
        tenant: Whose it is.
        weight: Its part of the whole, > 0.
    """

    __slots__ = ("in_flight", "last_s", "rejected", "tenant", "usage", "weight")

    def __init__(self, tenant: str, weight: float) -> None:
        self.tenant = tenant
        self.weight = weight
        self.in_flight = 0
        self.usage = 0.0  # admitted per weight, each counted e^((its time − landmark) / 10 s)
        self.last_s = float("-inf")
        self.rejected = 0


class PartitionPermit(Permit):
    """Leave to go on in a partition.

    Args:
        partition: Whose slot it holds.
        inner: The limiter's permit; None when above the limit, of which the limiter knows nothing.
        is_counted: Whether it counted as usage.
    """

    __slots__ = ("inner", "is_counted", "partition")

    def __init__(
        self,
        generation: int,
        now_s: float,
        cost: float,
        partition: Partition,
        inner: Permit | None,
        is_counted: bool,
    ) -> None:
        super().__init__(generation, now_s, cost)
        self.partition = partition
        self.inner = inner
        self.is_counted = is_counted


class TenantPartitions:
    """A Gate that divides a limiter among tenants. It adds O(1) to each call.

    O(tenants) are ``snapshot``, ``reset``, an IGNORED request of the greediest tenant, a new tenant
    when all partitions are taken, the first refusal in a while, and one admission in 17 minutes.

    Args:
        limiter: Any limiter; the partitions alone ask it.
        weights: Of tenants known beforehand, > 0 each; they are never evicted. ``others`` may be
            among them: the partition of those who have none, and of requests without a tenant.
        default_weight: Of any other tenant, > 0.
        max_tenants: Partitions besides ``others``, those known beforehand included, >= 1. A further
            tenant takes the place of the one idle longest, for 10 s at least, or shares ``others``.

    Invariants: in_flight is the sum over partitions; a tenant with fewer in flight than its slots
    is admitted; nobody goes above the limit by (2) when ``max(2 × limit, 8)`` are there.
    """

    name = "partitions"

    __slots__ = (
        "_binding_until_s",
        "_default_weight",
        "_generation",
        "_greediest",
        "_landmark_s",
        "_limiter",
        "_max_tenants",
        "_others",
        "_partitions",
        "_pinned",
        "_total_weight",
        "overdrawn",
        "would_admit",
    )

    def __init__(
        self,
        limiter: LimiterGate,
        weights: Mapping[str, float] | None = None,
        *,
        default_weight: float = DEFAULT_WEIGHT,
        max_tenants: int = MAX_TENANTS,
    ) -> None:
        known = dict(weights or {})
        if not all(weight > 0 for weight in (default_weight, *known.values())):
            raise ValueError(f"weights={known} and default_weight={default_weight} must be > 0")
        named = len(known.keys() - {OTHERS})
        if max_tenants < max(1, named):
            raise ValueError(f"max_tenants={max_tenants} must be >= {max(1, named)}")
        self._limiter = limiter
        self._default_weight = default_weight
        self._max_tenants = max_tenants
        self._pinned = frozenset((OTHERS, *known))
        self._partitions: OrderedDict[str, Partition] = OrderedDict()  # least lately used first
        self._total_weight = 0.0
        self._greediest = Partition("", default_weight)  # nobody yet
        self._landmark_s = 0.0
        self._binding_until_s = float("-inf")  # the limiter refused somebody within HOLD_S
        self._generation = 0
        self.overdrawn = 0
        self.would_admit = 0
        for tenant, weight in known.items():
            self._add(tenant, weight)

    @property
    def in_flight(self) -> int:
        """How many are in flight, those above the limit included."""
        return self._limiter.in_flight + self.overdrawn

    def limit(self, now_s: float) -> float:
        """Return the limiter's limit; who has a right to may go above it."""
        return self._limiter.limit(now_s)

    def slots(self, tenant: str, now_s: float) -> int:
        """Return how many of a tenant may be in flight whatever the others do."""
        partition = self._partitions.get(tenant)
        return self._slots(partition, now_s) if partition is not None else 0

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Let the request in if the limiter does or its tenant has a right to it, or refuse it."""
        partition = self._partitions.get(request.tenant or OTHERS)
        if partition is None:
            partition = self._open(request.tenant, now_s)
        if self.overdrawn and now_s < self._binding_until_s and self._is_over(partition, now_s):
            return self._refuse(partition, now_s)
        decision = self._limiter.admit(request, now_s)
        if not isinstance(decision, Rejection):
            return self._issue(partition, request.cost, decision, now_s)
        if now_s >= self._binding_until_s:
            self._begin_contention(now_s)
        self._binding_until_s = now_s + HOLD_S
        if not self._may_overdraw(partition, now_s):
            return self._refuse(partition, now_s)
        self.overdrawn += 1
        return self._issue(partition, request.cost, None, now_s)

    def admit_in_shadow(
        self, request: Request, now_s: float
    ) -> tuple[Permit | Rejection, Rejection | None]:
        """Return the limiter's decision; without anybody above the limit nobody is refused here."""
        partition = self._partitions.get(request.tenant or OTHERS)
        if partition is None:
            partition = self._open(request.tenant, now_s)
        decision = self._limiter.admit(request, now_s)
        if not isinstance(decision, Rejection):
            return self._issue(partition, request.cost, decision, now_s), None
        if now_s >= self._binding_until_s:
            self._begin_contention(now_s)
        self._binding_until_s = now_s + HOLD_S
        self.would_admit += self._may_overdraw(partition, now_s)
        return decision, None

    def owns(self, permit: Permit) -> bool:
        """Whether it was admitted here; what the limiter gave past us is the limiter's."""
        return isinstance(permit, PartitionPermit)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the slot back; the limiter may learn, and an IGNORED request was not used."""
        assert isinstance(permit, PartitionPermit), "settled where it was not admitted"
        permit.mark_settled()
        permit.partition.in_flight -= 1
        if permit.inner is None:
            self.overdrawn -= 1
        else:
            self._limiter.settle(permit.inner, outcome, now_s)
        is_refund = outcome is Outcome.IGNORED and permit.is_counted
        if is_refund and permit.generation == self._generation:
            self._refund(permit)

    def reset(self, now_s: float) -> None:
        """Forget who used how much, and reset the limiter; who is in flight stays counted."""
        self._generation += 1
        self._binding_until_s = float("-inf")
        for partition in self._partitions.values():
            partition.usage = 0.0
            partition.rejected = 0
        self.would_admit = 0
        self._limiter.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the limiter's figures, those above the limit, and each tenant's; O(tenants)."""
        figures: dict[str, float | int | str | bool | None] = {
            **self._limiter.snapshot(),
            "overdrawn": self.overdrawn,
            "rejected": sum(each.rejected for each in self._partitions.values()),
            "tenants": len(self._partitions),
        }
        for tenant, partition in self._partitions.items():
            figures[f"in_flight_{tenant}"] = partition.in_flight
            figures[f"rejected_{tenant}"] = partition.rejected
        return figures

    def _issue(
        self, partition: Partition, cost: float, inner: Permit | None, now_s: float
    ) -> PartitionPermit:
        """Count the request in; under contention also as usage."""
        partition.in_flight += 1
        partition.last_s = now_s
        self._partitions.move_to_end(partition.tenant)
        is_contended = now_s < self._binding_until_s
        if is_contended:
            self._count(partition, cost, now_s)
        return PartitionPermit(self._generation, now_s, cost, partition, inner, is_contended)

    def _is_over(self, partition: Partition, now_s: float) -> bool:
        """Whether the total must fall first for this tenant."""
        if self.in_flight <= self._limiter.limit(now_s):
            return False
        return not self._may_overdraw(partition, now_s)

    def _may_overdraw(self, partition: Partition, now_s: float) -> bool:
        """Whether the tenant has a right to go above the limit: (1) or (2)."""
        if partition.in_flight < self._slots(partition, now_s):
            return True
        if partition.usage >= FAIR_RATIO * self._greediest.usage:
            return False
        limit = self._limiter.limit(now_s)
        return self.in_flight <= limit + max(BURST_RATIO * limit, LEAST_BURST)

    def _slots(self, partition: Partition, now_s: float) -> int:
        share = self._limiter.limit(now_s) * partition.weight / self._total_weight
        return max(LEAST_SLOTS, ceil(share))

    def _refuse(self, partition: Partition, now_s: float) -> Rejection:
        partition.rejected += 1
        slots = self._slots(partition, now_s)
        return Rejection(self.name, "TENANT_SHARE_EXCEEDED", HOLD_S, partition.in_flight, slots)

    def _begin_contention(self, now_s: float) -> None:
        """Start from what each holds: whoever has just filled the limit is known at once."""
        self._landmark_s = now_s
        for partition in self._partitions.values():
            partition.usage = partition.in_flight / partition.weight
        self._find_greediest()

    def _count(self, partition: Partition, cost: float, now_s: float) -> None:
        """Count an admission as usage; its tenant may have become the greediest."""
        if now_s - self._landmark_s > REBASE_S:
            self._rebase(now_s)
        age_s = now_s - self._landmark_s
        partition.usage += cost * exp(age_s / USAGE_S) / partition.weight
        if partition.usage > self._greediest.usage:
            self._greediest = partition

    def _refund(self, permit: PartitionPermit) -> None:
        """Take back what the admission counted, as the landmark has it now."""
        partition = permit.partition
        age_s = permit.issued_s - self._landmark_s
        charge = permit.cost * exp(age_s / USAGE_S) / partition.weight
        partition.usage = max(0.0, partition.usage - charge)  # it may span two contentions
        if partition is self._greediest:
            self._find_greediest()

    def _rebase(self, now_s: float) -> None:
        """Move the landmark to now, so that weights stay within what a float carries."""
        factor = exp((self._landmark_s - now_s) / USAGE_S)
        for partition in self._partitions.values():
            partition.usage *= factor
        self._landmark_s = now_s

    def _find_greediest(self) -> None:
        self._greediest = max(self._partitions.values(), key=lambda each: each.usage)

    def _open(self, tenant: str, now_s: float) -> Partition:
        """Give a new tenant a partition: a free one, the longest idle one's, or the others'."""
        if not tenant:
            return self._add(OTHERS, self._default_weight)
        taken = len(self._partitions) - (OTHERS in self._partitions)
        if taken < self._max_tenants or self._evict(now_s):
            return self._add(tenant, self._default_weight)
        return self._partitions.get(OTHERS) or self._add(OTHERS, self._default_weight)

    def _add(self, tenant: str, weight: float) -> Partition:
        partition = self._partitions[tenant] = Partition(tenant, weight)
        self._total_weight += weight
        return partition

    def _evict(self, now_s: float) -> bool:
        """Drop the partition idle longest; False when none was idle for as long as usage counts."""
        for tenant, partition in self._partitions.items():
            if partition.last_s > now_s - USAGE_S and tenant not in self._pinned:
                return False  # and all after it were used later
            if tenant not in self._pinned and not partition.in_flight:
                del self._partitions[tenant]
                self._total_weight -= partition.weight
                if partition is self._greediest:
                    self._find_greediest()
                return True
        return False

    def __repr__(self) -> str:
        count = len(self._partitions)
        return f"<TenantPartitions {self.in_flight} in flight of {count} tenants>"
