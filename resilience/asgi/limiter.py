"""Limiter middleware: ask a policy before the work, tell it how the work ended.

A Gate answers at once; a Queue may let the request wait a moment for a place. Who waits is ended by
the policy (its longest wait, the request's deadline) or by ``DeadlineMiddleware`` outside, which
hears the client leave; either way nothing is held.
Not handled: WebSockets, which pass; costs other than 1.
"""

import time
from collections.abc import Callable

from resilience.asgi.types import HEALTH_PATHS, ASGIApp, Message, Receive, Scope, Send
from resilience.context import Context, Cut, current
from resilience.observer import SILENT, Observer
from resilience.outcome import Judge, classify
from resilience.policy.contract import Gate, Outcome, Queue, Rejection, Request
from resilience.refusal import note_rejection, note_shadow, to_error
from resilience.switches import Switches
from resilience.waiting import Waiting, at_the_door

_IGNORED, _JUDGE = Outcome.IGNORED, Judge.LIMITER  # see Outcome


class LimiterMiddleware:
    """Refuse with 503 (429 for a rate or a quota) what the policy does not admit.

    Args:
        app: The application inside.
        gate: The policy, e.g. a BbrLimiter, whose name is the switch it obeys; or a gate that has
            its switches, e.g. that of ``server_admission``; or a Queue, e.g. a WaitQueue.
        switches: Say whether it is on.
        scope_name: What decisions are reported under, e.g. ``gateway.1``.
        exempt: Paths that bypass it.
        key_of: Says what a request's ``key`` is, e.g. the client's address; None leaves it "".

    Attribute ``gate`` is the policy with its switch, for pages and resets.
    """

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate | Queue,
        *,
        switches: Switches,
        scope_name: str,
        clock: Callable[[], float] = time.monotonic,
        exempt: frozenset[str] = HEALTH_PATHS,
        observer: Observer = SILENT,
        key_of: Callable[[Scope], str] | None = None,
    ) -> None:
        self._app = app
        self.gate = at_the_door(gate, switches, scope_name, clock)
        self._scope_name = scope_name
        self._clock = clock
        self._exempt = exempt
        self._observer = observer
        self._key_of = key_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        context = current()
        now_s = self._clock()
        gate = self.gate
        request = self._request(scope, context)
        if isinstance(gate, Waiting):
            permit = await gate.wait_decided(request, context, now_s)
        else:
            permit = gate.admit(request, now_s)
        if isinstance(permit, Rejection):
            note_rejection(
                permit, self._scope_name, context, self._clock(), observer=self._observer
            )
            raise to_error(permit, self._scope_name)
        note_shadow(permit, self._scope_name, context, now_s, observer=self._observer)
        status: int | None = None

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        outcome = _IGNORED
        try:
            await self._app(scope, receive, observed)
            outcome = classify(_JUDGE, status=status, cut=_cut(context))
        except BaseException as error:
            outcome = classify(_JUDGE, error, cut=_cut(context))
            raise
        finally:
            gate.settle(permit, outcome, self._clock())

    def _request(self, scope: Scope, context: Context | None) -> Request:
        key = "" if self._key_of is None else self._key_of(scope)
        if context is None:
            return Request(key=key)
        return Request(1.0, context.criticality, context.tenant, key, context.deadline_s)


def _cut(context: Context | None) -> Cut | None:
    return None if context is None else context.cut
