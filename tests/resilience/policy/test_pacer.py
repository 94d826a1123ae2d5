"""Pacer: even starts, who waits and who doesn't, and how it drives the real adapter."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.admission import Admission
from resilience.policy import pacer
from resilience.policy.contract import (
    Outcome,
    Permit,
    QueueTurn,
    Rejection,
    Request,
    Ticket,
)
from resilience.policy.pacer import Pacer
from tests.golden import transcript

REQUEST = Request()


def granted(turn: QueueTurn) -> list[int]:
    """Return the numbers of who may start."""
    return [ticket.number for ticket, _ in turn.granted]


def started(decision: object) -> Permit:
    """Take a decision that must be a start."""
    assert isinstance(decision, Permit)
    return decision


def refused(decision: object) -> Rejection:
    """Take a decision that must be a refusal."""
    assert isinstance(decision, Rejection)
    return decision


def test_defaults_are_those_of_sentinel() -> None:
    """Half a second of waiting, under the name that is answered with 429."""
    assert pacer.MAX_WAIT_S == Pacer(1).max_wait_s == 0.5
    assert Pacer(1).name == "rate"


def test_starts_are_an_interval_apart() -> None:
    """Four at once at 8 a second: now, and each eighth of a second after."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 1.0))
    tickets = [queue.offer(REQUEST, 1.0) for _ in range(3)]
    assert tickets == [Ticket(0), Ticket(1), Ticket(2)]

    for number, due_s in enumerate((1.125, 1.25, 1.375)):
        assert queue.next_deadline_s() == due_s
        assert granted(queue.on_tick(due_s - 0.01)) == []
        assert granted(queue.on_tick(due_s)) == [number]
    assert queue.next_deadline_s() is None
    assert queue.snapshot() == {
        "waiting": 0,
        "waiting_cost": 0.0,
        "rate_rps": 8.0,
        "max_wait_s": 0.5,
        "rejected": 0,
    }


def test_who_would_wait_too_long_is_refused_and_told_when() -> None:
    """Four may wait half a second at 8 a second; the fifth comes an eighth too early."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 0.0))
    assert all(isinstance(queue.offer(REQUEST, 0.0), Ticket) for _ in range(4))
    refusal = refused(queue.offer(REQUEST, 0.0))

    assert (refusal.policy, refusal.reason) == ("rate", "RATE_EXCEEDED")
    assert (refusal.value, refusal.limit, refusal.retry_after_s) == (0.625, 0.5, 0.125)
    queue.on_tick(0.125)
    assert isinstance(queue.offer(REQUEST, 0.125), Ticket)
    assert queue.snapshot()["rejected"] == 1
    assert repr(queue) == "<Pacer 8/s, waiting 4>"


def test_who_cannot_start_before_his_deadline_is_refused_at_once() -> None:
    """A quarter of a second of patience behind an eighth fits, behind three doesn't."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 0.0))
    assert isinstance(queue.offer(Request(deadline_s=0.25), 0.0), Ticket)
    assert isinstance(queue.offer(Request(deadline_s=0.25), 0.0), Ticket)

    refusal = refused(queue.offer(Request(deadline_s=0.25), 0.0))
    assert (refusal.value, refusal.limit, refusal.retry_after_s) == (0.375, 0.25, 0.125)
    late = refused(queue.offer(Request(deadline_s=-1.0), 0.0))
    assert (late.limit, late.retry_after_s) == (0.0, 0.375)


def test_without_waiting_whoever_is_early_is_refused() -> None:
    """A longest wait of nothing makes a gate of it."""
    queue = Pacer(8.0, 0.0)
    started(queue.offer(REQUEST, 0.0))

    assert refused(queue.offer(REQUEST, 0.0625)).retry_after_s == 0.0625
    started(queue.offer(REQUEST, 0.125))


def test_cost_spaces_a_request_from_the_one_before() -> None:
    """A request of cost 3 waits three intervals, the next of cost 1 one more."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 0.0))
    queue.offer(Request(cost=3.0), 0.0)
    queue.offer(REQUEST, 0.0)

    assert queue.next_deadline_s() == 0.375
    assert granted(queue.on_tick(0.375)) == [0]
    assert queue.next_deadline_s() == 0.5


def test_a_pause_is_not_saved_up() -> None:
    """After an hour of nothing two at once still start an interval apart."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 0.0))
    started(queue.offer(REQUEST, 3600.0))

    assert isinstance(queue.offer(REQUEST, 3600.0), Ticket)
    assert queue.next_deadline_s() == 3600.125


