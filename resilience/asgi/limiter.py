"""Limiter middleware: ask a Gate before the work, tell it how the work ended."""

import time
from collections.abc import Callable

from resilience.asgi.types import HEALTH_PATHS, ASGIApp, Message, Receive, Scope, Send
from resilience.context import Context, Cut, current
from resilience.observer import SILENT, Observer
from resilience.outcome import Judge, classify
from resilience.policy.contract import Gate, Outcome, Rejection, Request
from resilience.policy.layer import switched
from resilience.refusal import note_rejection, note_shadow, to_error
from resilience.switches import Switches

_IGNORED, _JUDGE = Outcome.IGNORED, Judge.LIMITER  # see Outcome


class LimiterMiddleware:
    """Refuse with 503 (429 for a quota) what the gate does not admit.

    Args:
        app: The application inside.
        gate: The policy, e.g. a BbrLimiter, whose name is the switch it obeys; or a gate that has
            its switches, e.g. that of ``server_admission``.
        switches: Say whether it is on.
        scope_name: What decisions are reported under, e.g. ``gateway.1``.
        exempt: Paths that bypass it.
    """

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        *,
        switches: Switches,
        scope_name: str,
        clock: Callable[[], float] = time.monotonic,
        exempt: frozenset[str] = HEALTH_PATHS,
        observer: Observer = SILENT,
    ) -> None:
        self._app = app
        self.gate = switched(gate, switches.mode)
        self._scope_name = scope_name
        self._clock = clock
        self._exempt = exempt
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        context = current()
        now_s = self._clock()
        if context is None:
            request = Request()
        else:
            request = Request(1.0, context.criticality, context.tenant, "", context.deadline_s)
        permit = self.gate.admit(request, now_s)
        if isinstance(permit, Rejection):
            note_rejection(permit, self._scope_name, context, now_s, observer=self._observer)
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
            self.gate.settle(permit, outcome, self._clock())


def _cut(context: Context | None) -> Cut | None:
    return None if context is None else context.cut
