"""Status: a ServiceError as google.rpc.Status and back, with nothing lost over a hop.

Reason, metadata, push-back and whether work had started travel in ``grpc-status-details-bin``: the
reason and metadata as ErrorInfo, ``retry_after_s`` as RetryInfo, the rest as keys of the metadata.
A status without details was made by the transport, here or there; its details say which kind.
Servers that aren't ours may say when to come back in ``grpc-retry-pushback-ms``; where both are
there it counts, being said of this call and not of the error.

Source: googleapis google/rpc/error_details.proto; gRFC A6, "Pushback"; grpc_status (rpc_status.py),
whose ``from_call`` raises on a mismatch of code and details that a proxy may well produce.
"""

from collections.abc import Iterable
from typing import NamedTuple, cast

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from resilience.errors import (
    Code,
    ServiceError,
    UpstreamError,
    UpstreamReset,
    UpstreamStatus,
    UpstreamTimeout,
)
from resilience.pushback import GRPC_PUSHBACK_KEY, parse_grpc_pushback

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "squall"
STARTED_KEY = "started"  # present only when false
CODE_KEY = "code"  # present only when the gRPC code alone would lose it
UNREACHABLE = "UPSTREAM_UNREACHABLE"  # no connection: nothing was sent

# What gRPC core says when a call never left: src/core/client_channel, chttp2 connector.
_NEVER_SENT = (
    "failed to connect",
    "connection refused",
    "connections to all backends failing",
    "name resolution failure",
    "dns resolution failed",
    "no route to host",
)

_CODES = {
    grpc.StatusCode.CANCELLED: Code.CANCELLED,
    grpc.StatusCode.INVALID_ARGUMENT: Code.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE: Code.INVALID_ARGUMENT,
    grpc.StatusCode.DEADLINE_EXCEEDED: Code.DEADLINE_EXCEEDED,
    grpc.StatusCode.NOT_FOUND: Code.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: Code.ALREADY_EXISTS,
    grpc.StatusCode.ABORTED: Code.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED: Code.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED: Code.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Code.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION: Code.UNPROCESSABLE,
    grpc.StatusCode.UNIMPLEMENTED: Code.UNIMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: Code.UNAVAILABLE,
}


class WireStatus(NamedTuple):
    """A status as ``ServicerContext.abort`` takes it."""

    code: grpc.StatusCode
    details: str
    trailing: tuple[tuple[str, bytes], ...]


def to_status(error: ServiceError) -> WireStatus:
    """Write an error as a gRPC status; the cause stays here."""
    code = grpc.StatusCode[error.code.grpc_name]
    metadata = dict(error.metadata)
    if not error.started:
        metadata[STARTED_KEY] = "false"
    if _CODES.get(code) is not error.code:
        metadata[CODE_KEY] = error.code.name
    status = Status(code=code.value[0], message=error.message)
    status.details.add().Pack(ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return WireStatus(code, error.message, ((DETAILS_KEY, status.SerializeToString()),))


def from_rpc_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """Read what a call failed with.

    Returns:
        UpstreamStatus when the other side answered with an error of its own; UpstreamTimeout when
        our time for it ran out; UpstreamReset when the connection broke or was never made.
    """
    trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    read: UpstreamError | None = None
    pushback_s: float | None = None
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            read = _read_details(error.code(), value)
        elif key == GRPC_PUSHBACK_KEY:
            pushback_s = parse_grpc_pushback(value if isinstance(value, str) else "")
    if read is None:
        read = _from_transport(error.code(), error.details() or "")
    if pushback_s is not None:
        read.retry_after_s = pushback_s
    return read


def _read_details(code: grpc.StatusCode, value: bytes) -> UpstreamStatus | None:
    """Read details of ours or anyone's; None when there is no ErrorInfo in them."""
    info, retry_after_s = None, None
    try:
        status = Status.FromString(value)
        for detail in status.details:
            if detail.Is(ErrorInfo.DESCRIPTOR):
                info = ErrorInfo.FromString(detail.value)
            elif detail.Is(RetryInfo.DESCRIPTOR):
                delay = RetryInfo.FromString(detail.value).retry_delay
                retry_after_s = delay.ToNanoseconds() / 1e9
    except DecodeError:
        return None
    if info is None:
        return None
    metadata = dict(info.metadata)
    started = metadata.pop(STARTED_KEY, "true") != "false"
    return UpstreamStatus(
        _code(code, metadata.pop(CODE_KEY, "")),
        info.reason,
        status.message,
        metadata=metadata,
        retry_after_s=retry_after_s,
        started=started,
    )


def _code(code: grpc.StatusCode, name: str) -> Code:
    return Code[name] if name in Code.__members__ else _CODES.get(code, Code.INTERNAL)


def _from_transport(code: grpc.StatusCode, details: str) -> UpstreamError:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return UpstreamTimeout(
            Code.DEADLINE_EXCEEDED, "UPSTREAM_TIMEOUT", "the service did not answer in time"
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        if any(phrase in details.lower() for phrase in _NEVER_SENT):
            return UpstreamReset(
                Code.UNAVAILABLE, UNREACHABLE, "the service cannot be reached", started=False
            )
        return UpstreamReset(Code.BAD_GATEWAY, "UPSTREAM_RESET", "the connection broke")
    known = _CODES.get(code)
    if known is None:  # UNKNOWN, INTERNAL, DATA_LOSS: an answer that makes no sense
        return UpstreamStatus(Code.BAD_GATEWAY, "BAD_ANSWER", "the service answered with a fault")
    return UpstreamStatus(known, known.name, "the service answered with an error")
