"""Bulkhead: slots, the room to wait in, and who leaves it when."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import bulkhead
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Outcome, Permit, QueueTurn, Rejection, Request, Ticket
from tests.golden import transcript

REQUEST = Request()


def test_defaults_are_those_of_resilience4j() -> None:
    """25 calls, nobody waits."""
    assert (bulkhead.DEFAULT_LIMIT, bulkhead.DEFAULT_MAX_WAITING) == (25, 0)
    assert bulkhead.RETRY_AFTER_S == 1.0
    assert repr(Bulkhead()) == "<Bulkhead 0/25, waiting 0>"


def test_without_a_room_the_surplus_is_refused_at_once() -> None:
    """The second of one slot is told 1 of 1, and to come back."""
    queue = Bulkhead(1)
    assert isinstance(queue.offer(REQUEST, 0.0), Permit)
    rejection = queue.offer(REQUEST, 0.0)

    assert isinstance(rejection, Rejection)
    assert (rejection.policy, rejection.reason) == ("bulkhead", "BULKHEAD_FULL")
    assert (rejection.value, rejection.limit, rejection.retry_after_s) == (1, 1, 1.0)


def test_a_freed_slot_goes_to_who_waits_longest() -> None:
    """First come, first served; nobody overtakes."""
    queue = Bulkhead(1, 2)
    permit = queue.offer(REQUEST, 0.0)
    assert isinstance(permit, Permit)
    first, second = queue.offer(REQUEST, 0.1), queue.offer(REQUEST, 0.2)

    granted, dropped = queue.settle(permit, Outcome.OK, 1.0)
    assert [ticket for ticket, _ in granted] == [first]
    assert (list(dropped), queue.waiting, queue.in_flight) == ([], 1, 1)

    granted, _ = queue.settle(granted[0][1], Outcome.OK, 1.0)
    assert [ticket for ticket, _ in granted] == [second]


def test_a_wait_ends_at_the_request_s_own_deadline() -> None:
    """The policy names the time; a tick then drops exactly the expired, with a 504's reason."""
    queue = Bulkhead(1, 5)
    queue.offer(REQUEST, 0.0)
    late = queue.offer(Request(deadline_s=3.0), 0.0)
    soon = queue.offer(Request(deadline_s=2.0), 0.0)
    assert queue.next_deadline_s() == 2.0

    _, dropped = queue.on_tick(2.0)
    assert [(ticket, rejection.reason) for ticket, rejection in dropped] == [
        (soon, "DEADLINE_EXCEEDED")
    ]
    assert queue.next_deadline_s() == 3.0
    assert isinstance(late, Ticket)
    queue.cancel(late, 2.5)
    assert (queue.next_deadline_s(), queue.waiting) == (None, 0)


def test_a_wait_ends_when_patience_does() -> None:
    """With max_wait_s the room empties by itself, and that is no deadline's doing."""
    queue = Bulkhead(1, 5, 0.5)
    queue.offer(REQUEST, 0.0)
    queue.offer(Request(deadline_s=9.0), 1.0)
    assert queue.next_deadline_s() == 1.5

    _, dropped = queue.on_tick(1.5)
    assert dropped[0][1].reason == "BULKHEAD_WAIT_EXCEEDED"
    assert dropped[0][1].retry_after_s == 1.0


def test_of_patience_and_deadline_the_earlier_counts() -> None:
    """Without a deadline patience alone ends a wait; a deadline before it ends it sooner."""
    queue = Bulkhead(1, 5, 0.5)
    assert queue.expiry_s(REQUEST, 1.0) == 1.5
    assert queue.expiry_s(Request(deadline_s=1.25), 1.0) == 1.25
    assert queue.expiry_s(Request(deadline_s=9.0), 1.0) == 1.5
    assert Bulkhead(1, 5).expiry_s(REQUEST, 1.0) is None


def test_who_has_no_time_left_does_not_wait() -> None:
    """A deadline already passed is refused before it takes a place."""
    queue = Bulkhead(1, 5)
    queue.offer(REQUEST, 0.0)
    rejection = queue.offer(Request(deadline_s=1.0), 1.0)

    assert isinstance(rejection, Rejection)
    assert (rejection.reason, queue.waiting) == ("DEADLINE_EXCEEDED", 0)


def test_a_slot_freed_at_the_deadline_is_not_wasted_on_the_expired() -> None:
    """Drops come before grants, so the slot goes to one who still has time."""
    queue = Bulkhead(1, 5)
    permit = queue.offer(REQUEST, 0.0)
    assert isinstance(permit, Permit)
    expired = queue.offer(Request(deadline_s=1.0), 0.0)
    alive = queue.offer(Request(deadline_s=2.0), 0.0)

    granted, dropped = queue.settle(permit, Outcome.OK, 1.0)
    assert [ticket for ticket, _ in granted] == [alive]
    assert [ticket for ticket, _ in dropped] == [expired]


