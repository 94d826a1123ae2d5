"""Bulkhead pools: who fills his own is refused alone, and strangers' names cost bounded room."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import pools
from resilience.policy.contract import (
    Mode,
    Outcome,
    Permit,
    QueueTurn,
    Rejection,
    Request,
    Ticket,
)
from resilience.policy.pooled import PoolPermit
from resilience.policy.pools import BulkheadPools, by_key, by_tenant
from resilience.policy.switch import SwitchedQueue
from tests.golden import transcript


def of(tenant: str, deadline_s: float | None = None) -> Request:
    """Make a tenant's request."""
    return Request(tenant=tenant, deadline_s=deadline_s)


def admitted(queue: BulkheadPools, tenant: str, now_s: float = 0.0) -> Permit:
    """Offer a tenant's request that is expected to be let in."""
    permit = queue.offer(of(tenant), now_s)
    assert isinstance(permit, Permit)
    return permit


def waiting(queue: BulkheadPools, tenant: str, deadline_s: float | None = None) -> Ticket:
    """Offer a tenant's request that is expected to wait."""
    ticket = queue.offer(of(tenant, deadline_s), 0.0)
    assert isinstance(ticket, Ticket)
    return ticket


def test_defaults_are_hystrix_pool_size_and_a_bounded_table() -> None:
    """10 slots as a Hystrix thread pool has, nobody waits, 256 pools, one per tenant."""
    queue = BulkheadPools()
    assert (pools.DEFAULT_POOL_LIMIT, pools.DEFAULT_MAX_POOLS) == (10, 256)
    assert (queue.limit, queue.max_waiting, queue.max_pools) == (10, 0, 256)
    assert queue.overflow.limit == 10
    assert (by_tenant(Request(tenant="t", key="k")), by_key(Request(tenant="t", key="k"))) == (
        "t",
        "k",
    )
    assert repr(queue) == "<BulkheadPools 0/256 pools of 10, in flight 0, waiting 0>"


def test_who_fills_his_own_pool_is_refused_alone() -> None:
    """A tenant that hangs holds its two slots; the next tenant notices nothing."""
    queue = BulkheadPools(2)
    admitted(queue, "noisy")
    admitted(queue, "noisy")
    refused = queue.offer(of("noisy"), 0.0)

    assert isinstance(refused, Rejection)
    assert (refused.reason, refused.value, refused.limit) == ("BULKHEAD_FULL", 2, 2)
    admitted(queue, "quiet")


def test_named_keys_have_limits_of_their_own() -> None:
    """A dependency known to be narrow gets one slot, the others what is usual."""
    queue = BulkheadPools(2, limits={"mail": 1}, key_of=by_key)
    assert isinstance(queue.offer(Request(key="mail"), 0.0), Permit)
    assert isinstance(queue.offer(Request(key="mail"), 0.0), Rejection)
    assert isinstance(queue.offer(Request(key="maps"), 0.0), Permit)
    assert isinstance(queue.offer(Request(key="maps"), 0.0), Permit)


def test_the_pool_idle_for_longest_makes_room() -> None:
    """Of two idle pools the one whose last permit came back first is taken away."""
    queue = BulkheadPools(1, max_pools=2)
    first, second = admitted(queue, "first"), admitted(queue, "second")
    queue.settle(second, Outcome.OK, 1.0)
    queue.settle(first, Outcome.OK, 2.0)
    admitted(queue, "newcomer")

    assert queue.pool("second") is None
    assert queue.pool("first") is not None
    assert (queue.evicted, queue.overflowed) == (1, 0)


def test_use_makes_a_pool_young_again() -> None:
    """A pool that is used is no candidate, however long it was idle before."""
    queue = BulkheadPools(2, max_pools=2)
    for tenant in ("old", "young"):
        queue.settle(admitted(queue, tenant), Outcome.OK, 0.0)
    queue.settle(admitted(queue, "old"), Outcome.OK, 1.0)
    admitted(queue, "newcomer")

    assert queue.pool("young") is None
    assert queue.pool("old") is not None


