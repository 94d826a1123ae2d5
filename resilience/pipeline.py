"""Client pipeline: one call to a dependency, through every policy that guards it.

    deadline ▸ fallback ▸ attempt plan ▸ for each attempt
        [breaker ▸ pick ▸ bulkhead ▸ per-try timeout ▸ send]

The order is the lesson. The deadline spans everything. A fallback stands around the plan: retries
come first, and what it covers is a call that failed for good. Each attempt passes the breaker, so a
dependency that fails stops being retried; the endpoint is picked before the bulkhead, since what is
limited is how much of *us* a dependency holds. A refusal by breaker or bulkhead ends the call,
costs no retry and is IGNORED by the others.

Each stage is a file: ``fallback``, ``pipeline_plan``, then ``pipeline_attempts`` (one at a time, in
the caller's own task) or ``hedging`` (side by side, idempotent calls only), then ``attempt``. Built
from one object of settings: ``pipeline_settings``.
Not handled: calls that stream; a fallback of several dependencies together (``resilience.fallback``
by itself goes around anything).
"""

import random
import time
from collections.abc import Coroutine, Hashable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from resilience.admission import Admission, Clock
from resilience.attempt import Guards, Send
from resilience.context import current
from resilience.fallback import NAME as FALLBACK
from resilience.fallback import Fallback
from resilience.fallback_sources import UNKEYED, Answer
from resilience.observer import SILENT, Observer
from resilience.pipeline_plan import PlannedCalls
from resilience.policy.budget import CountingBudget, RetryBudget, SwitchedBudget
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Gate, Picker, Queue, Request, Snapshot
from resilience.policy.hedge import HedgeDelay
from resilience.policy.retry import RetrySettings
from resilience.policy.switch import SwitchedGate, SwitchedQueue
from resilience.switches import Switches

T = TypeVar("T")


class Visible(Protocol):
    """A policy that a page can show and a reset reaches."""

    def reset(self, now_s: float) -> None:
        """Forget what was learned."""

    def snapshot(self) -> Snapshot:
        """Return flat figures."""