def test_nobody_overtakes() -> None:
    """A late timer leaves the first due; who comes then queues behind him."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 0.0))
    first = queue.offer(REQUEST, 0.0)
    second = queue.offer(REQUEST, 0.3)

    assert (first, second) == (Ticket(0), Ticket(1))


def test_who_leaves_the_queue_leaves_no_hole() -> None:
    """The one behind moves up; leaving twice is no error; the last to leave empties it."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 0.0))
    first, second = queue.offer(Request(cost=2.0), 0.0), queue.offer(REQUEST, 0.0)
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    assert queue.cancel(first, 0.0625) == QueueTurn([], [])
    assert queue.next_deadline_s() == 0.125
    assert queue.snapshot()["waiting_cost"] == 1.0
    queue.cancel(first, 0.0625)
    assert queue.snapshot()["waiting_cost"] == 1.0
    assert granted(queue.cancel(first, 0.125)) == [1]

    assert queue.waiting == 0


def test_a_late_timer_costs_no_throughput_and_a_stall_makes_no_clump() -> None:
    """Late by less than an interval the next is due on time; after a stall two start together."""
    queue = Pacer(8.0, 10.0)
    started(queue.offer(REQUEST, 0.0))
    for _ in range(9):
        queue.offer(REQUEST, 0.0)

    assert granted(queue.on_tick(0.1875)) == [0]
    assert queue.next_deadline_s() == 0.25
    assert granted(queue.on_tick(1.0)) == [1, 2]
    assert queue.next_deadline_s() == 1.125


