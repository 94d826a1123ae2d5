"""Inject faults into a gRPC server.

Place it behind deadline and limiter, in front of the station. The standard health service passes.
An ``error`` is a ServiceError for the interceptor in front that turns errors into statuses;
``abort`` ends the stream with UNAVAILABLE and nothing of ours in it, which is what a client sees of
a reset connection (grpc.aio offers no way to send RST_STREAM itself).
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from faults.act import act
from faults.injector import Injector
from resilience.context import current

HEALTH_PREFIX = "/grpc.health.v1.Health/"

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class FaultInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Let the injector disturb each unary call.

    Args:
        injector: Decides.
        clock: Monotonic seconds.
    """

    def __init__(self, injector: Injector, clock: Callable[[], float] = time.monotonic) -> None:
        self._injector = injector
        self._clock = clock

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.unary_unary is None or method.startswith(HEALTH_PREFIX):
            return handler
        behaviour = handler.unary_unary

        async def disturbed(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            actions = self._injector.decide(method, _tenant(), self._clock())
            if actions and await act(actions):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
            return await behaviour(request, context)

        return grpc.unary_unary_rpc_method_handler(
            disturbed, handler.request_deserializer, handler.response_serializer
        )


def _tenant() -> str:
    context = current()
    return context.tenant if context is not None else ""
