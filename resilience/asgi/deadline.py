"""Deadline middleware: stop work that nobody waits for any longer.

At the deadline the work is cancelled and answered 504; when the client leaves it is cancelled and
counted as 499. Why it was cut is written into the Context first, so that policies below can tell
the two apart. Two switches, since they are two things: ``deadline`` is about the time,
``cancellation`` about the client.
"""

import asyncio
import time
from collections.abc import Callable

from resilience.asgi.disconnect import DisconnectWatch
from resilience.asgi.types import HEALTH_PATHS, ASGIApp, Message, Receive, Scope, Send
from resilience.context import Context, Cut, current
from resilience.cutoff import CutOff
from resilience.errors import Code, DeadlineExpired, ServiceError
from resilience.policy.contract import Mode
from resilience.switches import Switches

_ON = Mode.ON  # see Outcome


class DeadlineMiddleware:
    """Cancel at the deadline or at the client's leaving; needs ``ContextMiddleware`` outside.

    With the switch ``deadline`` not on no time ends the work; with ``cancellation`` not on a client
    who leaves doesn't, and its work goes on to the end.

    Raises (to the layer outside):
        DeadlineExpired: 504.
        ServiceError: 499, ``CLIENT_CLOSED``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        switches: Switches,
        clock: Callable[[], float] = time.monotonic,
        exempt: frozenset[str] = HEALTH_PATHS,
    ) -> None:
        self._app = app
        self._switches = switches
        self._clock = clock
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = current()
        if context is None or scope["type"] != "http" or scope["path"] in self._exempt:
            await self._app(scope, receive, send)
            return
        has_time = self._switches.mode("deadline") is _ON
        is_heard = self._switches.mode("cancellation") is _ON
        if has_time or is_heard:
            remaining_s = context.remaining_s(self._clock()) if has_time else None
            await self._guarded(context, remaining_s, is_heard, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _guarded(
        self,
        context: Context,
        remaining_s: float | None,
        is_heard: bool,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        is_complete = False

        def on_time() -> None:
            context.cut = context.cut or Cut.DEADLINE

        def on_disconnect() -> None:
            if not is_complete:
                context.cut = context.cut or Cut.CALLER
                cut.fire()

        async def observed(message: Message) -> None:
            nonlocal is_complete
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                is_complete = True  # what an app does after its answer is its own affair
                cut.disarm()
            await send(message)

        cut = CutOff(remaining_s, on_time)
        watch = DisconnectWatch(receive, on_disconnect) if is_heard else None
        try:
            await self._app(scope, watch.receive if watch else receive, observed)
        except asyncio.CancelledError:
            if not cut.claim():
                raise
            raise self._error(context) from None
        except Exception as error:
            if cut.fired:  # the work's last words on being cancelled
                raise self._error(context) from error
            raise
        finally:
            cut.close()
            if watch is not None:
                watch.stop()

    def _error(self, context: Context) -> ServiceError:
        now_s = self._clock()
        context.note("deadline", "cut", now_s, by=context.cut.value if context.cut else "")
        if context.cut is Cut.CALLER:
            return ServiceError(Code.CANCELLED, "CLIENT_CLOSED", "the client left")
        return DeadlineExpired(
            Code.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
            f"no answer within {now_s - context.arrived_s:.3f} s, and the time is up",
        )
