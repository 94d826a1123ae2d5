"""One call as its plan has it: until when, how often, one after another or side by side.

    deadline ▸ attempt plan ▸ attempts in turn | hedged call

The deadline spans everything below. Each call gets a plan of its own; what all of a dependency's
calls share, the budget and the measured latency, is here. An error passed up names whose failure it
was (``metadata["upstream"]``), so that only the hop directly above it retries.
Not handled: what an attempt passes (``attempt``), what stands in for a failed call (``fallback``).
"""

import random
from typing import TypeVar

from resilience.attempt import CLOCK_GRAIN_S, Guards, Send
from resilience.context import Context, current
from resilience.errors import ServiceError
from resilience.hedging import HedgedCall
from resilience.outcome import UPSTREAM_KEY
from resilience.pipeline_attempts import Attempts
from resilience.policy.budget import SwitchedBudget
from resilience.policy.contract import Mode, Request
from resilience.policy.deadline import earliest_s
from resilience.policy.retry import RetryPlan, RetrySettings
from resilience.switches import Switches

T = TypeVar("T")

ONE_ATTEMPT = RetrySettings(max_attempts=1)  # what a call gets with `retry` off


class PlannedCalls:
    """Make the calls to one dependency, each by a plan of its own.

    Args:
        guards: What each attempt passes; calls are hedged when they have a ``latency``.
        switches: Asked for ``deadline``, ``retry`` and, of what could be hedged, ``hedge``.
        budget: Retries and hedges allowed in all calls together.
        retry: How often and how soon; later calls see a change.
        timeout_s: Longest a whole call may take; None leaves it to request and Context.
        rng: Draws the jitter.
    """

    __slots__ = ("_attempts", "_budget", "_guards", "_rng", "_switches", "_timeout_s", "retry")

    def __init__(
        self,
        guards: Guards,
        switches: Switches,
        *,
        budget: SwitchedBudget,
        retry: RetrySettings,
        timeout_s: float | None,
        rng: random.Random,
    ) -> None:
        self._guards = guards
        self._switches = switches
        self._budget = budget
        self.retry = retry
        self._timeout_s = timeout_s
        self._rng = rng
        self._attempts = Attempts(guards)

    async def run(self, send: Send[T], request: Request | None, idempotent: bool) -> T:
        """Send the call, as often as its plan allows, and return the answer.

        Raises:
            Rejected: A guard refused; nothing was sent by that attempt.
            DeadlineExpired: The time ran out.
            Exception: What the last attempt ended with.
        """
        context = current()
        now_s = self._guards.clock()
        request = self.bound(request, context, now_s)
        mode = self._switches.mode("retry")
        hedge = self._hedge_mode(idempotent)
        delay = self._guards.latency
        delay_s = None if hedge is Mode.OFF or delay is None else delay.delay_s(now_s)
        hedges = hedge is Mode.ON and delay_s is not None
        plan = RetryPlan(
            ONE_ATTEMPT if mode is Mode.OFF and not hedges else self.retry,
            self._budget,
            self._rng,
            idempotent=idempotent,
            deadline_s=_last_start_s(request.deadline_s),
            hedge_delay_s=delay_s if hedges else None,
            now_s=now_s,
        )
        try:
            if hedges:
                return await self._side_by_side(plan, send, request, context, mode)
            return await self._attempts.run(
                plan,
                send,
                request,
                context,
                retry=mode,
                now_s=now_s,
                shadow_delay_s=delay_s,
            )
        except ServiceError as error:
            error.metadata.setdefault(UPSTREAM_KEY, self._guards.name)
            raise
        finally:
            plan.close()

    def bound(self, request: Request | None, context: Context | None, now_s: float) -> Request:
        """Return the request with the deadline that is enforced, at which waits in queues end too.

        To bind it again changes nothing. None is made of what the Context knows.
        """
        request = request or _request_of(context)
        deadline_s = self._deadline_s(request, context, now_s)
        if request.deadline_s == deadline_s:
            return request
        return Request(request.cost, request.criticality, request.tenant, request.key, deadline_s)

    def _deadline_s(self, request: Request, context: Context | None, now_s: float) -> float | None:
        if self._switches.mode("deadline") is not Mode.ON:
            return None
        deadline_s = earliest_s(request.deadline_s, context.deadline_s if context else None)
        if self._timeout_s is None:
            return deadline_s
        return earliest_s(deadline_s, now_s + self._timeout_s)

    def _hedge_mode(self, idempotent: bool) -> Mode:
        """Say whether this call may be hedged; the switch is asked only where it could be."""
        if self._guards.latency is None or not idempotent:
            return Mode.OFF
        return self._switches.mode("hedge")

    async def _side_by_side(
        self, plan: RetryPlan, send: Send[T], request: Request, context: Context | None, mode: Mode
    ) -> T:
        delay = self._guards.latency
        assert delay is not None, "a hedge has a delay"
        return await HedgedCall(
            self._guards,
            plan,
            send,
            request,
            context,
            delay=delay,
            retry=mode,
            tell=self._attempts.tell,
        ).run()

    def __repr__(self) -> str:
        return f"<PlannedCalls {self._guards.name} {self.retry.max_attempts} attempts>"


def _last_start_s(deadline_s: float | None) -> float | None:
    """Return the time from which no attempt begins any more.

    A timer's grain before the deadline: one that has just cut an attempt may have fired that early,
    and what follows could not be answered any more.
    """
    return None if deadline_s is None else deadline_s - CLOCK_GRAIN_S


def _request_of(context: Context | None) -> Request:
    if context is None:
        return Request()
    return Request(criticality=context.criticality, tenant=context.tenant)