def test_with_no_pool_idle_newcomers_share_the_overflow() -> None:
    """A flood of made-up names fills the overflow, not the table, and hurts no known tenant."""
    queue = BulkheadPools(2, max_pools=1, overflow_limit=3)
    admitted(queue, "known")
    decisions = [queue.offer(of(f"made-up-{number}"), 0.0) for number in range(5)]

    assert [isinstance(each, Permit) for each in decisions] == [True, True, True, False, False]
    refused = decisions[-1]
    assert isinstance(refused, Rejection)
    assert (refused.policy, refused.reason) == ("bulkhead_overflow", "BULKHEAD_OVERFLOW_FULL")
    assert isinstance(queue.offer(of("known"), 0.0), Permit)
    assert queue.snapshot() == {
        "pools": 1,
        "full": 2,
        "in_flight": 5,
        "waiting": 0,
        "rejected": 2,
        "max_pools": 1,
        "idle": 0,
        "evicted": 0,
        "overflowed": 5,
    }


def test_what_went_to_the_overflow_comes_back_to_it() -> None:
    """A permit knows its pool: its key having one of its own by then changes nothing."""
    queue = BulkheadPools(1, max_pools=1)
    blocking, shared = admitted(queue, "first"), admitted(queue, "second")
    queue.settle(blocking, Outcome.OK, 1.0)
    own = admitted(queue, "second", 1.0)
    pool = queue.pool("second")
    assert pool is not None
    queue.settle(shared, Outcome.OK, 2.0)

    assert (queue.overflow.in_flight, pool.in_flight) == (0, 1)
    queue.settle(own, Outcome.OK, 3.0)
    assert queue.snapshot()["idle"] == 1


def test_a_freed_slot_goes_to_the_own_pool_s_waiter() -> None:
    """Each pool has a line of its own, and tickets are unique over all of them."""
    queue = BulkheadPools(1, 1)
    permits = {tenant: admitted(queue, tenant) for tenant in ("a", "b")}
    tickets = {tenant: waiting(queue, tenant) for tenant in ("a", "b")}
    assert tickets["a"] != tickets["b"]

    turn = queue.settle(permits["b"], Outcome.OK, 1.0)
    assert [ticket for ticket, _ in turn.granted] == [tickets["b"]]
    assert queue.waiting == 1


def test_waiters_expire_over_all_pools_in_order_of_time() -> None:
    """The next deadline is the earliest of any pool; a tick drops exactly the expired."""
    queue = BulkheadPools(1, 2)
    for tenant in ("a", "b"):
        admitted(queue, tenant)
    late, soon = waiting(queue, "a", 3.0), waiting(queue, "b", 2.0)
    assert queue.next_deadline_s() == 2.0
    assert queue.on_tick(1.9) == QueueTurn((), [])

    turn = queue.on_tick(2.0)
    assert [(ticket, why.reason) for ticket, why in turn.dropped] == [(soon, "DEADLINE_EXCEEDED")]
    assert queue.next_deadline_s() == 3.0
    queue.cancel(late, 2.5)
    queue.cancel(late, 2.5)
    assert (queue.next_deadline_s(), queue.waiting) == (None, 0)
    assert queue.on_tick(9.0) == QueueTurn((), [])


def test_a_resize_reaches_every_pool_but_the_named() -> None:
    """More slots are granted at once, in each pool; a limit of its own stays."""
    queue = BulkheadPools(1, 2, limits={"mail": 1})
    for tenant in ("a", "b", "mail"):
        admitted(queue, tenant)
    first, second = waiting(queue, "a"), waiting(queue, "b")
    waiting(queue, "mail")

    turn = queue.resize(2, 1.0)
    assert [ticket for ticket, _ in turn.granted] == [first, second]
    assert queue.waiting == 1
    queue.cancel(Ticket(99), 1.0)
    admitted(queue, "c")
    admitted(queue, "c")
    assert queue.resize(1, 2.0) == QueueTurn([], [])
    admitted(queue, "d")
    assert isinstance(queue.offer(of("d"), 2.0), Ticket)


