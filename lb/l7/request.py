"""One request as the proxy knows it once its head is complete: what its head means, and its ids.

What a head means is in ``lb.l7.outline``; here is what is another with each request.
"""

from lb.l7.clients import ClientLimits
from lb.l7.errors import Problem, too_many_tunnels
from lb.l7.forwarded import PLAIN_HOP, Hop
from lb.l7.headers import Headers, Ids
from lb.l7.outline import Outline, origin_form, read_outline
from lb.l7.tunnel import Tunnels
from resilience.wire import format_traceparent


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
        "keep_alive",
        "method",
        "outline",
        "prefix",
        "problem",
        "request_id",
        "target",
        "timeout_s",
        "trace_id",
        "upgrades",
    )

    target: bytes
    prefix: bytes
    request_id: str
    trace_id: str

    def __init__(self, outline: Outline, arrived_s: float) -> None:
        self.outline = outline
        self.arrived_s = arrived_s
        self.method = outline.method
        self.timeout_s = outline.timeout_s
        self.problem: Problem | None = outline.problem
        self.is_http11 = outline.is_http11
        self.is_chunked = outline.is_chunked
        self.has_body = outline.has_body
        self.expects_continue = outline.expects_continue
        self.keep_alive = outline.keep_alive
        self.is_head = outline.is_head
        self.upgrades = outline.upgrades


class HeadReader:
    """Turn parsed lines into a RequestHead, one at a time; O(headers).

    Args:
        ids: Makes the ids that a request came without.
    """

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.tunnels = Tunnels()
        self.limits = ClientLimits()

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
        last: Outline | None = None,
    ) -> RequestHead:
        """Check and prepare.

        Args:
            method: As the parser has it.
            target: As the client wrote it.
            version: ``1.1`` or ``1.0``.
            headers: In their order.
            peer: The client's address.
            keep_alive: What the parser makes of the headers.
            arrived_s: When.
            hop: What of its forwarded headers is believed.
            last: Of the same connection's last request: what this one means if it says the same.

        Raises:
            Problem: 400, 431 or 501; the connection closes after it.
        """
        if last is not None and last.is_of(method, version, headers):
            outline = last
        else:
            outline = read_outline(
                method,
                version,
                headers,
                keep_alive=keep_alive,
                peer=peer,
                hop=hop,
                websocket=self.tunnels.options,
                max_headers=self.limits.options.max_headers,
            )
        head = RequestHead(outline, arrived_s)
        head.target = origin_form(target, method, outline.host)
        if outline.upgrades and self.tunnels.is_full:
            head.problem = too_many_tunnels(self.tunnels.options.limit)
        if self.limits.is_on:
            head.problem = head.problem or self.limits.find_problem(
                headers,
                peer,
                is_trusted=hop.is_trusted,
                length=outline.length,
                now_s=arrived_s,
            )
        self._identify(head, outline)
        return head

    def _identify(self, head: RequestHead, outline: Outline) -> None:
        fresh = self.ids.fresh()
        trace = outline.trace
        head.request_id = outline.request_id or fresh.request_id
        head.trace_id = fresh.trace_id if trace is None else trace.trace_id
        sampled = trace is None or trace.sampled
        parent = format_traceparent(head.trace_id, fresh.span_id, sampled=sampled)
        head.prefix = b"%b %b HTTP/1.1\r\n%b%b" % (
            outline.method,
            head.target,
            outline.lines,
            f"x-request-id: {head.request_id}\r\ntraceparent: {parent}\r\n".encode(),
        )
