"""Server interceptors for grpc.aio: context, deadline, limiter; give them in this order.

``ContextInterceptor`` is the outermost: it reads the Context from the metadata and gRPC's own
deadline, turns a ServiceError into a status, and reports how each call ended. gRPC cancels a
handler both at the deadline and when the caller leaves; which of the two it was is told by the
clock, and written into the Context for those inside. With the switch ``cancellation`` not on, the
handler is out of gRPC's reach: what was begun is done to the end, for nobody.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from resilience.context import Context, Cut, current, enter, leave
from resilience.cutoff import CutOff
from resilience.detached import Detached
from resilience.errors import Code, DeadlineExpired, ServiceError
from resilience.observer import SILENT, Observer
from resilience.outcome import Judge, classify
from resilience.policy.contract import Gate, Mode, Outcome, Queue, Rejection, Request
from resilience.policy.deadline import is_spent
from resilience.propagation import extract
from resilience.refusal import DECISION_KEY, decision_text, note_rejection, note_shadow, to_error
from resilience.rpc.status import to_status
from resilience.rpc.wrap import ServicerContext, Unary, UnaryInterceptor
from resilience.summary import OK, Finished, OnFinish, ignore
from resilience.switches import Switches
from resilience.waiting import Waiting, at_the_door

CLOCK_GRAIN_S = 0.005  # gRPC's deadline is rounded on the wire; its cancel may come a little early

Clock = Callable[[], float]

_HIDDEN = ServiceError(Code.INTERNAL, "INTERNAL", "an error of ours; the log has the cause")

_log = logging.getLogger("resilience.rpc")


class ContextInterceptor(UnaryInterceptor):
    """Begin and end a call on this hop.

    Args:
        switches: Asked for ``deadline``: unless it is on, the Context gets none; and for
            ``cancellation``: unless it is on, a caller who leaves ends nothing.
        on_finish: Gets each call's summary.
        clock: Monotonic seconds.

    Attribute ``detached`` counts the work that went on for nobody.
    """

    def __init__(
        self, *, switches: Switches, on_finish: OnFinish = ignore, clock: Clock = time.monotonic
    ) -> None:
        super().__init__()
        self._switches = switches
        self._on_finish = on_finish
        self._clock = clock
        self.detached = Detached()

    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Serve one call with a Context, and report it."""
        if self._switches.mode("cancellation") is Mode.ON:
            return await self._serve(method, inner, request, servicer)
        return await self.detached.run(self._serve(method, inner, request, servicer))

    async def _serve(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        context = self._read(servicer)
        remaining_in_s = context.remaining_s(context.arrived_s)
        started_unix_s = time.time()
        status, code = Code.CANCELLED.name, Code.CANCELLED.http_status
        token = enter(context)
        try:
            answer = await inner(request, servicer)
            status, code = OK, 200
            return answer
        except ServiceError as error:
            status, code = error.reason, error.code.http_status
            await _abort(servicer, error)
        except grpc.aio.AbortError:  # the handler has answered by itself
            status, code = "ABORTED", Code.INTERNAL.http_status
            raise
        except asyncio.CancelledError:
            if context.cut is Cut.DEADLINE:
                status, code = Code.DEADLINE_EXCEEDED.name, Code.DEADLINE_EXCEEDED.http_status
            raise
        except Exception as error:
            _log.error("unhandled error in %s, %s", method, context.request_id, exc_info=error)
            status, code = _HIDDEN.reason, _HIDDEN.code.http_status
            await _abort(servicer, _HIDDEN)
        finally:
            leave(token)
            now_s = self._clock()
            self._on_finish(
                Finished(
                    context,
                    method,
                    status,
                    code,
                    started_unix_s,
                    now_s - context.arrived_s,
                    remaining_in_s,
                    context.remaining_s(now_s),
                )
            )

    def _read(self, servicer: ServicerContext) -> Context:
        sent = {key: value for key, value in servicer.invocation_metadata() or ()}
        now_s = self._clock()
        context = extract(lambda name: _text(sent.get(name)), now_s)
        remaining_s = servicer.time_remaining()
        if remaining_s is not None and self._switches.mode("deadline") is Mode.ON:
            context.deadline_s = now_s + remaining_s
        return context


class DeadlineInterceptor(UnaryInterceptor):
    """Start nothing whose time has passed, and cancel what runs into its deadline.

    Raises (to the interceptor outside):
        DeadlineExpired: DEADLINE_EXCEEDED.
    """

    def __init__(self, *, switches: Switches, clock: Clock = time.monotonic) -> None:
        super().__init__()
        self._switches = switches
        self._clock = clock

    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Serve one call no longer than its deadline."""
        context = current()
        if context is None or self._switches.mode("deadline") is not Mode.ON:
            return await inner(request, servicer)
        remaining_s = context.remaining_s(self._clock())
        if remaining_s is not None and remaining_s <= 0:
            raise self._expired(context, method, started=False)

        def on_time() -> None:
            """Say why before the work is cancelled."""
            context.cut = context.cut or Cut.DEADLINE

        cut = CutOff(remaining_s, on_time)
        try:
            return await inner(request, servicer)
        except asyncio.CancelledError:
            if cut.claim():
                raise self._expired(context, method, started=True) from None
            context.cut = cause_of_cancelling(context, self._clock())
            context.note("deadline", "cut", self._clock(), by=context.cut.value)
            raise
        finally:
            cut.close()

    def _expired(self, context: Context, method: str, *, started: bool) -> DeadlineExpired:
        now_s = self._clock()
        context.note("deadline", "cut" if started else "rejected", now_s, by=Cut.DEADLINE.value)
        spent_s = round(now_s - context.arrived_s, 3)
        return DeadlineExpired(
            Code.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
            f"{method} had no time left after {spent_s} s here",
            metadata={DECISION_KEY: decision_text("deadline", method, spent_s, None)},
            started=started,
        )


class LimiterInterceptor(UnaryInterceptor):
    """Refuse with UNAVAILABLE (RESOURCE_EXHAUSTED for a rate) what the policy does not admit.

    A Gate answers at once; a Queue may let the call wait a moment for a place. Who waits is ended
    by the policy (its longest wait, the call's deadline), or by gRPC, which cancels the handler of
    a caller who has left; either way nothing is held.

    Args:
        gate: The policy, e.g. a BbrLimiter, whose name is the switch it obeys; or a gate that has
            its switches, e.g. that of ``server_admission``; or a Queue, e.g. a WaitQueue.
        switches: Say whether it is on.
        scope: What decisions are reported under, e.g. ``video.2``.
        observer: Hears of every refusal.
        key_of: Says what a request's ``key`` is, by method and call, e.g. ``servicer.peer()``; None
            leaves it "".

    Attribute ``gate`` is the policy with its switch, for pages and resets.

    Raises (to the interceptor outside):
        Rejected: The policy refused.
        DeadlineExpired: The deadline passed while the call waited for a place.
    """

    def __init__(
        self,
        gate: Gate | Queue,
        *,
        switches: Switches,
        scope: str,
        clock: Clock = time.monotonic,
        observer: Observer = SILENT,
        key_of: Callable[[str, ServicerContext], str] | None = None,
    ) -> None:
        super().__init__()
        self.gate = at_the_door(gate, switches, scope, clock)
        self._scope = scope
        self._clock = clock
        self._observer = observer
        self._key_of = key_of

    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Serve one call if the policy admits it."""
        context = current()
        now_s = self._clock()
        gate = self.gate
        asked = _request_of(context, self._key_of(method, servicer) if self._key_of else "")
        if isinstance(gate, Waiting):
            permit = await gate.wait_decided(asked, context, now_s)
        else:
            permit = gate.admit(asked, now_s)
        if isinstance(permit, Rejection):
            note_rejection(permit, self._scope, context, self._clock(), observer=self._observer)
            raise to_error(permit, self._scope)
        note_shadow(permit, self._scope, context, now_s, observer=self._observer)
        outcome = Outcome.OK
        try:
            return await inner(request, servicer)
        except BaseException as error:
            cut = context.cut if context else None
            if cut is None and context and isinstance(error, asyncio.CancelledError):
                cut = cause_of_cancelling(context, self._clock())
            outcome = classify(Judge.LIMITER, error, cut=cut)
            raise
        finally:
            gate.settle(permit, outcome, self._clock())


def cause_of_cancelling(context: Context, now_s: float) -> Cut:
    """Tell why gRPC cancelled a call: at the deadline, or since its caller left before it."""
    if context.cut is not None:
        return context.cut
    return Cut.DEADLINE if is_spent(context.deadline_s, now_s + CLOCK_GRAIN_S) else Cut.CALLER


def _request_of(context: Context | None, key: str) -> Request:
    if context is None:
        return Request(key=key)
    return Request(1.0, context.criticality, context.tenant, key, context.deadline_s)


def _text(value: str | bytes | None) -> str | None:
    return value if isinstance(value, str) else None


async def _abort(servicer: ServicerContext, error: ServiceError) -> None:
    code, details, trailing = to_status(error)
    await servicer.abort(code, details, trailing)