def test_who_ran_out_of_time_in_a_stall_is_dropped() -> None:
    """His turn goes to the next, who still has time."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 0.0))
    queue.offer(Request(deadline_s=0.25), 0.0)
    queue.offer(Request(deadline_s=0.5), 0.0)
    turn = queue.on_tick(0.5)

    assert granted(turn) == [1]
    ((ticket, rejection),) = turn.dropped
    assert (ticket.number, rejection.reason) == (0, "DEADLINE_EXCEEDED")
    assert (rejection.value, rejection.limit, rejection.retry_after_s) == (0.25, 0.0, None)
    assert queue.snapshot()["rejected"] == 1


def test_the_latest_turn_is_handed_back_by_who_is_ignored() -> None:
    """The first in the queue takes it at once; an earlier turn is in the past."""
    queue = Pacer(8.0)
    first = started(queue.offer(REQUEST, 0.0))
    queue.offer(REQUEST, 0.0)
    queue.offer(REQUEST, 0.0)
    turn = queue.settle(first, Outcome.IGNORED, 0.0)
    assert granted(turn) == [0]
    second = turn.granted[0][1]

    assert granted(queue.on_tick(0.125)) == [1]
    assert queue.settle(second, Outcome.IGNORED, 0.125) == QueueTurn([], [])
    queue.offer(REQUEST, 0.125)
    assert queue.next_deadline_s() == 0.25


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.FAILED, Outcome.OVERLOADED])
def test_other_outcomes_hand_nothing_back(outcome: Outcome) -> None:
    """Whoever started has had his turn."""
    queue = Pacer(8.0)
    permit = started(queue.offer(REQUEST, 0.0))
    queue.offer(REQUEST, 0.0)

    assert queue.settle(permit, outcome, 0.0) == QueueTurn((), ())
    assert queue.next_deadline_s() == 0.125
    with pytest.raises(AssertionError, match="twice"):
        queue.settle(permit, outcome, 0.0)


def test_a_reset_keeps_who_waits_and_ends_refunds_of_the_generation_before() -> None:
    """The first is due at once, and the old permit hands nothing back."""
    queue = Pacer(8.0)
    old = started(queue.offer(REQUEST, 0.0))
    queue.offer(REQUEST, 0.0)
    queue.offer(REQUEST, 0.0)
    queue.reset(0.0)
    assert granted(queue.on_tick(0.0)) == [0, 1]
    queue.offer(REQUEST, 0.0)
    due_s = queue.next_deadline_s()
    queue.settle(old, Outcome.IGNORED, 0.0)

    assert queue.next_deadline_s() == due_s == 0.125


def test_time_that_jumps_backwards_starts_nobody_early() -> None:
    """The latest start stays where it was; who comes before it waits or is refused."""
    queue = Pacer(8.0)
    started(queue.offer(REQUEST, 10.0))

    assert refused(queue.offer(REQUEST, 5.0)).retry_after_s == 4.625
    assert isinstance(queue.offer(REQUEST, 9.75), Ticket)
    assert granted(queue.on_tick(5.0)) == []
    assert granted(queue.on_tick(10.125)) == [0]


def test_impossible_figures_are_errors() -> None:
    """Each says which figure was wrong and what it may be."""
    for value in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"rate_rps=.* must be a finite number above 0"):
            Pacer(value)
    for value in (-0.1, float("nan")):
        with pytest.raises(ValueError, match=r"max_wait_s=.* must be >= 0"):
            Pacer(1.0, value)


async def test_the_admission_adapter_drives_it_unchanged() -> None:
    """Ten callers at once at 1,000 a second all start, in order, none before its turn."""
    queue = Pacer(1000.0, 5.0)
    admission = Admission(queue)
    order: list[int] = []

    async def call(number: int) -> float:
        permit = await admission.acquire(REQUEST)
        assert isinstance(permit, Permit)
        order.append(number)
        admission.release(permit, Outcome.OK)
        return permit.issued_s

    starts = await asyncio.gather(*(call(number) for number in range(10)))
    assert order == sorted(order)
    assert starts[-1] - starts[0] >= 0.009 - 0.001 - 1e-5


async def test_a_waiter_who_is_cancelled_holds_nothing() -> None:
    """The queue is empty after it, and the next caller starts in its place."""
    queue = Pacer(0.001, 5000.0)
    admission = Admission(queue)
    started(await admission.acquire(REQUEST))
    waiter = asyncio.ensure_future(admission.acquire(REQUEST))
    await asyncio.sleep(0)
    assert queue.waiting == 1
    waiter.cancel()
    await asyncio.wait([waiter])

    assert waiter.cancelled()
    assert queue.waiting == 0


class PacerMachine(RuleBasedStateMachine):
    """Any order of events: nobody overtakes, nobody is lost, starts keep their distance."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Pacer(4.0, 2.0)
        self.now_s = 0.0
        self.tickets: list[Ticket] = []
        self.permits: list[Permit] = []
        self.starts: list[float] = []

    def _apply(self, turn: QueueTurn) -> None:
        gone = sorted([*(t for t, _ in turn.granted), *(t for t, _ in turn.dropped)])
        assert gone == self.tickets[: len(gone)]
        del self.tickets[: len(gone)]
        for _, permit in turn.granted:
            self._start(permit)

    def _start(self, permit: Permit) -> None:
        self.permits.append(permit)
        self.starts.append(self.now_s)

    @rule(gap_s=st.integers(0, 20))
    def tick(self, gap_s: int) -> None:
        self.now_s += gap_s / 16
        self._apply(self.queue.on_tick(self.now_s))

    @rule(patience=st.one_of(st.none(), st.integers(0, 32)))
    def offer(self, patience: int | None) -> None:
        deadline_s = None if patience is None else self.now_s + patience / 16
        decision = self.queue.offer(Request(deadline_s=deadline_s), self.now_s)
        if isinstance(decision, Permit):
            assert not self.tickets
            self._start(decision)
        elif isinstance(decision, Ticket):
            self.tickets.append(decision)

    @rule()
    def cancel(self) -> None:
        if self.tickets:
            self._apply(self.queue.cancel(self.tickets.pop(), self.now_s))

    @rule()
    def settle(self) -> None:
        if self.permits:
            self._apply(self.queue.settle(self.permits.pop(0), Outcome.OK, self.now_s))

    @invariant()
    def bounds_hold(self) -> None:
        assert self.queue.waiting == len(self.tickets) <= 8
        for first, third in zip(self.starts, self.starts[2:], strict=False):
            assert third - first >= 0.25  # never three within an interval


TestPacerMachine = PacerMachine.TestCase
TestPacerMachine.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)


@pytest.mark.golden
def test_the_story_of_a_clump() -> None:
    """Seven come at once; one leaves the queue, one is too late, the rest start one by one."""
    queue = Pacer(10.0)
    lines = ["Ten a second, half a second of waiting. Seven come at once.", ""]
    for number in range(1, 8):
        decision = queue.offer(REQUEST, 0.0)
        said = {Permit: "starts", Ticket: "waits"}.get(type(decision), "starts")
        if isinstance(decision, Ticket):
            said = f"waits as number {decision.number}"
        elif isinstance(decision, Rejection):
            said = f"{decision!r}, back in {decision.retry_after_s:g} s"
        lines.append(f"  0.00 s  caller {number} {said}")
    queue.cancel(Ticket(1), 0.05)
    lines.append("  0.05 s  number 1 leaves")
    while (due_s := queue.next_deadline_s()) is not None:
        lines.append(f"  {due_s:.2f} s  number {granted(queue.on_tick(due_s))[0]} starts")
    transcript.check("pacer", [*lines, "", repr(queue)])
