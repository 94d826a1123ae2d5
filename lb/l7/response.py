"""Write a response head for the client: same meaning, framing of this connection."""

from lb.l7.errors import status_line
from lb.l7.headers import RESPONSE_DROPS, Headers, without_nominated
from lb.l7.request import RequestHead

_SWITCHING_PROTOCOLS = 101
_BODILESS = frozenset({204, 304})


class ResponseHead:
    """What came back, and how it is framed towards the client.

    ``is_chunked`` and ``ends_by_close`` say how the client learns where the body ends; neither
    means by content-length, or that there is no body.
    """

    __slots__ = ("ends_by_close", "has_body", "is_chunked", "lines", "status")

    def __init__(
        self, status: int, headers: Headers, request: RequestHead, *, is_chunked: bool
    ) -> None:
        self.status = status
        self.has_body = not (request.is_head or status in _BODILESS)
        lines: list[bytes] = []
        length = connection = None
        for name, value in headers:
            key = name.lower()
            if key not in RESPONSE_DROPS:
                lines += (name, b": ", value, b"\r\n")
            elif key == b"content-length":
                length = value
            elif key == b"connection":
                connection = value
        if connection is not None:
            lines = without_nominated(connection, lines)
        unknown_length = self.has_body and (is_chunked or length is None)
        self.is_chunked = unknown_length and request.is_http11
        self.ends_by_close = unknown_length and not request.is_http11
        if self.is_chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif length is not None and status != 204 and not is_chunked:
            lines += (b"content-length: ", length, b"\r\n")
        self.lines = lines

    def render(self, request: RequestHead, *, timing: bytes, keep_alive: bool) -> bytes:
        """Return the head, ended by its empty line; ``timing`` is this hop's header line."""
        if not keep_alive:
            connection = b"connection: close\r\n"
        else:
            connection = b"" if request.is_http11 else b"connection: keep-alive\r\n"
        return b"%b%bx-request-id: %b\r\n%b%b\r\n" % (
            status_line(self.status),
            b"".join(self.lines),
            request.request_id.encode(),
            timing,
            connection,
        )


def render_switch(headers: Headers, request: RequestHead, *, timing: bytes) -> bytes:
    """Return the 101 that makes a connection a WebSocket."""
    lines = b"".join(b"%b: %b\r\n" % h for h in headers if h[0].lower() not in RESPONSE_DROPS)
    return b"%b%bconnection: upgrade\r\nupgrade: websocket\r\nx-request-id: %b\r\n%b\r\n" % (
        status_line(_SWITCHING_PROTOCOLS),
        lines,
        request.request_id.encode(),
        timing,
    )


def render_interim(status: int, headers: Headers) -> bytes:
    """Return a 1xx head such as 103 Early Hints."""
    lines = b"".join(b"%b: %b\r\n" % h for h in headers if h[0].lower() not in RESPONSE_DROPS)
    return status_line(status) + lines + b"\r\n"
