"""Wait queue: who waits, in which order, for how long, and who gives way when it is full."""

import pytest

from resilience.policy import wait_queue
from resilience.policy.contract import Criticality, Outcome, Permit, Rejection, Request, Ticket
from resilience.policy.wait_queue import WaitQueue
from tests.golden.transcript import check
from tests.resilience.policy.admission_model import Slots

SHEDDABLE, SHEDDABLE_PLUS, CRITICAL, CRITICAL_PLUS = (Request(1.0, each) for each in Criticality)


def start(queue: WaitQueue, now_s: float = 0.0) -> Permit:
    """Offer a request that must start at once."""
    permit = queue.offer(CRITICAL, now_s)
    assert isinstance(permit, Permit)
    return permit


def wait(queue: WaitQueue, now_s: float, request: Request = CRITICAL) -> Ticket:
    """Offer a request that must wait."""
    ticket = queue.offer(request, now_s)
    assert isinstance(ticket, Ticket)
    return ticket


def refuse(queue: WaitQueue, now_s: float, request: Request = CRITICAL) -> Rejection:
    """Offer a request that must be refused."""
    rejection = queue.offer(request, now_s)
    assert isinstance(rejection, Rejection)
    return rejection


def overloaded(max_waiting: int = 100, **settings: float) -> tuple[WaitQueue, Permit, Ticket]:
    """Return a queue of one slot, filled from 0.0 to 0.151 s, its permit and who came at 0.14."""
    queue = WaitQueue(Slots(1), max_waiting, **settings)  # type: ignore[arg-type]
    permit = start(queue)
    wait(queue, 0.0, SHEDDABLE)
    wait(queue, 0.05, SHEDDABLE)
    queue.on_tick(0.1)
    ticket = wait(queue, 0.14, SHEDDABLE)
    queue.on_tick(0.151)
    assert (queue.waiting, queue.is_overloaded(0.151)) == (1, True)
    return queue, permit, ticket


def test_defaults_are_those_of_fail_at_scale_and_netflix() -> None:
    """N = 100 ms, M = 5 ms, room for 100; looks each 20 ms, come back after 1 s."""
    assert (wait_queue.INTERVAL_S, wait_queue.TARGET_S) == (0.1, 0.005)
    assert (wait_queue.MAX_WAITING, wait_queue.POLL_S, wait_queue.RETRY_AFTER_S) == (100, 0.02, 1)
    queue = WaitQueue(Slots(1))
    assert (queue.max_waiting, queue.interval_s, queue.target_s, queue.name) == (
        100,
        0.1,
        0.005,
        "queue",
    )
    assert repr(queue) == "<WaitQueue waiting 0/100 for limiter>"


def test_while_the_gate_admits_nobody_waits() -> None:
    """The permits are the gate's own, and it learns from them."""
    limiter = Slots(2)
    queue = WaitQueue(limiter)
    permits = [start(queue), start(queue)]
    assert (queue.next_deadline_s(), queue.waiting) == (None, 0)
    for permit in permits:
        assert queue.settle(permit, Outcome.OK, 0.1) == ((), ())

    assert (limiter.in_flight, limiter.taught) == (0, [Outcome.OK] * 2)


def test_a_healthy_queue_serves_the_oldest_first_whatever_its_importance() -> None:
    """Nobody overtakes, also not one who comes after a slot has come free."""
    limiter = Slots(1)
    queue = WaitQueue(limiter)
    permit = start(queue)
    tickets = [wait(queue, 0.01, SHEDDABLE), wait(queue, 0.02, CRITICAL), wait(queue, 0.03)]
    limiter.slots = 2  # opened by time alone
    tickets.append(wait(queue, 0.04, CRITICAL_PLUS))

    granted, dropped = queue.settle(permit, Outcome.OK, 0.05)
    assert ([ticket for ticket, _ in granted], dropped) == (tickets[:2], [])
    assert (queue.waiting, limiter.in_flight) == (2, 2)


def test_a_healthy_wait_ends_after_the_interval() -> None:
    """100 ms on the dot, with the reason and when to come back."""
    queue = WaitQueue(Slots(1))
    start(queue)
    ticket = wait(queue, 1.0)
    assert queue.on_tick(1.0999) == ((), [])
    granted, dropped = queue.on_tick(1.1)

    assert (granted, [each for each, _ in dropped]) == ((), [ticket])
    rejection = dropped[0][1]
    assert (rejection.policy, rejection.reason) == ("queue", "QUEUE_WAIT_EXCEEDED")
    assert (rejection.retry_after_s, rejection.value, rejection.limit) == (1.0, 0, 100)


@pytest.mark.paper
def test_a_queue_not_empty_for_the_interval_allows_the_target_only() -> None:
    """Fail at Scale, "Controlled delay": M once the queue has not been empty for N."""
    queue = WaitQueue(Slots(1))
    start(queue)
    wait(queue, 0.0)
    wait(queue, 0.05)
    queue.on_tick(0.1)
    assert not queue.is_overloaded(0.1)
    wait(queue, 0.1)  # not longer than the interval yet: 100 ms
    assert queue.is_overloaded(0.11)
    late = wait(queue, 0.11)  # 5 ms

    _, dropped = queue.on_tick(0.1151)
    assert [ticket for ticket, _ in dropped] == [late]
    assert queue.waiting == 2


