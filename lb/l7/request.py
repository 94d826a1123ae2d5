"""Read one request head: refuse what is in doubt, and prepare what is passed on.

The parser (llhttp, strict) refuses what no request may contain; here is what only a proxy must
refuse, because two readers of the same bytes could see two requests in them.
Source: RFC 9112 (framing: section 6; Host: 3.2), RFC 9110 7.6 (what a proxy drops and adds).
"""

from lb.l7.errors import (
    Problem,
    bad_request,
    grpc_unimplemented,
    too_many_tunnels,
    upgrade_not_implemented,
)
from lb.l7.forwarded import PLAIN_HOP, Hop
from lb.l7.headers import (
    GRPC_TYPE,
    HOST,
    REQUEST_ID,
    REQUEST_KINDS,
    Headers,
    Ids,
    Kind,
    connection_tokens,
    without_nominated,
)
from lb.l7.settings import MAX_HEADERS
from lb.l7.tunnel import Tunnels
from lb.policy.attempts import SAFE_METHODS
from resilience.wire import format_traceparent, parse_deadline, parse_traceparent

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})


class RequestHead:
    """What the proxy knows of a request once its head is complete.

    ``prefix`` is the head as a backend gets it, up to the deadline header, which changes with each
    attempt. ``timeout_s`` is what the caller gave, None when nothing. ``problem`` is why a request
    whose framing is sound gets no further than here.
    """

    __slots__ = (
        "arrived_s",
        "expects_continue",
        "has_body",
        "is_chunked",
        "is_head",
        "is_http11",
        "is_safe",
        "keep_alive",
        "method",
        "prefix",
        "problem",
        "request_id",
        "target",
        "timeout_s",
        "trace_id",
        "upgrades",
    )

    method: bytes
    target: bytes
    prefix: bytes

    def __init__(self, arrived_s: float, request_id: str, trace_id: str) -> None:
        self.arrived_s = arrived_s
        self.request_id = request_id
        self.trace_id = trace_id
        self.timeout_s: float | None = None
        self.problem: Problem | None = None
        self.is_http11 = True
        self.is_chunked = False
        self.has_body = False
        self.expects_continue = False
        self.keep_alive = True
        self.is_head = False
        self.is_safe = False
        self.upgrades = False


class HeadReader:
    """Turn parsed lines into a RequestHead, one at a time; O(headers).

    Args:
        ids: Makes the ids that a request came without.
    """

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.tunnels = Tunnels()

    def read(
        self,
        method: bytes,
        target: bytes,
        version: str,
        headers: Headers,
        *,
        peer: bytes,
        keep_alive: bool,
        arrived_s: float,
        hop: Hop = PLAIN_HOP,
    ) -> RequestHead:
        """Check and prepare; ``hop`` says what of its forwarded headers is believed.

        Raises:
            Problem: 400, 431 or 501; the connection closes after it.
        """
        _check_line(method, target, version, len(headers))
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
        head = self._identify(special, arrived_s, parts)
        head.method = method
        head.is_head = method == b"HEAD"
        head.is_http11 = version == "1.1"
        head.keep_alive = keep_alive
        head.target = _origin_form(target, method, special.get(Kind.HOST))
        _read_framing(head, special, parts)
        if Kind.UPGRADE in special:
            _read_upgrade(head, special, parts, self.tunnels)
        expected = special.get(Kind.EXPECT, b"").lower()
        head.expects_continue = expected == b"100-continue" and head.is_http11
        head.is_safe = method in SAFE_METHODS and not (head.has_body or head.upgrades)
        try:
            head.timeout_s = _read_timeout(special)
        except ValueError as error:
            head.problem = Problem(400, "INVALID_DEADLINE", str(error))
        if head.upgrades and self.tunnels.is_full:
            head.problem = too_many_tunnels(self.tunnels.options.limit)
        content_type = special.get(Kind.CONTENT_TYPE)
        if content_type is not None:
            parts += (b"content-type: ", content_type, b"\r\n")
            if GRPC_TYPE.match(content_type):
                head.problem = grpc_unimplemented()
        _forward(special, peer, head.is_http11, parts, hop)
        head.prefix = b"%b %b HTTP/1.1\r\n%b" % (method, head.target, b"".join(parts))
        return head

    def _identify(
        self, special: dict[Kind, bytes], arrived_s: float, parts: list[bytes]
    ) -> RequestHead:
        given = special.get(Kind.REQUEST_ID)
        if given is not None and REQUEST_ID.fullmatch(given):
            request_id = given.decode()
        else:
            request_id = self.ids.request_id()
        trace_id, sampled = self._trace(special.get(Kind.TRACEPARENT))
        trace = format_traceparent(trace_id, self.ids.span_id(), sampled=sampled)
        parts += (
            b"x-request-id: ", request_id.encode(), b"\r\ntraceparent: ", trace.encode(), b"\r\n",
        )  # fmt: skip
        return RequestHead(arrived_s, request_id, trace_id)

    def _trace(self, given: bytes | None) -> tuple[str, bool]:
        if given is not None:
            try:
                trace = parse_traceparent(given.decode("latin-1"))
            except ValueError:
                pass  # W3C 4.3: what can't be read is as if it were not there
            else:
                return trace.trace_id, trace.sampled
        return self.ids.trace_id(), True


