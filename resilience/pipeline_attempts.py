"""A call's attempts, one after another, in the caller's own task.

    plan ▸ Try: await it ▸ WaitUntil: sleep until then ▸ GiveUp: raise what the last one ended with

Why not always as ``hedging`` does it: a task per attempt costs more than the whole rest of the
pipeline, and who never hedges needs none.
Not handled: attempts side by side (``hedging``).
"""

import asyncio
from typing import TypeVar

from resilience.attempt import Attempt, Guards, Send, deadline_expired
from resilience.context import Context
from resilience.policy.contract import GiveUp, Mode, Request, Try, WaitUntil
from resilience.policy.retry import RetryPlan

T = TypeVar("T")


class Attempts:
    """Make the attempts of one dependency's calls; one serves all of them.

    Args:
        guards: What each attempt passes.
    """

    __slots__ = ("_guards",)

    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    async def run(
        self,
        plan: RetryPlan,
        send: Send[T],
        request: Request,
        context: Context | None,
        *,
        retry: Mode,
        now_s: float,
        shadow_delay_s: float | None,
    ) -> T:
        """Return the first good answer.

        Args:
            plan: Says what to try when; whoever made it closes it.
            send: Sends one attempt.
            request: What policies may know; its deadline is the one enforced.
            context: Where to note what happened; None outside of a request.
            retry: The switch: off and in shadow there is one attempt.
            now_s: Monotonic seconds.
            shadow_delay_s: After how long a hedge would have joined; None: there are none.

        Raises:
            Rejected: A guard refused; what failed before is its cause.
            DeadlineExpired: There was no time for any attempt.
            Exception: What the last attempt ended with.
        """
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
                    plan.on_result(attempt.result(error), self._guards.clock())
                finally:
                    if shadow_delay_s is not None and attempt.took_s > shadow_delay_s:
                        self._note_shadow_hedge(context)
                step = await self._next(plan, context, retry)
            if last is not None:
                raise last
            guards = self._guards
            raise deadline_expired(
                guards.name, guards.scope, context, guards.clock(), started=False
            )
        finally:
            last = None  # an error that holds its own frame would wait for the garbage collector

    def tell(self, policy: str, what: str, reason: str, context: Context | None) -> None:
        """Let ``squall explain`` and the observer know what the plan decided."""
        guards = self._guards
        if context is not None:
            context.note(policy, what, guards.clock(), upstream=guards.name, reason=reason)
        guards.observer.on_decision(policy, what, guards.scope, {"reason": reason})

    async def _next(self, plan: RetryPlan, context: Context | None, retry: Mode) -> Try | GiveUp:
        """Ask what follows a failure, tell of it, and wait for it."""
        clock = self._guards.clock
        step = plan.next(clock())
        if retry is Mode.SHADOW and not isinstance(step, GiveUp):
            self.tell("retry", "shadow-retried", "", context)
            return GiveUp("SHADOW")
        if retry is not Mode.OFF:
            reason = step.reason if isinstance(step, GiveUp) else ""
            self.tell("retry", "gave-up" if reason else "retries", reason, context)
        while isinstance(step, WaitUntil):
            await asyncio.sleep(max(0.0, step.t_s - clock()))
            step = plan.next(clock())
        return step

    def _note_shadow_hedge(self, context: Context | None) -> None:
        delay = self._guards.latency
        assert delay is not None, "a hedge has a delay"
        delay.would_send += 1
        self.tell("hedge", "shadow-hedged", "", context)

    def __repr__(self) -> str:
        return f"<Attempts {self._guards.name}>"