def test_a_queue_that_was_empty_for_a_moment_is_healthy_again() -> None:
    """The interval is counted from the next one who waits."""
    queue = WaitQueue(Slots(1))
    permit = start(queue)
    wait(queue, 0.0)
    wait(queue, 0.09)
    queue.on_tick(0.1)
    granted, _ = queue.settle(permit, Outcome.OK, 0.15)
    assert queue.waiting == 0
    wait(queue, 0.16)

    assert not queue.is_overloaded(0.26)
    assert queue.is_overloaded(0.2601)
    assert len(granted) == 1


def test_an_overloaded_queue_serves_the_newest_of_the_most_important_first() -> None:
    """Critical before sheddable, and within a level who came last."""
    queue, permit, old = overloaded(target_s=0.05)
    first, second = wait(queue, 0.16), wait(queue, 0.17)
    less = wait(queue, 0.18, SHEDDABLE)
    order: list[Ticket] = []
    for _ in range(4):
        granted, dropped = queue.settle(permit, Outcome.OK, 0.185)
        (ticket, permit), *rest = granted
        order.append(ticket)
        assert (rest, dropped) == ([], [])

    assert order == [second, first, less, old]


def test_under_overload_a_newcomer_takes_what_the_gate_has_unless_one_above_it_waits() -> None:
    """The newest goes first also when the gate has opened by time alone."""
    queue, _, _ = overloaded(target_s=0.05)
    gate = queue._gate
    assert isinstance(gate, Slots)
    gate.slots = 2
    assert isinstance(queue.offer(SHEDDABLE, 0.16), Permit)
    wait(queue, 0.17, CRITICAL)
    gate.slots = 3
    wait(queue, 0.18, SHEDDABLE_PLUS)

    assert isinstance(queue.offer(CRITICAL, 0.19), Permit)


def test_a_wait_ends_at_the_request_s_own_deadline() -> None:
    """With a 504's reason; one who comes with none left does not wait at all."""
    queue = WaitQueue(Slots(1))
    start(queue)
    wait(queue, 1.0, Request(deadline_s=1.015))
    wait(queue, 1.0, Request(deadline_s=9.0))
    assert queue.next_deadline_s() == 1.015
    _, dropped = queue.on_tick(1.015)
    assert [rejection.reason for _, rejection in dropped] == ["DEADLINE_EXCEEDED"]
    assert dropped[0][1].retry_after_s is None

    assert refuse(queue, 1.02, Request(deadline_s=1.02)).reason == "DEADLINE_EXCEEDED"
    _, dropped = queue.on_tick(1.1)
    assert [rejection.reason for _, rejection in dropped] == ["QUEUE_WAIT_EXCEEDED"]


def test_a_slot_freed_at_the_end_of_a_wait_goes_to_one_who_still_has_time() -> None:
    """Drops come before grants."""
    queue = WaitQueue(Slots(1))
    permit = start(queue)
    ended, alive = wait(queue, 0.0), wait(queue, 0.05)
    granted, dropped = queue.settle(permit, Outcome.OK, 0.1)

    assert [ticket for ticket, _ in granted] == [alive]
    assert [ticket for ticket, _ in dropped] == [ended]


def test_a_full_queue_evicts_the_least_important_for_a_more_important_one() -> None:
    """Healthy: of the least important the one who came last; equals and lesser are refused."""
    queue = WaitQueue(Slots(1), 3)
    start(queue)
    stays = wait(queue, 0.0, SHEDDABLE)
    goes = wait(queue, 0.01, SHEDDABLE)
    wait(queue, 0.02, CRITICAL)
    rejection = refuse(queue, 0.03, SHEDDABLE)
    assert (rejection.reason, rejection.value, rejection.limit) == ("QUEUE_FULL", 3, 3)

    wait(queue, 0.04, SHEDDABLE_PLUS)
    assert queue.next_deadline_s() == 0.04  # the adapter's timer tells the evicted at once
    _, dropped = queue.on_tick(0.04)
    assert [(ticket, rejection.reason) for ticket, rejection in dropped] == [
        (goes, "QUEUE_EVICTED")
    ]
    assert queue.on_tick(0.05) == ((), [])
    wait(queue, 0.06, CRITICAL)
    _, dropped = queue.cancel(stays, 0.06)
    assert [ticket for ticket, _ in dropped] == [stays]
    refuse(queue, 0.07, SHEDDABLE_PLUS)


def test_a_full_overloaded_queue_evicts_the_oldest_of_the_least_important() -> None:
    """Its equal takes its place, since it would be granted last; a lesser one does not."""
    queue, _, old = overloaded(2, target_s=0.05)
    wait(queue, 0.16, SHEDDABLE_PLUS)
    wait(queue, 0.17, SHEDDABLE)
    _, dropped = queue.on_tick(0.17)
    assert [ticket for ticket, _ in dropped] == [old]
    wait(queue, 0.18, CRITICAL)

    refuse(queue, 0.18, SHEDDABLE)
    assert queue.waiting == 2


