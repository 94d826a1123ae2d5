"""What follows from a request's head alone: refuse what is in doubt, prepare what is passed on.

Why apart from the request: on a kept connection most heads are the last one again, but for their
target and their ids. So what a head means is found out once and held, and the next head is only
compared (``Outline.is_of``).
The parser (llhttp, strict) refuses what no request may contain; here is what only a proxy must
refuse, because two readers of the same bytes could see two requests in them.
Source: RFC 9112 (framing: section 6; Host: 3.2), RFC 9110 7.6 (what a proxy drops and adds).
"""

import contextlib

from lb.l7.errors import (
    Problem,
    bad_request,
    grpc_unimplemented,
    upgrade_not_implemented,
)
from lb.l7.forwarded import Hop
from lb.l7.headers import (
    GRPC_TYPE,
    HOST,
    REQUEST_ID,
    REQUEST_KINDS,
    Headers,
    Kind,
    connection_tokens,
    without_nominated,
)
from lb.l7.settings import MAX_HEADERS
from lb.l7.tunnel import WebSocketOptions
from resilience.wire import TraceParent, parse_deadline, parse_traceparent

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})


class Outline:
    """What a head means, whatever its target and whenever it came.

    ``peer`` is the client's address. ``lines`` is what a backend gets of it, but for the ids and
    the deadline. ``request_id`` and ``trace`` are what the client gave, None where it gave nothing
    that can be read.

    Args:
        method: Upper case, one of ``METHODS``.
        is_http11: Or 1.0.
        headers: As they came.
        keep_alive: What the parser makes of them.
    """

    __slots__ = (
        "expects_continue",
        "has_body",
        "headers",
        "host",
        "is_chunked",
        "is_head",
        "is_http11",
        "keep_alive",
        "length",
        "lines",
        "method",
        "peer",
        "problem",
        "request_id",
        "timeout_s",
        "trace",
        "upgrades",
    )

    host: bytes | None
    lines: bytes

    def __init__(
        self, method: bytes, headers: Headers, *, is_http11: bool, keep_alive: bool
    ) -> None:
        self.method = method
        self.headers = headers
        self.peer = b""
        self.is_http11 = is_http11
        self.keep_alive = keep_alive
        self.is_head = method == b"HEAD"
        self.is_chunked = False
        self.has_body = False
        self.length = 0  # of its body, where the head says it
        self.upgrades = False
        self.expects_continue = False
        self.request_id: str | None = None
        self.trace: TraceParent | None = None
        self.timeout_s: float | None = None
        self.problem: Problem | None = None

    def is_of(self, method: bytes, version: str, headers: Headers) -> bool:
        """Whether another head says the same; the same client, or it may be forwarded otherwise."""
        return (
            headers == self.headers
            and method == self.method
            and (version == "1.1") is self.is_http11
            and self.problem is None
        )


def read_outline(
    method: bytes,
    version: str,
    headers: Headers,
    *,
    keep_alive: bool,
    peer: bytes,
    hop: Hop,
    websocket: WebSocketOptions,
    max_headers: int = MAX_HEADERS,
) -> Outline:
    """Find out what a head means; O(headers).

    Args:
        method: As the parser has it.
        version: ``1.1`` or ``1.0``.
        headers: In their order.
        keep_alive: What the parser makes of them.
        peer: The client's address.
        hop: What of forwarded headers is believed.
        websocket: Whether an upgrade to it is passed on.
        max_headers: How many there may be.

    Raises:
        Problem: 400, 431 or 501; the connection closes after it.
    """
    _check_line(method, version, len(headers), max_headers)
    parts: list[bytes] = []
    special: dict[Kind, bytes] = {}
    kinds = REQUEST_KINDS
    for name, value in headers:
        kind = kinds.get(name.lower())
        if kind is None:
            parts += (name, b": ", value, b"\r\n")
        elif kind in special:
            special[kind] = _join(kind, special[kind], value)
        else:
            special[kind] = value
    if Kind.CONNECTION in special:
        parts = without_nominated(special[Kind.CONNECTION], parts)
    found = Outline(method, headers, is_http11=version == "1.1", keep_alive=keep_alive)
    found.peer = peer
    found.host = special.get(Kind.HOST)
    _read_framing(found, special, parts)
    if Kind.UPGRADE in special:
        _read_upgrade(found, special, parts, websocket)
    expected = special.get(Kind.EXPECT, b"").lower()
    found.expects_continue = expected == b"100-continue" and found.is_http11
    _read_ids(found, special)
    try:
        found.timeout_s = _read_timeout(special)
    except ValueError as error:
        found.problem = Problem(400, "INVALID_DEADLINE", str(error))
    content_type = special.get(Kind.CONTENT_TYPE)
    if content_type is not None:
        parts += (b"content-type: ", content_type, b"\r\n")
        if GRPC_TYPE.match(content_type):
            found.problem = grpc_unimplemented()
    _forward(special, peer, parts, hop)
    found.lines = b"".join(parts)
    return found


