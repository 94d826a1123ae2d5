"""Wait queue under any order of events: every waiter is answered once, and no permit leaks."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy.contract import Criticality, Outcome, Permit, Request, Ticket
from resilience.policy.wait_queue import WaitQueue
from tests.resilience.policy.admission_model import Slots


class QueueMachine(RuleBasedStateMachine):
    """Any order of events: every ticket is answered once, bounds hold, no permit leaks."""

    def __init__(self) -> None:
        super().__init__()
        self.limiter = Slots(2)
        self.queue = WaitQueue(self.limiter, 3)
        self.now_s = 0.0
        self.permits: list[Permit] = []
        self.waiting: dict[Ticket, tuple[Request, float]] = {}

    def _apply(self, granted: object, dropped: object) -> None:
        for ticket, rejection in dropped:  # type: ignore[attr-defined]
            request, _ = self.waiting.pop(ticket)
            if rejection.reason == "QUEUE_EVICTED":
                rest = [each.criticality for each, _ in self.waiting.values()]
                assert all(request.criticality <= each for each in rest)
        for ticket, permit in granted:  # type: ignore[attr-defined]
            request, came_s = self.waiting.pop(ticket)
            assert self.now_s < came_s + 0.1
            assert request.deadline_s is None or self.now_s < request.deadline_s
            self.permits.append(permit)

    @rule(gap_s=st.sampled_from([0.0, 0.004, 0.005, 0.03, 0.1]))
    def tick(self, gap_s: float) -> None:
        self.now_s += gap_s
        self._apply(*self.queue.on_tick(self.now_s))

    @rule(
        level=st.sampled_from(Criticality),
        left_s=st.one_of(st.none(), st.sampled_from([0.0, 0.003, 0.05])),
    )
    def come(self, level: Criticality, left_s: float | None) -> None:
        deadline_s = None if left_s is None else self.now_s + left_s
        request = Request(1.0, level, deadline_s=deadline_s)
        decision = self.queue.offer(request, self.now_s)
        if isinstance(decision, Permit):
            self.permits.append(decision)
        elif isinstance(decision, Ticket):
            self.waiting[decision] = (request, self.now_s)
        elif decision.reason == "QUEUE_FULL":
            levels = [each.criticality for each, _ in self.waiting.values()]
            assert all(level <= each for each in levels)
        self._apply(*self.queue.cancel(Ticket(-1), self.now_s))  # tells who was evicted

    @rule(outcome=st.sampled_from(Outcome))
    def settle(self, outcome: Outcome) -> None:
        if self.permits:
            self._apply(*self.queue.settle(self.permits.pop(0), outcome, self.now_s))

    @rule(number=st.integers(0, 5))
    def cancel(self, number: int) -> None:
        if self.waiting:
            ticket = list(self.waiting)[number % len(self.waiting)]
            granted, dropped = self.queue.cancel(ticket, self.now_s)
            if ticket not in [each for each, _ in dropped]:
                del self.waiting[ticket]
            self._apply(granted, dropped)

    @rule(slots=st.integers(1, 4))
    def resize(self, slots: int) -> None:
        self.limiter.slots = slots

    @rule()
    def reset(self) -> None:
        self.queue.reset(self.now_s)

    @invariant()
    def bounds_hold(self) -> None:
        assert self.queue.waiting <= 3
        assert self.limiter.in_flight == len(self.permits)
        assert self.queue.waiting <= len(self.waiting)
        assert (self.queue.next_deadline_s() is None) == (not self.waiting)

    def teardown(self) -> None:
        self.now_s += 1.0
        self._apply(*self.queue.on_tick(self.now_s))
        assert not self.waiting
        for permit in self.permits:
            self.queue.settle(permit, Outcome.OK, self.now_s)
        assert (self.limiter.in_flight, self.queue.waiting) == (0, 0)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=40, deadline=None)
