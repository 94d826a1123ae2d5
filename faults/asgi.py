"""Inject faults into an ASGI application.

Place it inside the deadline (a delay spends the request's budget) and around what it disturbs.
Health and metrics pass: a fault that made probes fail would show the probe, not the fault. An
``error`` is a ServiceError for the application's own error handling; ``abort`` needs a server that
offers the extension ``squall.abort`` (``kit.asgi_server``), and answers 502 elsewhere.
"""

import time
from collections.abc import Callable

from faults.act import REASON, Actor
from faults.injector import Injector
from resilience.asgi.types import HEALTH_PATHS, ASGIApp, Receive, Scope, Send
from resilience.context import current
from resilience.errors import Code, ServiceError

ABORT_EXTENSION = "squall.abort"
EXEMPT_PATHS = HEALTH_PATHS | {"/metrics"}


class FaultMiddleware:
    """Let the injector disturb each HTTP request.

    Args:
        app: What is disturbed.
        injector: Decides.
        clock: Monotonic seconds.
    """

    def __init__(
        self, app: ASGIApp, injector: Injector, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._injector = injector
        self._actor = Actor(injector)
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, with whatever is to go wrong with it."""
        if scope["type"] != "http" or scope["path"] in EXEMPT_PATHS:
            await self._app(scope, receive, send)
            return
        route = f"{scope['method']} {scope['path']}"
        actions = self._injector.decide(route, _tenant(), self._clock())
        if not actions:
            await self._app(scope, receive, send)
        elif await self._actor.act(actions):
            await _abort(scope)
        else:
            await self._actor.serve(actions, lambda: self._app(scope, receive, send))


async def _abort(scope: Scope) -> None:
    abort = scope.get("extensions", {}).get(ABORT_EXTENSION)
    if abort is None:
        raise ServiceError(Code.BAD_GATEWAY, REASON, "the connection was to be dropped")
    await abort()


def _tenant() -> str:
    context = current()
    return context.tenant if context is not None else ""