class ClientPipeline:
    """Calls to one dependency. Make one per dependency and keep it.

    The switches asked on each call: ``deadline``, ``retry``, ``breaker``, ``bulkhead``, and
    ``hedge`` and ``fallback`` when there is one; ``retry_budget`` at each retry and hedge.

    Args:
        name: The dependency, e.g. ``video``.
        picker: Chooses the endpoint; ejection lives in it.
        switches: Say which policies are on.
        breaker: Guards each attempt; None for none.
        bulkhead: Bounds how many attempts are under way; None for none.
        budget: Retries allowed in all calls together; None makes Envoy's (20 %, at least 3).
        retry: How often and how soon.
        hedge: When a second attempt joins a slow first one; None for never.
        fallback: What may stand in for a call that failed for good; None: nothing. The pipeline's
            own switches say how it stands.
        per_try_timeout_s: Longest one attempt may take; None leaves it to the deadline.
        timeout_s: Longest a whole call may take; None leaves it to request and Context.
        scope: What decisions are reported under; None takes the name.
        rng: Draws the jitter; None seeds one from the system.
        clock: Monotonic seconds.
        observer: Hears of every decision.
    """

    def __init__(
        self,
        name: str,
        picker: Picker,
        switches: Switches,
        *,
        breaker: Gate | None = None,
        bulkhead: Queue | None = None,
        budget: CountingBudget | None = None,
        retry: RetrySettings | None = None,
        hedge: HedgeDelay | None = None,
        fallback: Fallback[Any] | None = None,
        per_try_timeout_s: float | None = None,
        timeout_s: float | None = None,
        scope: str | None = None,
        rng: random.Random | None = None,
        clock: Clock = time.monotonic,
        observer: Observer = SILENT,
    ) -> None:
        self.name = name
        self._switches = switches
        self._bulkhead = bulkhead
        self._fallback = fallback
        gate = SwitchedGate(breaker, lambda: switches.mode("breaker")) if breaker else None
        queue = SwitchedQueue(bulkhead, lambda: switches.mode("bulkhead")) if bulkhead else None
        switched = SwitchedBudget(budget or RetryBudget(), lambda: switches.mode("retry_budget"))
        self._guards = Guards(
            name,
            scope or name,
            picker,
            breaker=gate,
            bulkhead=Admission(queue, clock) if queue else None,
            per_try_timeout_s=per_try_timeout_s,
            clock=clock,
            observer=observer,
            latency=hedge,
        )
        self._calls = PlannedCalls(
            self._guards,
            switches,
            budget=switched,
            retry=retry or RetrySettings(),
            timeout_s=timeout_s,
            rng=rng or random.Random(),
        )
        visible = (
            ("breaker", gate),
            ("bulkhead", queue),
            ("retry", switched),
            ("hedge", hedge),
            ("fallback", fallback),
        )
        self.policies: Mapping[str, Visible] = {
            key: policy for key, policy in visible if policy is not None
        }

    def call(
        self,
        send: Send[T],
        request: Request | None = None,
        *,
        idempotent: bool,
        key: Hashable = None,
    ) -> Coroutine[Any, Any, T]:
        """Send the call, as often as the plan allows, and return the answer, or what stands in.

        The deadline is the earliest of the request's, the current Context's and ``timeout_s``.

        Args:
            send: Sends one attempt; cancelled when its time is up.
            request: What policies may know; None is taken from the current Context.
            idempotent: Whether sending twice does no harm.
            key: Whose last good answer may stand in; None takes the request's. Without either
                none is kept, so that no call gets another one's answer.

        Raises:
            Rejected: A guard refused; nothing was sent by that attempt.
            DeadlineExpired: The time ran out.
            Exception: What the last attempt ended with, where nothing may or can cover it.
        """
        # Not async itself: each coroutine that a call passes through costs it 0.1 µs.
        if self._fallback is None:
            return self._calls.run(send, request, idempotent)
        return self._value(self._fallback, send, request, idempotent, key)

    async def answer(
        self,
        send: Send[T],
        request: Request | None = None,
        *,
        idempotent: bool,
        key: Hashable = None,
    ) -> Answer[T]:
        """Do as ``call`` does, and say where the answer is from: it may be ``is_degraded``."""
        if self._fallback is None:
            return Answer(await self._calls.run(send, request, idempotent))
        return await self._answer(self._fallback, send, request, idempotent, key)

    def set_attempts(self, max_attempts: int, per_try_timeout_s: float | None) -> None:
        """Change how often later calls try, and how long each of their attempts may take.

        Args:
            max_attempts: In all, the first included, >= 1; with ``retry`` off it is 1 anyway.
            per_try_timeout_s: Above 0; None leaves it to the deadline.
        """
        self._calls.retry = replace(self._calls.retry, max_attempts=max_attempts)
        self._guards.per_try_timeout_s = per_try_timeout_s

    def set_max_concurrent(self, limit: int) -> None:
        """Change how many attempts may be under way; those that are go on.

        Args:
            limit: Slots, >= 1.

        Raises:
            TypeError: The pipeline has no bulkhead, or a queue of another kind.
        """
        if not isinstance(self._bulkhead, Bulkhead):
            raise TypeError(f"{self!r} has no bulkhead whose size could change")
        self._bulkhead.limit = limit

    def snapshot(self) -> Mapping[str, Snapshot]:
        """Show every policy of this dependency."""
        return {name: policy.snapshot() for name, policy in self.policies.items()}

    async def _value(
        self,
        fallback: Fallback[Any],
        send: Send[T],
        request: Request | None,
        idempotent: bool,
        key: Hashable,
    ) -> T:
        return (await self._answer(fallback, send, request, idempotent, key)).value

    async def _answer(
        self,
        fallback: Fallback[Any],
        send: Send[T],
        request: Request | None,
        idempotent: bool,
        key: Hashable,
    ) -> Answer[T]:
        """Make the call with a fallback around it, under one deadline for both."""
        bound = self._calls.bound(request, current(), self._guards.clock())
        if key is None:
            key = bound.key or UNKEYED
        return await fallback.answer_within(
            lambda: self._calls.run(send, bound, idempotent),
            key,
            mode=self._switches.mode(FALLBACK),
            deadline_s=bound.deadline_s,
        )

    def __repr__(self) -> str:
        return f"<ClientPipeline {self.name} [{', '.join(self.policies)}]>"
