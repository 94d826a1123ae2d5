"""The proxy's own answers: problem+json (RFC 9457), ready to be written."""

import msgspec

from resilience.errors import Code
from resilience.refusal import DECISION_HEADER, decision_text
from resilience.wire import NOT_STARTED, STARTED_HEADER

_DECISION_LINE = DECISION_HEADER.encode() + b": %b\r\n"
_NOT_STARTED_LINE = f"{STARTED_HEADER}: {NOT_STARTED}\r\n".encode()

RETRY_AFTER_S = 1  # who is away or full may be there again by then; none asks for less

STATUS_LINES = {
    code: f"HTTP/1.1 {code} {phrase}\r\n".encode()
    for code, phrase in (
        (101, "Switching Protocols"),
        (200, "OK"), (201, "Created"), (202, "Accepted"), (204, "No Content"),
        (206, "Partial Content"), (301, "Moved Permanently"), (302, "Found"), (303, "See Other"),
        (304, "Not Modified"), (307, "Temporary Redirect"), (308, "Permanent Redirect"),
        (400, "Bad Request"), (401, "Unauthorized"), (403, "Forbidden"), (404, "Not Found"),
        (405, "Method Not Allowed"), (406, "Not Acceptable"), (408, "Request Timeout"),
        (409, "Conflict"), (410, "Gone"), (411, "Length Required"), (412, "Precondition Failed"),
        (413, "Content Too Large"), (414, "URI Too Long"), (415, "Unsupported Media Type"),
        (416, "Range Not Satisfiable"), (417, "Expectation Failed"),
        (422, "Unprocessable Content"), (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"), (499, "Client Closed Request"),
        (500, "Internal Server Error"), (501, "Not Implemented"), (502, "Bad Gateway"),
        (503, "Service Unavailable"), (504, "Gateway Timeout"),
    )
}  # fmt: skip


def status_line(status: int) -> bytes:
    """Return the status line; an unknown status gets an empty phrase."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Problem(Exception):
    """Why the proxy answers itself.

    Args:
        status: HTTP status.
        reason: UPPER_SNAKE, for programs.
        message: What happened, the values, what to do; for people.
        retry_after_s: Whole seconds after which another try may pass; None when nobody can say.
        decision: Which policy refused, for ``x-squall-decision``; None when none did.
        started: Whether a backend may have begun; False is said, so that others may try again.
        closes: The connection's framing can't be trusted any more, so it ends after this answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after_s: int | None = None,
        closes: bool = False,
        decision: str | None = None,
        started: bool = True,
    ) -> None:
        super().__init__(message)
        self.started = started
        self.decision = decision
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.closes = closes

    def render(self, request_id: str, *, timing: bytes, keep_alive: bool, head: bool) -> bytes:
        """Return the whole answer; without its body for a HEAD request.

        ``timing`` is this hop's Server-Timing line.
        """
        title = STATUS_LINES[self.status][13:-2].decode()
        facts: dict[str, object] = {
            "type": "about:blank",
            "title": title,
            "status": self.status,
            "detail": self.message,
            "code": _CODE_NAMES.get(self.status, "UNKNOWN"),
            "reason": self.reason,
            "request_id": request_id,
        }
        if self.retry_after_s is not None:
            facts["retry_after_s"] = self.retry_after_s
        body = msgspec.json.encode(facts)
        lines = [
            STATUS_LINES[self.status],
            b"content-type: application/problem+json\r\n",
            b"content-length: %d\r\n" % len(body),
            b"x-request-id: %b\r\n" % request_id.encode(),
            timing,
            b"" if self.retry_after_s is None else b"retry-after: %d\r\n" % self.retry_after_s,
            b"" if self.decision is None else _DECISION_LINE % self.decision.encode(),
            b"" if self.started else _NOT_STARTED_LINE,
            b"" if keep_alive else b"connection: close\r\n",
            b"\r\n",
            b"" if head else body,
        ]
        return b"".join(lines)


