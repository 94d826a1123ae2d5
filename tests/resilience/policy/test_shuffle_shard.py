"""Shuffle sharding: the arithmetic of overlap, stable hands, what one poisonous tenant takes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import shuffle_shard
from resilience.policy.contract import Outcome, Permit, QueueTurn, Rejection, Request, Ticket
from resilience.policy.shuffle_shard import (
    ShuffleShardedBulkhead,
    ShuffleShards,
    hand_count,
    overlap_probability,
)
from tests.golden import transcript

EIGHT = [f"pool-{number}" for number in range(8)]
TENANTS = [f"tenant-{number}" for number in range(2_000)]


def test_defaults_are_the_published_example() -> None:
    """Eight pools, two for each tenant, ten slots in each."""
    queue = ShuffleShardedBulkhead()
    assert (shuffle_shard.DEFAULT_POOLS, shuffle_shard.DEFAULT_HAND) == (8, 2)
    assert shuffle_shard.MAX_REMEMBERED == 4096
    assert [pool.limit for pool in queue.hand_of("t")] == [10, 10]
    assert repr(queue) == "<ShuffleShardedBulkhead 2 of 8 pools each, in flight 0, waiting 0>"
    assert repr(queue.shards) == "<ShuffleShards 2 of 8>"


@pytest.mark.paper
def test_eight_choose_two_is_28_hands() -> None:
    """AWS Builders' Library: 8 workers by 2 are 28, Route 53's 2,048 by 4 are 730 billion."""
    assert hand_count(8, 2) == 28
    assert hand_count(2048, 4) == 730_862_190_080


@pytest.mark.paper
def test_overlap_of_two_tenants_follows_the_published_table() -> None:
    """AWS Builders' Library, 100 workers by 5: 77 % share none, 0.0000013 % all five."""
    shares = [overlap_probability(100, 5, shared) for shared in range(6)]
    assert [f"{100 * share:.2g}" for share in shares] == [
        "77",
        "21",
        "1.8",
        "0.059",
        "0.00063",
        "1.3e-06",
    ]
    assert sum(shares) == pytest.approx(1.0)


@pytest.mark.paper
def test_full_overlap_of_eight_by_two_is_one_in_28() -> None:
    """15, 12 and 1 of 28 hands share none, one and both pools with a given hand."""
    parts = [overlap_probability(8, 2, shared) * 28 for shared in range(3)]
    assert parts == pytest.approx([15, 12, 1])


def test_hands_dealt_by_hashing_overlap_as_the_arithmetic_says() -> None:
    """2,000 tenants against one: within four standard deviations of 54 %, 43 % and 3.6 %."""
    shards = ShuffleShards(EIGHT)
    mine = set(shards.of("poison"))
    counts = Counter(len(mine & set(shards.of(tenant))) for tenant in TENANTS)

    for shared in range(3):
        share = overlap_probability(8, 2, shared)
        spread = 4 * (share * (1 - share) * len(TENANTS)) ** 0.5
        assert counts[shared] == pytest.approx(share * len(TENANTS), abs=spread)


def test_every_hand_is_dealt_about_equally_often() -> None:
    """2,000 tenants use all 28 hands; none holds twice its share."""
    shards = ShuffleShards(EIGHT)
    dealt = Counter(frozenset(shards.of(tenant)) for tenant in TENANTS)

    assert len(dealt) == 28
    assert max(dealt.values()) < 2 * len(TENANTS) / 28


def test_hands_are_the_same_in_every_process() -> None:
    """A hand is a matter of names and hashing alone: these were worked out once and for all."""
    shards = ShuffleShards(EIGHT)
    assert shards.of("poison") == ("pool-4", "pool-2")
    assert shards.of("") == ("pool-1", "pool-2")


def test_a_new_pool_takes_its_share_and_moves_nothing_else() -> None:
    """A hand changes only by the new pool coming into it."""
    before, after = ShuffleShards(EIGHT), ShuffleShards([*EIGHT, "pool-8"])
    changed = 0
    for tenant in TENANTS:
        new = set(after.of(tenant)) - set(before.of(tenant))
        assert new <= {"pool-8"}
        changed += bool(new)
    assert changed == pytest.approx(len(TENANTS) * 2 / 9, rel=0.15)


