"""Client pipeline: one call to a dependency, through every policy that guards it.

    deadline ▸ attempt plan ▸ for each attempt [breaker ▸ pick ▸ bulkhead ▸ per-try timeout ▸ send]

The order is the lesson. The deadline spans everything. Each attempt passes the breaker, so a
dependency that fails stops being retried; the endpoint is picked before the bulkhead, since what is
limited is how much of *us* a dependency holds. A refusal by breaker or bulkhead ends the call,
costs no retry and is IGNORED by the others. An error passed up names whose failure it was
(``metadata["upstream"]``), so that only the hop directly above it retries.

With ``hedge`` an idempotent call runs its attempts side by side (``hedging``); any other awaits one
at a time in the caller's own task. Built from one object of settings: ``pipeline_settings``.
Not handled: fallback, whose place is between deadline and plan (in ``call``).
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from resilience.admission import Admission, Clock
from resilience.attempt import Attempt, Guards, Send, deadline_expired
from resilience.context import Context, current
from resilience.errors import ServiceError
from resilience.hedging import HedgedCall
from resilience.observer import SILENT, Observer
from resilience.outcome import UPSTREAM_KEY
from resilience.policy.budget import CountingBudget, RetryBudget, SwitchedBudget
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import (
    Gate,
    GiveUp,
    Mode,
    Picker,
    Queue,
    Request,
    Snapshot,
    Try,
    WaitUntil,
)
from resilience.policy.deadline import earliest_s
from resilience.policy.hedge import HedgeDelay
from resilience.policy.retry import RetryPlan, RetrySettings
from resilience.policy.switch import SwitchedGate, SwitchedQueue
from resilience.switches import Switches

T = TypeVar("T")

ONE_ATTEMPT = RetrySettings(max_attempts=1)  # what a call gets with `retry` off


class Visible(Protocol):
    """A policy that a page can show and a reset reaches."""

    def reset(self, now_s: float) -> None:
        """Forget what was learned."""

    def snapshot(self) -> Snapshot:
        """Return flat figures."""


class ClientPipeline:
    """Calls to one dependency. Make one per dependency and keep it.

    The switches asked on each call: ``deadline``, ``retry``, ``breaker``, ``bulkhead``, and
    ``hedge`` when there is one; ``retry_budget`` at each retry and hedge.

    Args:
        name: The dependency, e.g. ``video``.
        picker: Chooses the endpoint; ejection lives in it.
        switches: Say which policies are on.
        breaker: Guards each attempt; None for none.
        bulkhead: Bounds how many attempts are under way; None for none.
        budget: Retries allowed in all calls together; None makes Envoy's (20 %, at least 3).
        retry: How often and how soon.
        hedge: When a second attempt joins a slow first one; None for never.
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
        per_try_timeout_s: float | None = None,
        timeout_s: float | None = None,
        scope: str | None = None,
        rng: random.Random | None = None,
        clock: Clock = time.monotonic,
        observer: Observer = SILENT,
    ) -> None:
        self.name = name
        self._switches = switches
        self._budget = SwitchedBudget(
            budget or RetryBudget(), lambda: switches.mode("retry_budget")
        )
        self._retry = retry or RetrySettings()
        self._hedge = hedge
        self._timeout_s = timeout_s
        self._rng = rng or random.Random()
        self._clock = clock
        self._observer = observer
        self._bulkhead = bulkhead
        gate = SwitchedGate(breaker, lambda: switches.mode("breaker")) if breaker else None
        queue = SwitchedQueue(bulkhead, lambda: switches.mode("bulkhead")) if bulkhead else None
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
        visible = (
            ("breaker", gate),
            ("bulkhead", queue),
            ("retry", self._budget),
            ("hedge", hedge),
        )
        self.policies: Mapping[str, Visible] = {
            key: policy for key, policy in visible if policy is not None
        }

    def set_attempts(self, max_attempts: int, per_try_timeout_s: float | None) -> None:
        """Change how often later calls try, and how long each of their attempts may take.

        Args:
            max_attempts: In all, the first included, >= 1; with ``retry`` off it is 1 anyway.
            per_try_timeout_s: Above 0; None leaves it to the deadline.
        """
        self._retry = replace(self._retry, max_attempts=max_attempts)
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

    async def call(self, send: Send[T], request: Request | None = None, *, idempotent: bool) -> T:
        """Send the call, as often as the plan allows, and return the answer.

        The deadline is the earlier of the request's and the current Context's.

        Args:
            send: Sends one attempt; cancelled when its time is up.
            request: What policies may know; None is taken from the current Context.
            idempotent: Whether sending twice does no harm.

        Raises:
            Rejected: A guard refused; nothing was sent by that attempt.
            DeadlineExpired: The time ran out.
            Exception: What the last attempt ended with.
        """
        context = current()
        request = request or _request_of(context)
        now_s = self._clock()
        deadline_s = self._deadline_s(request, context, now_s)
        mode = self._switches.mode("retry")
        hedge = self._hedge_mode(idempotent)
        delay_s = None if hedge is Mode.OFF or self._hedge is None else self._hedge.delay_s(now_s)
        hedges = hedge is Mode.ON and delay_s is not None
        plan = RetryPlan(
            ONE_ATTEMPT if mode is Mode.OFF and not hedges else self._retry,
            self._budget,
            self._rng,
            idempotent=idempotent,
            deadline_s=deadline_s,
            hedge_delay_s=delay_s if hedges else None,
            now_s=now_s,
        )
        bounded = _with_deadline(request, deadline_s)
        try:
            if hedges:
                return await self._side_by_side(plan, send, bounded, context, mode)
            return await self._attempts(plan, send, bounded, context, mode, now_s, delay_s)
        except ServiceError as error:
            error.metadata.setdefault(UPSTREAM_KEY, self.name)
            raise
        finally:
            plan.close()

    async def _attempts(
        self,
        plan: RetryPlan,
        send: Send[T],
        request: Request,
        context: Context | None,
        mode: Mode,
        now_s: float,
        shadow_delay_s: float | None,
    ) -> T:
        last: Exception | None = None
        try:
            step = plan.next(now_s)
            while isinstance(step, Try):
                attempt = Attempt(self._guards, request, request.deadline_s, context)
                try:
                    value = await attempt.run(send, step.exclude)
                    plan.answered = True
                    return value
                except Exception as error:
                    if attempt.refused:
                        if last is not None:
                            raise error from last
                        raise
                    last = error
                    plan.on_result(attempt.result(error), self._clock())
                finally:
                    if shadow_delay_s is not None and attempt.took_s > shadow_delay_s:
                        self._tell_shadow_hedge(context)
                step = await self._next(plan, context, mode)
            if last is not None:
                raise last
            scope = self._guards.scope
            raise deadline_expired(self.name, scope, context, self._clock(), started=False)
        finally:
            last = None  # an error that holds its own frame would wait for the garbage collector

    async def _side_by_side(
        self, plan: RetryPlan, send: Send[T], request: Request, context: Context | None, mode: Mode
    ) -> T:
        assert self._hedge is not None
        return await HedgedCall(
            self._guards,
            plan,
            send,
            request,
            context,
            delay=self._hedge,
            retry=mode,
            tell=self._tell,
        ).run()

    async def _next(self, plan: RetryPlan, context: Context | None, mode: Mode) -> Try | GiveUp:
        """Ask what follows a failure, tell of it, and wait for it."""
        step = plan.next(self._clock())
        if mode is Mode.SHADOW and not isinstance(step, GiveUp):
            self._tell("retry", "shadow-retried", "", context)
            return GiveUp("SHADOW")
        if mode is not Mode.OFF:
            reason = step.reason if isinstance(step, GiveUp) else ""
            self._tell("retry", "gave-up" if reason else "retries", reason, context)
        while isinstance(step, WaitUntil):
            await asyncio.sleep(max(0.0, step.t_s - self._clock()))
            step = plan.next(self._clock())
        return step

    def _deadline_s(self, request: Request, context: Context | None, now_s: float) -> float | None:
        if self._switches.mode("deadline") is not Mode.ON:
            return None
        deadline_s = earliest_s(request.deadline_s, context.deadline_s if context else None)
        return (
            deadline_s
            if self._timeout_s is None
            else earliest_s(deadline_s, now_s + self._timeout_s)
        )

    def _hedge_mode(self, idempotent: bool) -> Mode:
        """Say whether this call may be hedged; the switch is asked only where it could be."""
        if self._hedge is None or not idempotent:
            return Mode.OFF
        return self._switches.mode("hedge")

    def _tell_shadow_hedge(self, context: Context | None) -> None:
        assert self._hedge is not None
        self._hedge.would_send += 1
        self._tell("hedge", "shadow-hedged", "", context)

    def _tell(self, policy: str, what: str, reason: str, context: Context | None) -> None:
        if context is not None:
            context.note(policy, what, self._clock(), upstream=self.name, reason=reason)
        self._observer.on_decision(policy, what, self._guards.scope, {"reason": reason})

    def snapshot(self) -> Mapping[str, Snapshot]:
        """Show every policy of this dependency."""
        return {name: policy.snapshot() for name, policy in self.policies.items()}

    def __repr__(self) -> str:
        return f"<ClientPipeline {self.name} [{', '.join(self.policies)}]>"


def _request_of(context: Context | None) -> Request:
    if context is None:
        return Request()
    return Request(criticality=context.criticality, tenant=context.tenant)


def _with_deadline(request: Request, deadline_s: float | None) -> Request:
    """Copy the request with the deadline that is enforced; waits in a queue end at it."""
    if request.deadline_s == deadline_s:
        return request
    return Request(request.cost, request.criticality, request.tenant, request.key, deadline_s)
