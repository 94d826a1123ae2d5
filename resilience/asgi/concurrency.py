"""Concurrency middleware: a cap on what a process serves at once, with a room to wait in.

Every real server has one, known or not: threads, file handles, memory. A slot is held from
admission to the end of the answer; who finds none waits in order of arrival, until the request's
deadline (504) or the client's leaving (499). A full room refuses at once (503).
"""

import asyncio
import time
from collections.abc import Callable

from resilience.admission import Admission
from resilience.asgi.disconnect import DisconnectWatch
from resilience.asgi.types import HEALTH_PATHS, ASGIApp, Receive, Scope, Send
from resilience.context import Context, Cut, current
from resilience.cutoff import CutOff
from resilience.errors import Code, ServiceError
from resilience.observer import SILENT, Observer
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Outcome, Permit, Rejection, Request, Ticket
from resilience.refusal import note_rejection, to_error

CAP = 256  # slots; the gateway's default
MAX_WAITING = 1024  # Envoy's max_pending_requests
POLICY = "concurrency"


class ConcurrencyMiddleware:
    """Hold a slot for each request.

    Args:
        app: The application inside.
        cap: Asked at each request, so that it can be moved live; at least 1 is taken.
        max_waiting: Room to wait in.
        scope_name: What decisions are reported under, e.g. ``gateway.1``.
        exempt: Paths that bypass it.

    Attribute ``queue`` is the policy, for pages and resets.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cap: Callable[[], float] = lambda: CAP,
        max_waiting: int = MAX_WAITING,
        scope_name: str,
        clock: Callable[[], float] = time.monotonic,
        exempt: frozenset[str] = HEALTH_PATHS,
        observer: Observer = SILENT,
    ) -> None:
        self._app = app
        self._cap = cap
        self._scope_name = scope_name
        self._clock = clock
        self._exempt = exempt
        self._observer = observer
        self.queue = Bulkhead(max(1, int(cap())), max_waiting, name=POLICY)
        self._admission = Admission(self.queue, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        self._follow_cap()
        context = current()
        request = Request(deadline_s=context.deadline_s if context else None)
        decision = self._admission.acquire_nowait(request)
        if isinstance(decision, Ticket):
            decision, receive = await self._wait(decision, context, receive)
        if isinstance(decision, Rejection):
            note_rejection(
                decision, self._scope_name, context, self._clock(), observer=self._observer
            )
            raise to_error(decision, self._scope_name)
        try:
            await self._app(scope, receive, send)
        finally:
            self._admission.release(decision, Outcome.OK)  # it learns nothing from how it ended

    def _follow_cap(self) -> None:
        cap = max(1, int(self._cap()))
        if cap != self.queue.limit:
            self._admission.apply(self.queue.resize(cap, self._clock()))

    async def _wait(
        self, ticket: Ticket, context: Context | None, receive: Receive
    ) -> tuple[Permit | Rejection, Receive]:
        """Wait for a slot; a client who leaves meanwhile gives the wait up."""
        start_s = self._clock()
        cut = CutOff(None)
        watch = DisconnectWatch(receive, cut.fire)
        try:
            decision = await self._admission.wait_granted(ticket)
        except asyncio.CancelledError:
            if not cut.claim():
                raise
            if context is not None:
                context.cut = Cut.CALLER
                context.note(POLICY, "left", self._clock(), scope=self._scope_name)
            raise ServiceError(
                Code.CANCELLED, "CLIENT_CLOSED", "the client left", started=False
            ) from None
        finally:
            cut.close()
            watch.stop()
        if context is not None:
            now_s = self._clock()
            waited_ms = round((now_s - start_s) * 1000, 3)
            context.note(POLICY, "waited", now_s, scope=self._scope_name, ms=waited_ms)
        return decision, watch.receive