def test_only_so_many_hands_are_remembered() -> None:
    """A flood of made-up names costs bounded memory and changes no hand."""
    shards = ShuffleShards(EIGHT)
    first = shards.of("first")
    for number in range(shuffle_shard.MAX_REMEMBERED):
        shards.of(f"made-up-{number}")
    assert len(shards._hands) == shuffle_shard.MAX_REMEMBERED
    assert "first" not in shards._hands
    assert shards.of("first") == first


def fill(queue: ShuffleShardedBulkhead, tenant: str) -> int:
    """Offer a tenant's requests until one is refused; return how many were let in."""
    count = 0
    while isinstance(queue.offer(Request(tenant=tenant), 0.0), Permit):
        count += 1
    return count


def test_a_poisonous_tenant_leaves_everybody_else_a_pool() -> None:
    """It hangs in all slots of its two pools; only holders of the very same hand are refused."""
    queue = ShuffleShardedBulkhead(3)
    assert fill(queue, "poison") == 6
    poisoned = set(queue.shards.of("poison"))
    refused = 0
    for tenant in TENANTS:
        decision = queue.offer(Request(tenant=tenant), 0.0)
        assert isinstance(decision, Permit) == (set(queue.shards.of(tenant)) != poisoned)
        if isinstance(decision, Permit):
            queue.settle(decision, Outcome.OK, 0.0)
        else:
            refused += 1

    assert refused == pytest.approx(len(TENANTS) / 28, rel=0.5)


def test_the_less_loaded_of_the_hand_is_taken() -> None:
    """Of two the one with less under way, waiters counted; of equals the one ranked first."""
    queue = ShuffleShardedBulkhead(2, 1)
    first, second = queue.hand_of("t")
    request = Request(tenant="t")
    steps = []
    for _ in range(6):
        queue.offer(request, 0.0)
        steps.append((first.in_flight + first.waiting, second.in_flight + second.waiting))
    assert steps == [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3)]

    refused = queue.offer(request, 0.0)
    assert isinstance(refused, Rejection)
    assert (refused.value, refused.limit) == (3, 3)


def test_of_a_larger_hand_the_least_loaded_of_all_is_taken() -> None:
    """With three pools to choose from, a free one is never passed over."""
    queue = ShuffleShardedBulkhead(1, pools=5, hand=3)
    assert fill(queue, "t") == 3
    assert [pool.in_flight for pool in queue.hand_of("t")] == [1, 1, 1]


def test_resize_grants_in_every_pool() -> None:
    """Who waited for a slot gets one of those that are new."""
    queue = ShuffleShardedBulkhead(1, 1, pools=2)
    request = Request(tenant="t")
    for _ in range(4):
        queue.offer(request, 0.0)
    assert queue.waiting == 2
    assert len(queue.resize(2, 1.0).granted) == 2
    assert queue.snapshot() == {
        "pools": 2,
        "full": 2,
        "in_flight": 4,
        "waiting": 0,
        "rejected": 0,
    }
    with pytest.raises(ValueError, match="limit=0 must be >= 1"):
        queue.resize(0, 1.0)


@pytest.mark.parametrize(("count", "hand"), [(0, 1), (8, 0), (8, 9)])
def test_impossible_hands_are_errors(count: int, hand: int) -> None:
    """A hand is at least one pool and at most all of them."""
    with pytest.raises(ValueError, match=f"hand={hand} must be in 1..{count}"):
        ShuffleShards(EIGHT[:count], hand)
    with pytest.raises(ValueError, match=f"hand={hand} must be in 1..{count}"):
        hand_count(count, hand)


@pytest.mark.parametrize("shared", [-1, 3])
def test_impossible_overlaps_are_errors(shared: int) -> None:
    """Two hands share between none and all of their pools."""
    with pytest.raises(ValueError, match=f"shared={shared} must be in 0..2"):
        overlap_probability(8, 2, shared)


