"""Header names a proxy must know, and the ids it makes."""

import random
import re
from enum import IntEnum
from typing import NamedTuple

from resilience.wire import NOT_STARTED, RETRY_AFTER_HEADER, STARTED_HEADER

_STARTED, _NOT_STARTED = STARTED_HEADER.encode(), NOT_STARTED.encode()
_RETRY_AFTER = RETRY_AFTER_HEADER.encode()

Header = tuple[bytes, bytes]
Headers = list[Header]


class Kind(IntEnum):
    """What to do with a request header; any other is passed on as it came."""

    DROP = 0  # hop-by-hop, or ours to write anew
    HOST = 1
    CONNECTION = 2
    TRANSFER_ENCODING = 3
    CONTENT_LENGTH = 4
    UPGRADE = 5
    EXPECT = 6
    FORWARDED_FOR = 7
    FORWARDED_PROTO = 8
    REQUEST_ID = 9
    TRACEPARENT = 10
    EXPECTED_TIMEOUT = 11
    GRPC_TIMEOUT = 12
    CONTENT_TYPE = 13
    FORWARDED = 14
    FORWARDED_HOST = 15
    FORWARDED_PORT = 16
    REAL_IP = 17


REQUEST_KINDS = {
    b"host": Kind.HOST,
    b"connection": Kind.CONNECTION,
    b"keep-alive": Kind.DROP,
    b"proxy-connection": Kind.DROP,
    b"proxy-authenticate": Kind.DROP,
    b"proxy-authorization": Kind.DROP,
    b"te": Kind.DROP,  # codespell:ignore te
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"content-length": Kind.CONTENT_LENGTH,
    b"upgrade": Kind.UPGRADE,
    b"http2-settings": Kind.DROP,
    b"expect": Kind.EXPECT,
    b"x-forwarded-for": Kind.FORWARDED_FOR,
    b"x-forwarded-proto": Kind.FORWARDED_PROTO,
    b"x-forwarded-host": Kind.FORWARDED_HOST,
    b"x-forwarded-port": Kind.FORWARDED_PORT,
    b"x-real-ip": Kind.REAL_IP,
    b"forwarded": Kind.FORWARDED,
    b"content-type": Kind.CONTENT_TYPE,
    b"x-request-id": Kind.REQUEST_ID,
    b"traceparent": Kind.TRACEPARENT,
    b"x-envoy-expected-rq-timeout-ms": Kind.EXPECTED_TIMEOUT,
    b"grpc-timeout": Kind.GRPC_TIMEOUT,
}

# RFC 9110 7.6.1; framing is written anew, and the request id is what the request was given here.
RESPONSE_DROPS = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"te",  # codespell:ignore te
        b"transfer-encoding",
        b"content-length",
        b"upgrade",
        b"x-request-id",
    }
)

# RFC 9110 6.5.1: what steers framing, routing or authentication has no place in a trailer.
TRAILER_DROPS = frozenset(REQUEST_KINDS) | RESPONSE_DROPS | {
    b"authorization", b"cookie", b"set-cookie", b"content-type", b"content-encoding",
    b"content-range", b"trailer", b"cache-control", b"range", b"if-match", b"if-none-match",
}  # fmt: skip

_NEVER_ZERO = 1 << 64 | 1  # the last bit of the trace's id and of the span's
_ORDINARY_TOKENS = frozenset({b"close", b"keep-alive", b""})
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
HOST = re.compile(rb"[A-Za-z0-9.\-_~%!$&'()*+;=:\[\]]*")  # no comma, slash, at sign or blank

# What gRPC is spoken in; gRPC-Web is made for HTTP/1.1 and is passed on.
GRPC_TYPE = re.compile(rb"application/grpc(?:[+;\s]|$)", re.IGNORECASE)


def connection_tokens(value: bytes) -> set[bytes]:
    """Split a Connection header into lower-case tokens."""
    return {token.strip() for token in value.lower().split(b",")}


def without_nominated(connection: bytes, parts: list[bytes]) -> list[bytes]:
    """Drop the headers that a Connection header names (RFC 9110 7.6.1).

    Args:
        connection: The header's value.
        parts: Only headers passed on as they came (name, colon, value, line end each): nobody may
            name framing, host or deadline away.
    """
    nominated = connection_tokens(connection) - _ORDINARY_TOKENS
    if not nominated:
        return parts
    kept: list[bytes] = []
    for index in range(0, len(parts), 4):
        if parts[index].lower() not in nominated:
            kept += parts[index : index + 4]
    return kept


def render_trailers(trailers: Headers) -> bytes:
    """Return the trailer lines that may be passed on."""
    return b"".join(
        b"%b: %b\r\n" % header for header in trailers if header[0].lower() not in TRAILER_DROPS
    )


class Fresh(NamedTuple):
    """The ids of one request that came without any."""

    request_id: str
    trace_id: str
    span_id: str


class Ids:
    """Make request, trace and span ids; not secrets, so no system call for each."""

    __slots__ = ("_bits",)

    def __init__(self, rng: random.Random) -> None:
        self._bits = rng.getrandbits

    def fresh(self) -> Fresh:
        """Return 16, 32 and 16 hex digits, the latter two never all zero (W3C 3.2.2.3, 3.2.2.4)."""
        digits = f"{self._bits(256) | _NEVER_ZERO:064x}"
        return Fresh(digits[:16], digits[16:48], digits[48:])


def says_not_started(headers: Headers) -> bool:
    """Whether an answer says that nothing was begun, and doesn't push back: others may be asked."""
    is_not_started = False
    for name, value in headers:
        key = name.lower()
        if key == _RETRY_AFTER:
            return False
        is_not_started |= key == _STARTED and value == _NOT_STARTED
    return is_not_started
