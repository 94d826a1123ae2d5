"""Guarded: a step through any Gate or Queue of ours, as a caller without an adapter writes it.

The clock is read before each ``admit`` and ``settle``: a policy takes the time as an argument, a
peer reads it inside, and a fair figure has both.
"""

import time

from bench.contender import Step, Work
from resilience.policy.contract import Gate, Outcome, Permit, Queue, Rejection, Request


def gate_step(gate: Gate, work: Work, outcome: Outcome = Outcome.OK) -> Step:
    """Ask a gate, work when it lets us, settle."""
    admit, settle, call = gate.admit, gate.settle, work.call
    request, clock = Request(), time.monotonic

    def step() -> None:
        decision = admit(request, clock())
        if isinstance(decision, Rejection):
            return
        call()
        settle(decision, outcome, clock())

    return step


def queue_step(queue: Queue, work: Work) -> Step:
    """Ask a queue, work when it grants a place at once, settle."""
    offer, settle, call = queue.offer, queue.settle, work.call
    request, clock = Request(), time.monotonic

    def step() -> None:
        decision = offer(request, clock())
        if isinstance(decision, Permit):
            call()
            settle(decision, Outcome.OK, clock())

    return step


def fill_gate(gate: Gate, most: int = 10_000) -> None:
    """Take permits and keep them until the gate refuses."""
    for _ in range(most):
        if isinstance(gate.admit(Request(), time.monotonic()), Rejection):
            return
    raise AssertionError(f"{gate!r} admitted {most} and refused none")


def fill_queue(queue: Queue, most: int = 10_000) -> None:
    """Take places, in the room to wait too, until the queue refuses."""
    for _ in range(most):
        if isinstance(queue.offer(Request(), time.monotonic()), Rejection):
            return
    raise AssertionError(f"{queue!r} took in {most} and refused none")
