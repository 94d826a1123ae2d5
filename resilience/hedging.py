"""Hedging: run one call's attempts side by side, as its plan says, and keep the first good answer.

    plan ▸ Try: a task ▸ WaitUntil: the first to end, or the time ▸ GiveUp: cancel the rest

Every attempt is a child of one ``TaskGroup`` and turns its failure into a value, so none takes the
others down. Whatever ends the call, an answer, a failure for good, the caller's cancellation, the
group cancels who is left and waits for them, so no permit, endpoint or place outlives the call.
Losers are IGNORED by breaker and bulkhead. A hedge that a guard refuses ends the hedging, and not
the attempt it was to help.
Not handled: a ``send`` that goes on after being cancelled (it holds the answer up); an attempt that
still waits in our own bulkhead, which is hedged like any other.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from resilience.attempt import Attempt, Guards, Send, deadline_expired
from resilience.context import Context
from resilience.policy.contract import AttemptResult, GiveUp, Mode, Outcome, Request, Try
from resilience.policy.hedge import HedgeDelay
from resilience.policy.retry import RetryPlan

T = TypeVar("T")
Tell = Callable[[str, str, str, Context | None], None]
"""Tell of a decision: policy, what, reason, context."""

REFUSED = AttemptResult("", Outcome.IGNORED, started=False)


class _Run(Generic[T]):
    """One attempt under way, and afterwards how it ended."""

    __slots__ = ("attempt", "error", "is_hedge", "value")

    value: T  # set when there is no error

    def __init__(self, attempt: Attempt, *, is_hedge: bool) -> None:
        self.attempt = attempt
        self.is_hedge = is_hedge
        self.error: Exception | None = None

    async def go(self, send: Send[T], exclude: Sequence[str]) -> None:
        """Make the attempt; raises nothing but a cancellation."""
        try:
            self.value = await self.attempt.run(send, exclude)
        except Exception as error:
            self.error = error


class HedgedCall(Generic[T]):
    """One call whose attempts may run side by side; ``run`` it once.

    Args:
        guards: What each attempt passes.
        plan: Says what to try when; whoever made it closes it.
        send: Sends one attempt.
        request: What policies may know; its deadline is the one enforced.
        context: Where to note what happened; None outside of a request.
        delay: Counts the hedges sent and won.
        retry: The switch: whether an attempt may follow when none is under way any more.
        tell: Hears of hedges and retries.
    """

    __slots__ = (
        "_context",
        "_delay",
        "_guards",
        "_last",
        "_live",
        "_over",
        "_plan",
        "_request",
        "_retry",
        "_send",
        "_tell",
        "_winner",
    )

    def __init__(
        self,
        guards: Guards,
        plan: RetryPlan,
        send: Send[T],
        request: Request,
        context: Context | None,
        *,
        delay: HedgeDelay,
        retry: Mode,
        tell: Tell,
    ) -> None:
        self._guards = guards
        self._plan = plan
        self._send = send
        self._request = request
        self._context = context
        self._delay = delay
        self._retry = retry
        self._tell = tell
        self._live: dict[asyncio.Task[None], _Run[T]] = {}  # in the order they began
        self._winner: _Run[T] | None = None
        self._last: Exception | None = None
        self._over = False

    async def run(self) -> T:
        """Return the first good answer.

        Raises:
            DeadlineExpired: There was no time for any attempt.
            Exception: What the last attempt ended with.
        """
        try:
            async with asyncio.TaskGroup() as group:
                await self._supervise(group)
                for task in self._live:
                    task.cancel()
            if self._winner is not None:
                return self._winner.value
            if self._last is not None:
                raise self._last
            guards = self._guards
            raise deadline_expired(
                guards.name, guards.scope, self._context, guards.clock(), started=False
            )
        finally:
            self._last = None  # an error that holds its own frame would wait for the collector

    async def _supervise(self, group: asyncio.TaskGroup) -> None:
        """Do what the plan says until the call is over; raises nothing but a cancellation."""
        while not self._over:
            step = self._plan.next(self._guards.clock())
            if isinstance(step, GiveUp):
                if self._last is not None:
                    self._tell("retry", "gave-up", step.reason, self._context)
                return
            if self._last is not None and not self._live and self._retry is not Mode.ON:
                if self._retry is Mode.SHADOW:
                    self._tell("retry", "shadow-retried", "", self._context)
                return
            if isinstance(step, Try):
                self._start(group, step)
                await asyncio.sleep(0)  # it picks its endpoint, which the next one is to avoid
            else:
                await self._wait(step.t_s)

    def _start(self, group: asyncio.TaskGroup, step: Try) -> None:
        """Begin an attempt, away from where others have failed or are under way."""
        is_hedge = bool(self._live)
        if is_hedge:
            self._delay.sent += 1
            self._tell("hedge", "hedges", "", self._context)
        elif self._last is not None:
            self._tell("retry", "retries", "", self._context)
        busy = [run.attempt.endpoint for run in self._live.values() if run.attempt.endpoint]
        attempt = Attempt(self._guards, self._request, self._request.deadline_s, self._context)
        run = _Run[T](attempt, is_hedge=is_hedge)
        self._live[group.create_task(run.go(self._send, (*step.exclude, *busy)))] = run

    async def _wait(self, t_s: float) -> None:
        """Wait for an attempt to end, at most until that time."""
        timeout_s = None if t_s == math.inf else max(0.0, t_s - self._guards.clock())
        if not self._live:
            assert timeout_s is not None, "the plan waits for a result that nobody will bring"
            await asyncio.sleep(timeout_s)
            return
        done, _ = await asyncio.wait(
            self._live, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        for task in [each for each in self._live if each in done]:
            self._settle(task, self._live.pop(task))
            if self._over:
                return

    def _settle(self, task: asyncio.Task[None], run: _Run[T]) -> None:
        """Take in how an attempt ended."""
        task.result()  # raises when `send` cancelled itself, as without hedging
        error, run.error = run.error, None
        if error is None:
            self._winner, self._over = run, True
            self._delay.won += run.is_hedge
            self._plan.answered = True
        elif not run.attempt.refused:
            self._last = error
            self._plan.on_result(run.attempt.result(error), self._guards.clock())
        elif self._live:
            self._plan.on_result(REFUSED, self._guards.clock())
        else:
            error.__cause__ = self._last
            self._last, self._over = error, True

    def __repr__(self) -> str:
        return f"<HedgedCall {len(self._live)} under way, {self._plan!r}>"
