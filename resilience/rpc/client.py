"""Client side of a gRPC hop: send the Context along, read errors back.

The deadline is not in the metadata: pass the attempt's ``timeout_s`` as ``timeout`` and gRPC sends
what remains as ``grpc-timeout``, which is its own.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import grpc.aio

from resilience.context import Context, current
from resilience.errors import Code, UpstreamReset
from resilience.propagation import inject
from resilience.rpc.status import from_rpc_error

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


def outgoing_metadata(context: Context) -> tuple[tuple[str, str], ...]:
    """Write request id, trace and baggage as call metadata."""
    return tuple(inject(context))


async def unary(
    method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, AnswerT]",
    request: RequestT,
    timeout_s: float | None = None,
) -> AnswerT:
    """Call a method of a stub with the current Context; what a ``ClientPipeline`` sends.

    Args:
        method: E.g. ``stub.GetVideo``.
        request: Its message.
        timeout_s: What remains; None means no deadline.

    Raises:
        ServiceError: The call failed; see ``from_rpc_error``.
    """
    context = current()
    metadata = None if context is None else outgoing_metadata(context)
    return await answered(method(request, timeout=timeout_s, metadata=metadata))


async def answered(call: Awaitable[AnswerT]) -> AnswerT:
    """Await a call's answer; what it fails with is read back as the error it was.

    Raises:
        ServiceError: See ``from_rpc_error``.
    """
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled this task: its channel was closed under the call, and gRPC says it so.
        raise UpstreamReset(
            Code.BAD_GATEWAY, "UPSTREAM_RESET", "the channel was closed before an answer came"
        ) from error
