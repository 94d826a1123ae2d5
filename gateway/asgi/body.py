"""Body limit: refuse a request body above 1 MiB, before or while it streams in.

Why while streaming: a chunked body says no length, and one that says a length may lie.
Source: nginx ``client_max_body_size`` (1 MiB by default).
Not handled: what a refused client still sends; the server reads and drops it.
"""

from resilience.asgi.types import ASGIApp, Message, Receive, Scope, Send
from resilience.errors import Code, ServiceError

MAX_BODY_BYTES = 1024 * 1024  # nginx's default
BODY_TOO_LARGE = "BODY_TOO_LARGE"
CONTENT_LENGTH_INVALID = "CONTENT_LENGTH_INVALID"


class BodyLimitMiddleware:
    """Count what a request brings.

    Args:
        app: The application behind.
        max_bytes: Largest body let through, >= 0.

    Raises (towards the application and the layers in front):
        ServiceError: ``BODY_TOO_LARGE`` (413), ``CONTENT_LENGTH_INVALID`` (400).
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._check_length(scope)
        if scope["method"] in ("GET", "HEAD"):  # nobody reads a body there
            await self._app(scope, receive, send)
            return
        seen_bytes = 0

        async def counted() -> Message:
            nonlocal seen_bytes
            message = await receive()
            seen_bytes += len(message.get("body", b""))
            if seen_bytes > self._max_bytes:
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _check_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name != b"content-length":
                continue
            if not value.isdigit():
                raise ServiceError(
                    Code.INVALID_ARGUMENT, CONTENT_LENGTH_INVALID, "content-length isn't a number"
                )
            if int(value) > self._max_bytes:
                raise self._too_large()

    def _too_large(self) -> ServiceError:
        return ServiceError(
            Code.PAYLOAD_TOO_LARGE,
            BODY_TOO_LARGE,
            f"the body is larger than {self._max_bytes} bytes",
        )
