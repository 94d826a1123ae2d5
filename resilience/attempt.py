"""One attempt of a call, through the guards of its dependency.

    breaker ▸ pick ▸ bulkhead ▸ per-try timeout ▸ send

Whatever happens at any ``await``, an answer, an error, a cancellation, what was taken is given
back on the way out: the breaker's permit, the endpoint, the bulkhead's place, in reverse order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from resilience.admission import Admission, Clock
from resilience.context import Context, Cut
from resilience.cutoff import CutOff
from resilience.errors import Code, DeadlineExpired, Rejected, ServiceError, UpstreamTimeout
from resilience.observer import SILENT, Observer
from resilience.outcome import Judge, classify, has_started, is_deeper
from resilience.policy.contract import (
    AttemptResult,
    Gate,
    Outcome,
    Permit,
    Picker,
    Rejection,
    Request,
    Ticket,
)
from resilience.policy.deadline import attempt_timeout_s, is_spent
from resilience.policy.hedge import HedgeDelay
from resilience.refusal import DECISION_KEY, decision_text, note_rejection, note_shadow, to_error

T = TypeVar("T")
Send = Callable[[str, float | None], Awaitable[T]]
"""Send the call to an endpoint within that many seconds (None: as long as it takes)."""

NO_ENDPOINT_RETRY_AFTER_S = 1.0  # a lease is renewed each second: the soonest anyone can appear
_OK, _IGNORED = Outcome.OK, Outcome.IGNORED  # see Outcome


class Guards:
    """What stands between us and one dependency; shared by all calls to it.

    Args:
        name: The dependency, e.g. ``video``.
        scope: Where decisions hold, e.g. ``gateway>video``.
        picker: Chooses the endpoint and hears how it did.
        breaker: None for none.
        bulkhead: None for none.
        per_try_timeout_s: Longest one attempt may take; None leaves it to the deadline.
        latency: Learns what attempts take, for hedges; None when nobody asks.
    """

    __slots__ = (
        "breaker",
        "bulkhead",
        "clock",
        "latency",
        "name",
        "observer",
        "per_try_timeout_s",
        "picker",
        "scope",
    )

    def __init__(
        self,
        name: str,
        scope: str,
        picker: Picker,
        *,
        breaker: Gate | None,
        bulkhead: Admission | None,
        per_try_timeout_s: float | None,
        clock: Clock,
        observer: Observer,
        latency: HedgeDelay | None = None,
    ) -> None:
        self.name = name
        self.scope = scope
        self.picker = picker
        self.breaker = breaker
        self.bulkhead = bulkhead
        self.per_try_timeout_s = per_try_timeout_s
        self.clock = clock
        self.observer = observer
        self.latency = latency


class Attempt:
    """One try. ``refused`` says afterwards that nothing was sent, ``took_s`` how long it took.

    Args:
        guards: What it passes.
        request: What the policies may know of it.
        deadline_s: Absolute; None when none is enforced.
        context: Where to note what happened; None outside of a request.
    """

    __slots__ = (
        "_context",
        "_deadline_s",
        "_guards",
        "_request",
        "endpoint",
        "outcome",
        "refused",
        "took_s",
    )

    def __init__(
        self, guards: Guards, request: Request, deadline_s: float | None, context: Context | None
    ) -> None:
        self._guards = guards
        self._request = request
        self._deadline_s = deadline_s
        self._context = context
        self.endpoint = ""
        self.outcome = _IGNORED
        self.refused = True
        self.took_s = 0.0

    async def run(self, send: Send[T], exclude: Sequence[str]) -> T:
        """Pass the guards and send.

        Raises:
            Rejected: A guard refused, or no endpoint is left; ``refused`` is True.
            DeadlineExpired: The call's time ran out.
            UpstreamTimeout: This try's time ran out.
            Exception: Whatever ``send`` raised.
        """
        guards, request = self._guards, self._request
        breaker, bulkhead = guards.breaker, guards.bulkhead
        now_s = guards.clock()
        permit = None if breaker is None else self._unwrap(breaker.admit(request, now_s))
        try:
            self.endpoint = self._pick(exclude, now_s)
            if bulkhead is None:
                return await self._send(send)
            decision = bulkhead.acquire_nowait(request)
            if isinstance(decision, Ticket):
                decision = await bulkhead.wait_granted(decision)
            place = self._unwrap(decision)
            try:
                return await self._send(send)
            finally:
                bulkhead.release(place, self.outcome)
        finally:
            if breaker is not None and permit is not None:
                breaker.settle(permit, self.outcome, guards.clock())

    def result(self, error: BaseException | None = None) -> AttemptResult:
        """Say how it ended, for the plan."""
        if error is None:
            return AttemptResult(self.endpoint, self.outcome)
        retry_after_s = error.retry_after_s if isinstance(error, ServiceError) else None
        return AttemptResult(
            self.endpoint, self.outcome, has_started(error), retry_after_s, is_deeper(error)
        )

    def _pick(self, exclude: Sequence[str], now_s: float) -> str:
        """Choose an endpoint; rather one already tried than none at all."""
        guards = self._guards
        endpoint = guards.picker.pick(self._request, exclude, now_s)
        if endpoint is None and exclude:
            endpoint = guards.picker.pick(self._request, (), now_s)
        if endpoint is not None:
            return endpoint
        decision = decision_text("picker", guards.scope, 0, 1)
        if self._context is not None:
            self._context.note(
                "picker", "rejected", now_s, scope=guards.scope, reason="NO_ENDPOINT"
            )
        raise Rejected(
            Code.UNAVAILABLE,
            "NO_ENDPOINT",
            f"no endpoint of {guards.name} is left to try",
            metadata={DECISION_KEY: decision},
            retry_after_s=NO_ENDPOINT_RETRY_AFTER_S,
        )

    def _unwrap(self, decision: Permit | Rejection) -> Permit:
        """Return the permit, or raise the refusal; tell of either."""
        if type(decision) is Permit:  # a plain one holds nothing to tell
            return decision
        guards = self._guards
        now_s = guards.clock()
        if isinstance(decision, Rejection):
            note_rejection(decision, guards.scope, self._context, now_s, observer=guards.observer)
            raise to_error(decision, guards.scope)
        note_shadow(decision, guards.scope, self._context, now_s, observer=guards.observer)
        return decision

    async def _send(self, send: Send[T]) -> T:
        guards = self._guards
        start_s = guards.clock()
        timeout_s = attempt_timeout_s(self._deadline_s, guards.per_try_timeout_s, start_s)
        if timeout_s is not None and timeout_s <= 0:
            raise self._expired(started=False)
        self.refused = False
        guards.picker.on_start(self.endpoint, start_s)
        cut = None if timeout_s is None else CutOff(timeout_s)
        try:
            value = await send(self.endpoint, timeout_s)
            self.outcome = _OK
            return value
        except asyncio.CancelledError as error:
            self._teach_cut(start_s)
            ours = cut is not None and cut.claim()
            self.outcome = classify(Judge.BREAKER, error, cut=self._cut(ours))
            if ours:
                raise self._out_of_time() from None
            raise
        except Exception as error:
            self.outcome = classify(Judge.BREAKER, error)
            if isinstance(error, UpstreamTimeout):
                self._teach_cut(start_s)
                if is_spent(self._deadline_s, guards.clock()):
                    raise self._out_of_time() from error
            raise
        finally:
            if cut is not None:
                cut.close()
            self._finish(start_s)

    def _teach_cut(self, start_s: float) -> None:
        """Let the hedge delay know that an attempt was cut short: it takes at least this long."""
        guards = self._guards
        if guards.latency is not None:
            now_s = guards.clock()
            guards.latency.observe_cut(now_s - start_s, now_s)

    def _cut(self, ours: bool) -> Cut | None:
        if ours:
            return Cut.DEADLINE
        return None if self._context is None else self._context.cut

    def _out_of_time(self) -> ServiceError:
        """Name whose time ran out: the call's, or only this try's."""
        guards = self._guards
        if is_spent(self._deadline_s, guards.clock() + CLOCK_GRAIN_S):
            return self._expired(started=True)
        return UpstreamTimeout(
            Code.DEADLINE_EXCEEDED,
            "UPSTREAM_TIMEOUT",
            f"{guards.name} did not answer within {guards.per_try_timeout_s} s",
        )

    def _expired(self, *, started: bool) -> DeadlineExpired:
        guards = self._guards
        return deadline_expired(
            guards.name, guards.scope, self._context, guards.clock(), started=started
        )

    def _finish(self, start_s: float) -> None:
        guards = self._guards
        now_s = guards.clock()
        guards.picker.on_finish(self.endpoint, self.outcome, now_s)
        self.took_s = took_s = now_s - start_s
        if guards.latency is not None and self.outcome is _OK:
            guards.latency.observe(took_s, now_s)
        ms = int(took_s * 1e6) / 1000  # whole microseconds; ``round`` costs four times as much
        how = self.outcome.value
        if self._context is not None:
            self._context.note(
                "attempt", how, now_s, upstream=guards.name, endpoint=self.endpoint, ms=ms
            )
        if guards.observer is not SILENT:
            guards.observer.on_decision(
                "attempt", how, guards.scope, {"endpoint": self.endpoint, "ms": ms}
            )


CLOCK_GRAIN_S = 0.002  # uvloop's timers count whole milliseconds, and may fire one early


def deadline_expired(
    name: str, scope: str, context: Context | None, now_s: float, *, started: bool
) -> DeadlineExpired:
    """Note that a call's whole time ran out, and make the error that says so."""
    if context is not None:
        context.note("deadline", "cut" if started else "rejected", now_s, upstream=name)
    when = "before an answer came" if started else "before the call could start"
    return DeadlineExpired(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        f"the deadline passed {when} from {name}",
        metadata={DECISION_KEY: decision_text("deadline", scope, None, None)},
        started=started,
    )