def test_counters_outlive_their_pools_and_end_with_a_reset() -> None:
    """What a pool refused stays counted after it made room."""
    queue = BulkheadPools(1, max_pools=1)
    permit = admitted(queue, "a")
    assert isinstance(queue.offer(of("a"), 0.0), Rejection)
    queue.settle(permit, Outcome.OK, 1.0)
    admitted(queue, "b")
    admitted(queue, "c")
    assert [queue.snapshot()[name] for name in ("rejected", "evicted", "overflowed")] == [1, 1, 1]
    assert set(queue.pool_snapshots()) == {"b", pools.OVERFLOW_KEY}

    queue.reset(2.0)
    assert [queue.snapshot()[name] for name in ("rejected", "evicted", "overflowed")] == [0, 0, 0]
    assert queue.snapshot()["in_flight"] == 2


def test_settling_twice_or_elsewhere_is_an_error() -> None:
    """A permit goes back once, and to the policy that gave it."""
    queue = BulkheadPools(1)
    permit = admitted(queue, "a")
    queue.settle(permit, Outcome.IGNORED, 1.0)
    with pytest.raises(AssertionError, match="settled twice"):
        queue.settle(permit, Outcome.OK, 1.0)
    with pytest.raises(AssertionError, match="another policy"):
        queue.settle(Permit(0, 0.0), Outcome.OK, 1.0)


def test_in_shadow_everybody_passes_and_is_counted() -> None:
    """Behind a switch: the refused and the waiting go in, and no place stays taken."""
    queue = BulkheadPools(1, 1)
    switched = SwitchedQueue(queue, lambda: Mode.SHADOW)
    permits = [switched.offer(of("a"), 0.0) for _ in range(3)]
    assert (switched.would_wait, switched.would_reject, queue.waiting) == (2, 0, 0)

    for permit in permits:
        assert isinstance(permit, Permit)
        switched.settle(permit, Outcome.OK, 1.0)
    assert (queue.snapshot()["in_flight"], queue.snapshot()["idle"]) == (0, 1)


def test_impossible_sizes_are_errors() -> None:
    """Each size names itself and its range."""
    with pytest.raises(ValueError, match=r"max_pools=0 must be >= 1"):
        BulkheadPools(max_pools=0)
    with pytest.raises(ValueError, match=r"limits=\{'a': 0\} must each be >= 1"):
        BulkheadPools(limits={"a": 0, "b": 1})
    with pytest.raises(ValueError, match="limit=0"):
        BulkheadPools(0)
    with pytest.raises(ValueError, match="limit=0"):
        BulkheadPools(overflow_limit=0)
    with pytest.raises(ValueError, match="limit=0 must be >= 1"):
        BulkheadPools().resize(0, 0.0)