class GrpcProblem(Problem):
    """A refusal that a gRPC client understands: 200, no body, the status in the head.

    Over HTTP/1.1 nobody speaks gRPC whole, but its clients' proxies and probes read this form
    (grpc:doc/PROTOCOL-HTTP2.md, "Trailers-Only").

    Args:
        grpc_status: gRPC's code (0..16).
        reason: UPPER_SNAKE, for programs.
        message: As for any Problem; printable ASCII without ``%``, so that it needs no encoding.
    """

    def __init__(self, grpc_status: int, reason: str, message: str) -> None:
        super().__init__(200, reason, message)
        self.grpc_status = grpc_status

    def render(self, request_id: str, *, timing: bytes, keep_alive: bool, head: bool) -> bytes:
        """Return the whole answer, which is a head alone."""
        lines = [
            STATUS_LINES[self.status],
            b"content-type: application/grpc\r\ncontent-length: 0\r\n",
            b"grpc-status: %d\r\ngrpc-message: %b\r\n" % (self.grpc_status, self.message.encode()),
            b"x-request-id: %b\r\n" % request_id.encode(),
            timing,
            b"" if keep_alive else b"connection: close\r\n",
            b"\r\n",
        ]
        return b"".join(lines)


_CODE_NAMES = {code.http_status: code.name for code in Code} | {431: "RESOURCE_EXHAUSTED"}


def bad_request(reason: str, message: str) -> Problem:
    """400: what was sent is not a request this proxy understands without doubt."""
    return Problem(400, reason, message, closes=True)


def head_too_large(limit_bytes: int) -> Problem:
    """431: a head, or trailers, that don't end within the limit."""
    message = f"the head is larger than {limit_bytes} bytes"
    return Problem(431, "HEAD_TOO_LARGE", message, closes=True)


def upgrade_not_implemented(*, websocket: bool) -> Problem:
    """501: the connection can't become what was asked for; ``websocket`` says if it could that."""
    passed = (
        "of all upgrades only websocket is passed on"
        if websocket
        else ("upgrades are not passed on here; for WebSocket set websocket: {enabled: true}")
    )
    return Problem(501, "UPGRADE_NOT_IMPLEMENTED", passed, closes=True)


def _not_now(reason: str, message: str, decision: str, *, started: bool = False) -> Problem:
    """503: nobody for it now; in a second somebody may be."""
    return Problem(
        503, reason, message, retry_after_s=RETRY_AFTER_S, decision=decision, started=started
    )


def too_many_tunnels(limit: int) -> Problem:
    """503: as many WebSockets as may be are open."""
    return _not_now(
        "TOO_MANY_TUNNELS",
        f"{limit} WebSockets are open, and no more may be; try again later",
        decision_text("websocket", "limit", limit, limit),
    )


def draining(instance: str) -> Problem:
    """503: no connection that lasts begins here any more."""
    return _not_now(
        "DRAINING",
        f"{instance} is being stopped; try again, another one answers",
        decision_text("drain", instance, None, None),
    )


def grpc_unimplemented() -> Problem:
    """gRPC's 12: this route is HTTP/1.1, and gRPC needs HTTP/2 the whole way."""
    return GrpcProblem(
        12,
        "GRPC_NOT_SPOKEN",
        "this route speaks HTTP/1.1; send gRPC through lb.l4, or straight to the service",
    )


def no_backend(service: str, usable: int, known: int, *, started: bool) -> Problem:
    """503: nobody to send it to; ``started``: nobody any more."""
    return _not_now(
        "NO_BACKEND",
        f"no {service} can be reached now ({usable} usable of {known} known); try again",
        decision_text("balancer", service, usable, known),
        started=started,
    )


def no_room(service: str, waiting: int) -> Problem:
    """503: each backend holds as much as it may, and the line for them is full."""
    return _not_now(
        "BACKENDS_FULL",
        f"every {service} is at its limit and {waiting} requests wait; try again",
        decision_text("limits", service, waiting, None),
    )


def deadline_exceeded(instance: str, budget_ms: float, *, started: bool) -> Problem:
    """504: the request's time ran out."""
    where = "while a backend worked on it" if started else "before it was sent to a backend"
    return Problem(
        504,
        "DEADLINE_EXCEEDED",
        f"the budget of {budget_ms:.0f} ms ran out {where}",
        decision=decision_text("deadline", instance, round(budget_ms), None),
        started=started,
    )


def upstream_reset(endpoint: str) -> Problem:
    """502: the connection broke before an answer came."""
    return Problem(502, "UPSTREAM_RESET", f"{endpoint} closed the connection before it answered")


def bad_answer(endpoint: str) -> Problem:
    """502: what came back was not HTTP."""
    return Problem(502, "UPSTREAM_BAD_ANSWER", f"{endpoint} answered with what is not valid HTTP")
