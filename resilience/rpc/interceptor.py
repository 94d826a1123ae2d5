"""Client interceptor for grpc.aio: every unary call of a channel goes through a client pipeline.

    channel = grpc.aio.insecure_channel(address, interceptors=[PipelineInterceptor(pipeline)])
    video = await stub.GetVideo(request)  # deadline, retries, breaker and bulkhead are in it

Why: code that calls stubs stays as it is. The Context goes along as metadata, its deadline as
gRPC's own, and what a call fails with is raised as the ServiceError that the other side meant.
A channel has one target and balances by itself, so the pipeline's picker names one place; for a
picker of one's own (ejection, another endpoint on the second try) call ``ClientPipeline`` with
``rpc.client.unary`` and a stub for each endpoint.
Source: gRPC Python, grpc.aio.UnaryUnaryClientInterceptor, whose continuation may be called again.
Not handled: streams, which pass by as if there were no interceptor; a channel that is closed under
a call, which grpc.aio shows here as a cancellation.
"""

import time
from collections.abc import Callable
from typing import Any

import grpc.aio

from resilience.admission import Clock
from resilience.context import Context, current
from resilience.pipeline import ClientPipeline
from resilience.policy.contract import Request
from resilience.rpc.client import answered, outgoing_metadata


def nothing(method: str) -> bool:
    """Say of no method that sending it twice does no harm."""
    return False


class PipelineInterceptor(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    """Send the unary calls of one channel through one pipeline.

    Args:
        pipeline: Its picker has one place to go, e.g. ``SingleEndpoint``.
        idempotent: Says of a method (``/video.v1.VideoService/GetVideo``) whether sending it twice
            does no harm. By default of none: then only what has not started is tried again.
        clock: Monotonic seconds, the pipeline's own.

    Raises (to who awaits the call):
        ServiceError: What the pipeline raises.
    """

    def __init__(
        self,
        pipeline: ClientPipeline,
        *,
        idempotent: Callable[[str], bool] = nothing,
        clock: Clock = time.monotonic,
    ) -> None:
        self._pipeline = pipeline
        self._idempotent = idempotent
        self._clock = clock

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Send one call as often as the pipeline's plan allows; return its answer."""
        details, context = client_call_details, current()
        metadata = _joined(details.metadata, context)

        async def send(endpoint: str, timeout_s: float | None) -> Any:
            tried = grpc.aio.ClientCallDetails(
                details.method, timeout_s, metadata, details.credentials, details.wait_for_ready
            )
            return await answered(await continuation(tried, request))

        return await self._pipeline.call(
            send,
            _request_of(context, details.timeout, self._clock()),
            idempotent=self._idempotent(_name(details.method)),
        )


def _joined(own: Any, context: Context | None) -> grpc.aio.Metadata:
    """Put the Context behind what the caller sends by itself."""
    metadata = grpc.aio.Metadata(*(own or ()))
    for key, value in () if context is None else outgoing_metadata(context):
        metadata.add(key, value)
    return metadata


def _request_of(context: Context | None, timeout_s: float | None, now_s: float) -> Request:
    deadline_s = None if timeout_s is None else now_s + timeout_s
    if context is None:
        return Request(deadline_s=deadline_s)
    return Request(1.0, context.criticality, context.tenant, "", deadline_s)


def _name(method: str | bytes) -> str:
    return method.decode() if isinstance(method, bytes) else method