class PoolsMachine(RuleBasedStateMachine):
    """Any order of events: no permit or waiter is lost, and every bound holds."""

    LIMIT, ROOM, POOLS = 2, 1, 2
    TENANTS = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.queue = BulkheadPools(self.LIMIT, self.ROOM, max_pools=self.POOLS)
        self.now_s = 0.0
        self.permits: list[Permit] = []
        self.tickets: set[Ticket] = set()

    def _apply(self, turn: QueueTurn) -> None:
        for ticket, _ in turn.dropped:
            self.tickets.remove(ticket)
        for ticket, permit in turn.granted:
            self.tickets.remove(ticket)
            self.permits.append(permit)

    @rule(tenant=TENANTS, patience_s=st.one_of(st.none(), st.floats(0, 3)))
    def offer(self, tenant: str, patience_s: float | None) -> None:
        deadline_s = None if patience_s is None else self.now_s + patience_s
        decision = self.queue.offer(of(tenant, deadline_s), self.now_s)
        if isinstance(decision, Permit):
            self.permits.append(decision)
        elif isinstance(decision, Ticket):
            assert decision not in self.tickets
            self.tickets.add(decision)

    @rule(pick=st.integers(0, 99))
    def settle(self, pick: int) -> None:
        if self.permits:
            permit = self.permits.pop(pick % len(self.permits))
            self._apply(self.queue.settle(permit, Outcome.OK, self.now_s))

    @rule(gap_s=st.floats(0, 2))
    def tick(self, gap_s: float) -> None:
        self.now_s += gap_s
        self._apply(self.queue.on_tick(self.now_s))

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        if self.tickets:
            ticket = sorted(self.tickets)[pick % len(self.tickets)]
            self.tickets.remove(ticket)
            self.queue.cancel(ticket, self.now_s)

    @rule()
    def reset(self) -> None:
        self.queue.reset(self.now_s)

    @invariant()
    def nothing_is_lost(self) -> None:
        held = Counter(permit.pool for permit in self.permits if isinstance(permit, PoolPermit))
        figures = self.queue.snapshot()
        assert figures["in_flight"] == len(self.permits) == held.total()
        assert figures["waiting"] == self.queue.waiting == len(self.tickets)
        for pool, count in held.items():
            assert pool.in_flight == count <= self.LIMIT
            assert pool is self.queue.overflow or self.queue.pool(pool.key) is pool

    @invariant()
    def bounds_hold(self) -> None:
        figures = self.queue.pool_snapshots()
        assert len(figures) <= self.POOLS + 1
        idle = [key for key in figures if key != pools.OVERFLOW_KEY]
        idle = [key for key in idle if not figures[key]["in_flight"]]
        assert self.queue.snapshot()["idle"] == len(idle)
        for each in figures.values():
            assert not each["waiting"] or each["in_flight"] == self.LIMIT


TestPoolsMachine = PoolsMachine.TestCase
TestPoolsMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.mark.golden
def test_transcript() -> None:
    """Three tenants, two pools and one overflow: who is let in, and whose pool makes room."""
    queue = BulkheadPools(1, 1, max_pools=2, overflow_limit=1)
    held: dict[str, Permit] = {}
    waits: dict[Ticket, str] = {}
    lines = []

    def say(now_s: float, what: str, result: object) -> None:
        lines.extend([f"t={now_s:g} {what}", f"    {result}", f"    {queue!r}"])

    def offer(now_s: float, who: str, deadline_s: float | None = None) -> None:
        decision = queue.offer(of(who.rstrip("0123456789"), deadline_s), now_s)
        until = "" if deadline_s is None else f" until {deadline_s:g}"
        if isinstance(decision, PoolPermit):
            held[who] = decision
            say(now_s, f"offer {who}{until}", f"permit of {decision.pool.key}")
        elif isinstance(decision, Ticket):
            waits[decision] = who
            say(now_s, f"offer {who}{until}", f"waits, ticket {decision.number}")
        else:
            say(now_s, f"offer {who}{until}", decision)

    def told(turn: QueueTurn) -> str:
        for ticket, permit in turn.granted:
            held[waits[ticket]] = permit
        granted = [f"granted to {waits[ticket]}" for ticket, _ in turn.granted]
        dropped = [f"dropped {waits[ticket]}: {why.reason}" for ticket, why in turn.dropped]
        return ", ".join(granted + dropped) or "nobody waited"

    def settle(now_s: float, who: str) -> None:
        say(now_s, f"settle {who} OK", told(queue.settle(held.pop(who), Outcome.OK, now_s)))

    offer(0.0, "ann1")
    offer(0.1, "ann2", 1.0)
    offer(0.2, "ann3")
    offer(0.3, "bob1")
    offer(0.4, "cat1")
    offer(0.5, "dan1")
    offer(0.6, "dan2")
    say(1.0, "tick", told(queue.on_tick(1.0)))
    settle(1.1, "cat1")
    settle(1.2, "bob1")
    offer(1.3, "cat2")
    settle(1.4, "ann1")
    settle(1.5, "dan1")
    settle(1.6, "cat2")
    lines.append(f"snapshot {dict(queue.snapshot())}")
    transcript.check("pools", lines)