def origin_form(target: bytes, method: bytes, host: bytes | None) -> bytes:
    """Return the target as a backend expects it (RFC 9112 3.2).

    Raises:
        Problem: 400 for what is no path, and for a target that names another host than ``host``.
    """
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    if not target[:7].lower() == b"http://":
        raise bad_request("BAD_TARGET", "the request target must be a path")
    authority, slash, path = target[7:].partition(b"/")
    if authority.lower() != (host or b"").lower():
        raise bad_request("HOST_CONFLICT", "the request target names another host than Host does")
    return slash + path if slash else b"/"


def _check_line(method: bytes, version: str, headers: int, max_headers: int) -> None:
    if version not in ("1.1", "1.0"):
        raise bad_request("HTTP_VERSION", f"HTTP/{version} is not spoken here; use HTTP/1.1")
    if headers > max_headers:
        raise Problem(
            431, "TOO_MANY_HEADERS", f"{headers} headers; at most {max_headers}", closes=True
        )
    if method not in METHODS:
        name = method.decode("latin-1")
        raise Problem(501, "METHOD_NOT_IMPLEMENTED", f"{name} is not passed on", closes=True)


def _join(kind: Kind, first: bytes, second: bytes) -> bytes:
    """Combine a repeated header where a list is allowed; refuse it where it isn't."""
    if kind in (Kind.HOST, Kind.TRANSFER_ENCODING, Kind.CONTENT_LENGTH):
        raise bad_request("DUPLICATE_HEADER", f"more than one {kind.name.lower()} header")
    return first + b", " + second


def _read_ids(found: Outline, special: dict[Kind, bytes]) -> None:
    """Take the ids that came, where they can be read; else as if they were not there (W3C 4.3)."""
    given = special.get(Kind.REQUEST_ID)
    if given is not None and REQUEST_ID.fullmatch(given):
        found.request_id = given.decode()
    given = special.get(Kind.TRACEPARENT)
    if given is not None:
        with contextlib.suppress(ValueError):
            found.trace = parse_traceparent(given.decode("latin-1"))


def _read_framing(found: Outline, special: dict[Kind, bytes], parts: list[bytes]) -> None:
    """Decide how the body ends. The parser has refused bad digits and length with chunks."""
    host = special.get(Kind.HOST)
    if host is None and found.is_http11:
        raise bad_request("HOST_MISSING", "HTTP/1.1 needs one Host header")
    if host is not None and not HOST.fullmatch(host):
        raise bad_request("BAD_HOST", "the Host header is not a host and a port")
    coding = special.get(Kind.TRANSFER_ENCODING)
    length = special.get(Kind.CONTENT_LENGTH)
    if coding is not None:
        if coding.strip().lower() != b"chunked" or not found.is_http11 or length is not None:
            raise bad_request("TRANSFER_ENCODING", "only `chunked`, alone and in HTTP/1.1")
        found.is_chunked = found.has_body = True
        parts.append(b"transfer-encoding: chunked\r\n")
    elif length is not None:
        length = length.strip()
        found.has_body = length.strip(b"0") != b""
        found.length = int(length)
        parts += (b"content-length: ", length, b"\r\n")


def _read_upgrade(
    found: Outline, special: dict[Kind, bytes], parts: list[bytes], websocket: WebSocketOptions
) -> None:
    """Let a WebSocket pass where the file says so; every other upgrade is refused.

    Without the token in Connection the header means nothing (RFC 9110 7.8) and is dropped.
    """
    if b"upgrade" not in connection_tokens(special.get(Kind.CONNECTION, b"")):
        return
    asked = special[Kind.UPGRADE].strip().lower()
    if not websocket.enabled or asked != b"websocket":
        raise upgrade_not_implemented(websocket=websocket.enabled)
    if found.method != b"GET" or not found.is_http11:
        raise bad_request("BAD_UPGRADE", "a WebSocket begins with GET and HTTP/1.1")
    if Kind.CONTENT_LENGTH in special or Kind.TRANSFER_ENCODING in special:
        raise bad_request("BAD_UPGRADE", "a request that becomes a WebSocket has no body")
    found.upgrades = True
    found.keep_alive = False  # what comes behind it is no request
    parts.append(b"connection: upgrade\r\nupgrade: websocket\r\n")


def _read_timeout(special: dict[Kind, bytes]) -> float | None:
    """Return the smaller of the two deadline headers in seconds."""
    timeout_ms = special.get(Kind.EXPECTED_TIMEOUT)
    grpc_timeout = special.get(Kind.GRPC_TIMEOUT)
    if timeout_ms is None and grpc_timeout is None:
        return None
    return parse_deadline(
        None if timeout_ms is None else timeout_ms.decode("latin-1"),
        None if grpc_timeout is None else grpc_timeout.decode("latin-1"),
    )


def _forward(special: dict[Kind, bytes], peer: bytes, parts: list[bytes], hop: Hop) -> None:
    host = special.get(Kind.HOST)
    if host is not None:
        parts += (b"host: ", host, b"\r\n")
    else:
        parts.append(b"host: squall\r\n")  # HTTP/1.0 without one; the backend gets HTTP/1.1
    parts.append(hop.render(special, peer))
