"""Problem: show a ServiceError as RFC 9457 problem+json, and catch those that an app raises."""

import json
import logging
from http import HTTPStatus

from resilience.asgi.types import ASGIApp, Message, Receive, Scope, Send
from resilience.context import REQUEST_ID_HEADER, current
from resilience.errors import Code, ServiceError, UpstreamError
from resilience.refusal import DECISION_HEADER, DECISION_KEY
from resilience.wire import NOT_STARTED, RETRY_AFTER_HEADER, STARTED_HEADER, format_retry_after

MEDIA_TYPE = b"application/problem+json"
CLIENT_CLOSED_TITLE = "Client Closed Request"  # 499 is nginx's, and no title is registered

Headers = list[tuple[bytes, bytes]]

_log = logging.getLogger("resilience.asgi")


def problem(error: ServiceError) -> tuple[int, Headers, bytes]:
    """Render an error: status, headers, body. The cause never shows."""
    status = error.code.http_status
    context = current()
    body: dict[str, object] = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": error.message,
        "reason": error.reason,
    }
    if context is not None:
        body["request_id"] = context.request_id
    shown = {key: value for key, value in error.metadata.items() if key != DECISION_KEY}
    if shown:
        body["metadata"] = shown
    content = json.dumps(body, ensure_ascii=False).encode()
    headers = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(content))]
    if error.retry_after_s is not None and error.retry_after_s >= 0:  # below: "don't come back"
        text = format_retry_after(error.retry_after_s)
        headers.append((RETRY_AFTER_HEADER.encode(), text.encode()))
    # Of what a call below said nothing: the hop above would try again what was tried here already.
    if not error.started and not isinstance(error, UpstreamError):
        headers.append((STARTED_HEADER.encode(), NOT_STARTED.encode()))
    if DECISION_KEY in error.metadata:
        headers.append((DECISION_HEADER.encode(), _header_value(error.metadata[DECISION_KEY])))
    return status, headers, content


async def send_problem(send: Send, error: ServiceError) -> None:
    """Answer with an error; a client that is gone is not told."""
    status, headers, body = problem(error)
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    except OSError:
        if status != Code.CANCELLED.http_status:
            raise


def internal_error(error: Exception) -> ServiceError:
    """Log a bug with its cause, and make the error that may be shown."""
    context = current()
    request_id = context.request_id if context else ""
    _log.error("unhandled error, %s %s", REQUEST_ID_HEADER, request_id, exc_info=error)
    return ServiceError(Code.INTERNAL, "INTERNAL", "an error of ours; the log has the cause")


class ProblemMiddleware:
    """Turn errors that an app raises into answers, as long as none has begun.

    ``ContextMiddleware`` does the same; this one serves where there is none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def observed(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as error:
            if has_begun:
                raise
            shown = error if isinstance(error, ServiceError) else internal_error(error)
            await send_problem(send, shown)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return CLIENT_CLOSED_TITLE


def _header_value(text: str) -> bytes:
    """Keep a header one line of ASCII, whatever a hop below has written."""
    return "".join(char if " " <= char <= "~" else "?" for char in text).encode()
