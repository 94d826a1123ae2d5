"""Inject faults into a gRPC server.

Place it behind deadline and limiter, in front of the station. The standard health service passes.
An ``error`` is a ServiceError for the interceptor in front that turns errors into statuses;
``abort`` ends the stream with UNAVAILABLE and nothing of ours in it, which is what a client sees of
a reset connection (grpc.aio offers no way to send RST_STREAM itself).
"""

import time
from collections.abc import Callable
from typing import Any

import grpc

from faults.act import Actor
from faults.injector import Injector
from resilience.context import current
from resilience.rpc.wrap import ServicerContext, Unary, UnaryInterceptor


class FaultInterceptor(UnaryInterceptor):
    """Let the injector disturb each unary call.

    Args:
        injector: Decides.
        clock: Monotonic seconds.
    """

    def __init__(self, injector: Injector, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._injector = injector
        self._actor = Actor(injector)
        self._clock = clock

    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Disturb the call, then serve it unless that ended it."""
        context = current()
        tenant = context.tenant if context is not None else ""
        actions = self._injector.decide(method, tenant, self._clock())
        if not actions:
            return await inner(request, servicer)
        if await self._actor.act(actions):
            await servicer.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return await self._actor.serve(actions, lambda: inner(request, servicer))