def test_more_slots_are_granted_at_once_and_fewer_take_nothing_away() -> None:
    """A live resize serves who waits; who holds a slot above a smaller limit keeps it."""
    queue = Bulkhead(1, 5, name="concurrency")
    permits = [queue.offer(REQUEST, 0.0)]
    queue.offer(REQUEST, 0.0)
    queue.offer(REQUEST, 0.0)

    turn = queue.resize(3, 1.0)
    permits += [permit for _, permit in turn.granted]
    assert queue.in_flight == 3
    assert queue.resize(1, 1.0) == QueueTurn([], [])
    assert queue.in_flight == 3
    for permit in permits:
        assert isinstance(permit, Permit)
        queue.settle(permit, Outcome.OK, 2.0)
    assert queue.snapshot() == {
        "in_flight": 0,
        "limit": 1,
        "waiting": 0,
        "max_waiting": 5,
        "rejected": 0,
    }


@pytest.mark.parametrize(("limit", "waiting"), [(0, 0), (1, -1)])
def test_impossible_sizes_are_errors(limit: int, waiting: int) -> None:
    """A bulkhead without slots would serve nobody."""
    with pytest.raises(ValueError, match="must be"):
        Bulkhead(limit, waiting)
    with pytest.raises(ValueError, match="must be"):
        Bulkhead().resize(0, 0.0)


class BulkheadMachine(RuleBasedStateMachine):
    """Any order of events: slots and room keep their bounds, nobody waits beside a free slot."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Bulkhead(2, 3)
        self.now_s = 0.0
        self.permits: list[Permit] = []
        self.tickets: list[Ticket] = []

    def _apply(self, turn: QueueTurn) -> None:
        for ticket, _ in turn.dropped:
            self.tickets.remove(ticket)
        for ticket, permit in turn.granted:
            assert ticket == self.tickets.pop(0)
            self.permits.append(permit)

    @rule(gap_s=st.floats(0, 2))
    def tick(self, gap_s: float) -> None:
        self.now_s += gap_s
        turn = self.queue.on_tick(self.now_s)
        assert not turn.granted
        self._apply(turn)

    @rule(patience_s=st.one_of(st.none(), st.floats(0, 3)))
    def offer(self, patience_s: float | None) -> None:
        deadline_s = None if patience_s is None else self.now_s + patience_s
        decision = self.queue.offer(Request(deadline_s=deadline_s), self.now_s)
        if isinstance(decision, Permit):
            self.permits.append(decision)
        elif isinstance(decision, Ticket):
            self.tickets.append(decision)

    @rule()
    def settle(self) -> None:
        if self.permits:
            self._apply(self.queue.settle(self.permits.pop(0), Outcome.OK, self.now_s))

    @rule(limit=st.integers(1, 4))
    def resize(self, limit: int) -> None:
        self._apply(self.queue.resize(limit, self.now_s))

    @rule()
    def cancel(self) -> None:
        if self.tickets:
            self.queue.cancel(self.tickets.pop(), self.now_s)

    @invariant()
    def bounds_hold(self) -> None:
        assert self.queue.in_flight == len(self.permits)
        assert self.queue.waiting == len(self.tickets) <= 3
        if self.queue.waiting:
            assert self.queue.in_flight >= self.queue.limit


TestBulkheadMachine = BulkheadMachine.TestCase
TestBulkheadMachine.settings = settings(max_examples=40, deadline=None)


@pytest.mark.golden
def test_the_story_of_a_bulkhead() -> None:
    """Two slots and a room for two: who works, who waits, who is sent away, who gives up."""
    queue = Bulkhead(2, 2)
    names: dict[Ticket, str] = {}
    working: dict[str, Permit] = {}
    lines = ["A bulkhead of 2 slots with room for 2 to wait.", ""]

    def say(now_s: float, what: str) -> None:
        lines.append(f"{now_s:4.1f} s  {what:<46}{queue!r}")

    def arrive(who: str, now_s: float, deadline_s: float | None = None) -> None:
        decision = queue.offer(Request(deadline_s=deadline_s), now_s)
        if isinstance(decision, Permit):
            working[who] = decision
            say(now_s, f"{who} works")
        elif isinstance(decision, Ticket):
            names[decision] = who
            say(now_s, f"{who} waits")
        else:
            say(
                now_s,
                f"{who} is sent away: {decision.reason}, {decision.value:g}/{decision.limit:g}",
            )

    def tell(turn: QueueTurn, now_s: float) -> None:
        for ticket, permit in turn.granted:
            working[names[ticket]] = permit
            say(now_s, f"{names[ticket]} gets the slot")
        for ticket, rejection in turn.dropped:
            say(now_s, f"{names[ticket]} is told {rejection.reason}")

    arrive("ann", 0.0)
    arrive("bob", 0.1)
    arrive("cat", 0.2, deadline_s=1.0)
    arrive("dan", 0.3)
    arrive("eve", 0.4)
    tell(queue.on_tick(1.0), 1.0)
    arrive("eve", 1.1)
    tell(queue.settle(working["bob"], Outcome.OK, 1.5), 1.5)
    tell(queue.settle(working["ann"], Outcome.FAILED, 2.0), 2.0)
    tell(queue.settle(working["dan"], Outcome.OK, 3.0), 3.0)
    tell(queue.settle(working["eve"], Outcome.IGNORED, 3.5), 3.5)
    say(4.0, "all have gone")

    transcript.check("bulkhead", lines)
