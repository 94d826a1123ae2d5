"""The station as a gRPC interceptor: the innermost, right in front of the handler.

The work of a handler (a look-up in the store) comes after its station time, so a request that is dropped
or cancelled while it waits has cost the store nothing.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from kit.station import Station
from resilience.context import current

HEALTH_PREFIX = "/grpc.health.v1.Health/"

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class StationInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Hold each unary call in the station until it is served.

    Args:
        station: The process's.
    """

    def __init__(self, station: Station) -> None:
        self._station = station

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        if (
            handler is None
            or handler.unary_unary is None
            or handler_call_details.method.startswith(HEALTH_PREFIX)
        ):
            return handler
        behaviour = handler.unary_unary

        async def held(request: Any, call: grpc.aio.ServicerContext[Any, Any]) -> Any:
            context = current()
            arrived_s = time.monotonic()
            await self._station.serve(context.deadline_s if context else None, arrived_s)
            if context is not None:
                now_s = time.monotonic()
                context.note("station", "served", now_s, ms=round((now_s - arrived_s) * 1000.0, 2))
            return await behaviour(request, call)

        return grpc.unary_unary_rpc_method_handler(
            held, handler.request_deserializer, handler.response_serializer
        )