def test_a_gate_that_opens_by_time_alone_is_looked_at_each_20_ms() -> None:
    """No settle would tell; with nobody waiting nothing is due."""
    limiter = Slots(1)
    queue = WaitQueue(limiter)
    start(queue)
    ticket = wait(queue, 1.0)
    assert queue.next_deadline_s() == 1.02
    queue.on_tick(1.02)
    assert queue.next_deadline_s() == 1.04
    limiter.slots = 2
    granted, _ = queue.on_tick(1.04)

    assert [each for each, _ in granted] == [ticket]
    assert queue.next_deadline_s() is None


def test_a_cancelled_waiter_leaves_and_its_end_is_forgotten() -> None:
    """A second cancel is no error."""
    queue = WaitQueue(Slots(1))
    start(queue)
    gone = wait(queue, 0.0, Request(deadline_s=0.005))
    wait(queue, 0.0, Request(deadline_s=0.01))
    queue.cancel(gone, 0.001)
    queue.cancel(gone, 0.001)

    assert (queue.waiting, queue.next_deadline_s()) == (1, 0.01)


def test_a_reset_keeps_who_waits_and_forgets_for_how_long() -> None:
    """The gate is reset with it; its permits of before release."""
    limiter = Slots(1)
    queue = WaitQueue(limiter, 1)
    permit = start(queue)
    wait(queue, 0.0, Request(deadline_s=0.09))
    refuse(queue, 0.05)
    queue.reset(0.08)
    assert queue.snapshot() == {
        "in_flight": 1,
        "limit": 1,
        "waiting": 1,
        "max_waiting": 1,
        "rejected_waiting": 0,
    }
    assert not queue.is_overloaded(0.17)
    queue.settle(permit, Outcome.OK, 0.085)

    assert (limiter.resets, limiter.taught, limiter.in_flight) == (1, [], 1)


@pytest.mark.parametrize(
    ("waiting", "target_s", "interval_s"), [(0, 0.005, 0.1), (1, 0.0, 0.1), (1, 0.2, 0.1)]
)
def test_impossible_settings_are_errors(waiting: int, target_s: float, interval_s: float) -> None:
    """There is room, and a target above zero that is no longer than the interval."""
    with pytest.raises(ValueError, match="must be >"):
        WaitQueue(Slots(1), waiting, target_s=target_s, interval_s=interval_s)


def test_the_target_may_be_the_interval() -> None:
    """Then only the order changes under overload."""
    assert WaitQueue(Slots(1), 1, target_s=0.1, interval_s=0.1).max_waiting == 1


@pytest.mark.golden
def test_an_overload_reads_like_a_story() -> None:
    """One slot, room for three, and too many who want it."""
    queue = WaitQueue(Slots(1), 3)
    lines: list[str] = []
    names: dict[Ticket, str] = {}
    held: list[Permit] = []

    def come(now_ms: int, who: str, request: Request) -> None:
        decision = queue.offer(request, now_ms / 1000)
        answer = "in"
        if isinstance(decision, Ticket):
            names[decision] = who
            answer = "waits"
        elif isinstance(decision, Rejection):
            answer = f"refused: {decision.reason}"
        else:
            held.append(decision)
        lines.append(f"{now_ms:>3} ms {who} ({request.criticality.name.lower()}) comes: {answer}")

    def turn(now_ms: int, what: str) -> None:
        now_s = now_ms / 1000
        done = what == "the slot comes free"
        granted, dropped = (
            queue.settle(held.pop(), Outcome.OK, now_s) if done else queue.on_tick(now_s)
        )
        held.extend(permit for _, permit in granted)
        told = [f"{names[ticket]} dropped: {each.reason}" for ticket, each in dropped]
        told += [f"{names[ticket]} is in" for ticket, _ in granted]
        mood = "overloaded" if queue.is_overloaded(now_s) else "healthy"
        lines.append(f"{now_ms:>3} ms {what}: {'; '.join(told) or 'nothing'} ({mood})")

    come(0, "Ann", CRITICAL)
    come(10, "Bob", SHEDDABLE)
    come(20, "Cid", CRITICAL)
    turn(40, "the slot comes free")
    come(50, "Dot", SHEDDABLE)
    come(60, "Eve", SHEDDABLE)
    come(70, "Fay", CRITICAL)
    turn(70, "a tick")
    come(80, "Gus", SHEDDABLE)
    turn(120, "a tick")
    come(122, "Hal", CRITICAL)
    come(123, "Ida", SHEDDABLE)
    come(124, "Jon", CRITICAL)
    turn(125, "the slot comes free")
    turn(128, "a tick")
    turn(200, "the slot comes free")
    lines.append(str(dict(queue.snapshot())))
    check("wait_queue", lines)
