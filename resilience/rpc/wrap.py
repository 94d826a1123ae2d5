"""Wrap unary handlers of a gRPC server: what the three interceptors have in common.

gRPC asks its interceptors for the handler anew on every call. The wrapped handler depends on the
method alone, so it is made once and kept; and the health service is left as it is, since
overload must never look like sickness.
"""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio

HEALTH_PREFIX = "/grpc.health.v1.Health/"

ServicerContext: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary: TypeAlias = Callable[[Any, ServicerContext], Awaitable[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Details: TypeAlias = grpc.HandlerCallDetails


class UnaryInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """A server interceptor around unary handlers; streams and health pass by.

    Subclasses say in ``handle`` what happens around one call.
    """

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Callable[[Details], Awaitable[Handler]], handler_call_details: Details
    ) -> Handler:
        """Return the wrapped handler of a method; gRPC calls this on every call."""
        method = handler_call_details.method
        kept = self._wrapped.get(method)
        if kept is not None:
            return kept
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None or method.startswith(HEALTH_PREFIX):
            return handler
        inner = cast(Unary, handler.unary_unary)

        async def wrapped(request: Any, servicer: ServicerContext) -> Any:
            """Serve one call."""
            return await self.handle(method, inner, request, servicer)

        self._wrapped[method] = grpc.unary_unary_rpc_method_handler(
            wrapped, handler.request_deserializer, handler.response_serializer
        )
        return self._wrapped[method]

    @abstractmethod
    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Serve one call; ``inner`` is the handler or the next interceptor."""