def _check_line(method: bytes, target: bytes, version: str, headers: int) -> None:
    if version not in ("1.1", "1.0"):
        raise bad_request("HTTP_VERSION", f"HTTP/{version} is not spoken here; use HTTP/1.1")
    if headers > MAX_HEADERS:
        raise Problem(
            431, "TOO_MANY_HEADERS", f"{headers} headers; at most {MAX_HEADERS}", closes=True
        )
    if method not in METHODS:
        name = method.decode("latin-1")
        raise Problem(501, "METHOD_NOT_IMPLEMENTED", f"{name} is not passed on", closes=True)


def _join(kind: Kind, first: bytes, second: bytes) -> bytes:
    """Combine a repeated header where a list is allowed; refuse it where it isn't."""
    if kind in (Kind.HOST, Kind.TRANSFER_ENCODING, Kind.CONTENT_LENGTH):
        raise bad_request("DUPLICATE_HEADER", f"more than one {kind.name.lower()} header")
    return first + b", " + second


def _origin_form(target: bytes, method: bytes, host: bytes | None) -> bytes:
    """Return the target as a backend expects it (RFC 9112 3.2)."""
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    if not target[:7].lower() == b"http://":
        raise bad_request("BAD_TARGET", "the request target must be a path")
    authority, slash, path = target[7:].partition(b"/")
    if authority.lower() != (host or b"").lower():
        raise bad_request("HOST_CONFLICT", "the request target names another host than Host does")
    return slash + path if slash else b"/"


def _read_framing(head: RequestHead, special: dict[Kind, bytes], parts: list[bytes]) -> None:
    """Decide how the body ends. The parser has refused bad digits and length with chunks."""
    host = special.get(Kind.HOST)
    if host is None and head.is_http11:
        raise bad_request("HOST_MISSING", "HTTP/1.1 needs one Host header")
    if host is not None and not HOST.fullmatch(host):
        raise bad_request("BAD_HOST", "the Host header is not a host and a port")
    coding = special.get(Kind.TRANSFER_ENCODING)
    length = special.get(Kind.CONTENT_LENGTH)
    if coding is not None:
        if coding.strip().lower() != b"chunked" or not head.is_http11 or length is not None:
            raise bad_request("TRANSFER_ENCODING", "only `chunked`, alone and in HTTP/1.1")
        head.is_chunked = head.has_body = True
        parts.append(b"transfer-encoding: chunked\r\n")
    elif length is not None:
        length = length.strip()
        head.has_body = length.strip(b"0") != b""
        parts += (b"content-length: ", length, b"\r\n")


def _read_upgrade(
    head: RequestHead, special: dict[Kind, bytes], parts: list[bytes], tunnels: Tunnels
) -> None:
    """Let a WebSocket pass where the file says so; every other upgrade is refused.

    Without the token in Connection the header means nothing (RFC 9110 7.8) and is dropped.
    """
    if b"upgrade" not in connection_tokens(special.get(Kind.CONNECTION, b"")):
        return
    asked = special[Kind.UPGRADE].strip().lower()
    if not tunnels.options.enabled or asked != b"websocket":
        raise upgrade_not_implemented(websocket=tunnels.options.enabled)
    if head.method != b"GET" or not head.is_http11:
        raise bad_request("BAD_UPGRADE", "a WebSocket begins with GET and HTTP/1.1")
    if Kind.CONTENT_LENGTH in special or Kind.TRANSFER_ENCODING in special:
        raise bad_request("BAD_UPGRADE", "a request that becomes a WebSocket has no body")
    head.upgrades = True
    head.keep_alive = False  # what comes behind it is no request
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


def _forward(
    special: dict[Kind, bytes], peer: bytes, is_http11: bool, parts: list[bytes], hop: Hop
) -> None:
    host = special.get(Kind.HOST)
    if host is not None:
        parts += (b"host: ", host, b"\r\n")
    else:
        parts.append(b"host: squall\r\n")  # HTTP/1.0 without one; the backend gets HTTP/1.1
    parts.append(hop.render(special, peer))