def test_the_largest_and_the_smallest_hand_work() -> None:
    """All pools for everybody is no isolation; one is a plain shard."""
    assert len(ShuffleShards(EIGHT, 8).of("t")) == 8
    assert len(ShuffleShards(EIGHT, 1).of("t")) == 1
    assert (overlap_probability(8, 8, 8), overlap_probability(8, 1, 0)) == (1.0, 7 / 8)


@given(tenant=st.text(), pools=st.integers(1, 12), data=st.data())
def test_a_hand_is_that_many_different_pools(tenant: str, pools: int, data: st.DataObject) -> None:
    """Any name, any size: k different pools, the same whenever asked."""
    hand = data.draw(st.integers(1, pools))
    names = [f"p{number}" for number in range(pools)]
    dealt = ShuffleShards(names, hand).of(tenant)

    assert len(set(dealt)) == hand
    assert set(dealt) <= set(names)
    assert ShuffleShards(list(reversed(names)), hand).of(tenant) == dealt


class ShuffleMachine(RuleBasedStateMachine):
    """Any order of events: nothing leaks, and who is refused has no free slot in his hand."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = ShuffleShardedBulkhead(1, 1, pools=4)
        self.now_s = 0.0
        self.permits: list[Permit] = []
        self.tickets: set[Ticket] = set()

    def _apply(self, turn: QueueTurn) -> None:
        for ticket, _ in turn.dropped:
            self.tickets.remove(ticket)
        for ticket, permit in turn.granted:
            self.tickets.remove(ticket)
            self.permits.append(permit)

    @rule(tenant=st.sampled_from("abcdef"), patience_s=st.one_of(st.none(), st.floats(0, 3)))
    def offer(self, tenant: str, patience_s: float | None) -> None:
        deadline_s = None if patience_s is None else self.now_s + patience_s
        decision = self.queue.offer(Request(tenant=tenant, deadline_s=deadline_s), self.now_s)
        if isinstance(decision, Permit):
            self.permits.append(decision)
            return
        if isinstance(decision, Ticket):
            self.tickets.add(decision)
        assert all(pool.in_flight == 1 for pool in self.queue.hand_of(tenant))

    @rule(pick=st.integers(0, 99))
    def settle(self, pick: int) -> None:
        if self.permits:
            permit = self.permits.pop(pick % len(self.permits))
            self._apply(self.queue.settle(permit, Outcome.OK, self.now_s))

    @rule(gap_s=st.floats(0, 2))
    def tick(self, gap_s: float) -> None:
        self.now_s += gap_s
        self._apply(self.queue.on_tick(self.now_s))

    @invariant()
    def nothing_is_lost(self) -> None:
        figures = self.queue.snapshot()
        assert (figures["in_flight"], figures["waiting"]) == (len(self.permits), len(self.tickets))
        for each in self.queue.pool_snapshots().values():
            assert not each["waiting"] or each["in_flight"] == each["limit"]


TestShuffleMachine = ShuffleMachine.TestCase
TestShuffleMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.mark.golden
def test_transcript() -> None:
    """One tenant hangs in its hand; who shares a pool goes on with the other, its double cannot."""
    queue = ShuffleShardedBulkhead(2, pools=4)
    lines = []
    for tenant in ("poison", "neighbour", "copy", "tiny"):
        lines.append(f"hand of {tenant}: {' '.join(queue.shards.of(tenant))}")
    for tenant in ["poison"] * 5 + ["neighbour", "copy", "copy", "copy", "tiny"]:
        decision = queue.offer(Request(tenant=tenant), 0.0)
        said = "permit" if isinstance(decision, Permit) else repr(decision)
        loads = " ".join(str(pool.in_flight) for pool in queue._pools())
        lines.append(f"offer {tenant}: {said}; under way {loads}")
    lines.append(repr(queue))
    transcript.check("shuffle_shard", lines)
