"""Waiting: a Queue behind a server adapter, asked like a Gate whose answer may take a moment.

Why: what a limiter does for a server (refuse before the work, settle after it) and what a queue
adds (a short, bounded wait for a place) differ in one ``await``. It is here once, so that the ASGI
middleware and the gRPC interceptor agree on what a wait is, how it is told, and who ends it.
Not handled: noticing that the caller left. The deadline layer outside does, and cancels this task.
"""

from typing import cast

from resilience.admission import Admission, Clock
from resilience.context import Context
from resilience.policy.contract import (
    Gate,
    Outcome,
    Permit,
    Queue,
    Rejection,
    Request,
    Snapshot,
    Ticket,
)
from resilience.policy.layer import switched
from resilience.policy.switch import SwitchedQueue
from resilience.switches import Switches
from resilience.threads import is_queue


class Waiting:
    """A Queue as a server adapter holds it.

    The switch of the queue's name: in shadow nobody waits and nobody is refused, and off the queue
    isn't asked, nor whoever stands behind it.

    Args:
        queue: The policy, e.g. a ``WaitQueue`` around a limiter; or one that has its switch.
        switches: Say whether it is on.
        scope: What waits are noted under, e.g. ``gateway.1``.
        clock: Monotonic seconds.
    """

    __slots__ = ("_admission", "_clock", "_scope", "name", "queue")

    def __init__(self, queue: Queue, switches: Switches, scope: str, clock: Clock) -> None:
        name = queue.name
        if not isinstance(queue, SwitchedQueue):
            queue = SwitchedQueue(queue, lambda: switches.mode(name))
        self.queue = queue
        self.name = name
        self._scope = scope
        self._clock = clock
        self._admission = Admission(queue, clock)

    async def wait_decided(
        self, request: Request, context: Context | None, now_s: float
    ) -> Permit | Rejection:
        """Let the request in or refuse it, at once or after a wait that is noted.

        Cancel-safe: a cancelled wait holds nothing.
        """
        decision = self.queue.offer(request, now_s)
        if not isinstance(decision, Ticket):
            return decision
        decided = await self._admission.wait_granted(decision)
        if context is not None:
            end_s = self._clock()
            waited_ms = round((end_s - now_s) * 1000, 3)
            context.note(self.name, "waited", end_s, scope=self._scope, ms=waited_ms)
        return decided

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take a permit back, and let in whoever is next."""
        self._admission.apply(self.queue.settle(permit, outcome, now_s))

    def reset(self, now_s: float) -> None:
        """Forget what the queue has learned; who is in or waits stays."""
        self.queue.reset(now_s)

    def snapshot(self) -> Snapshot:
        """Return the queue's figures and its switch."""
        return self.queue.snapshot()

    def __repr__(self) -> str:
        return f"<Waiting {self._scope} {self.queue!r}>"


def at_the_door(
    policy: Gate | Queue, switches: Switches, scope: str, clock: Clock
) -> Gate | Waiting:
    """Return what a server adapter asks: a gate that obeys its switch, or a queue held to wait."""
    if is_queue(policy):
        return Waiting(policy, switches, scope, clock)
    return switched(cast(Gate, policy), switches.mode)
