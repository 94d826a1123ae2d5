"""A keep-alive HTTP client for a generator: one attempt, nothing parsed that isn't needed.

Built on the pool and the parser that Locust's FastHttpUser uses (geventhttpclient), without its
client: that one sends a request again when a connection breaks, and a generator that retries
hides the failures it is there to count.
"""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

import gevent
from gevent.socket import IPPROTO_TCP, TCP_NODELAY, socket
from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

CONNECT_TIMEOUT_S = 2.0  # loopback answers in microseconds; one lost SYN is repeated after 1 s
READ_BLOCK_BYTES = 16_384
GAVE_UP = "GAVE_UP"
CONNECT_FAILED = "CONNECT_FAILED"
RESET = "RESET"
CUT_OFF = "CUT_OFF"  # an answer began and the connection ended in the middle of it
BAD_ANSWER = "BAD_ANSWER"

_REASON = re.compile(rb'"reason"\s*:\s*"([A-Z0-9_]+)"')
_DEGRADED = re.compile(rb'"degraded"\s*:\s*\[([^\]]*)\]')


class Answer(NamedTuple):
    """What came back.

    Args:
        status: The HTTP status; 0 when there was no answer.
        reason: UPPER_SNAKE from problem+json, or one of this module's; "" when all is well.
        degraded: Names of the missing parts, joined by ``|``; "" when none is missing.
        length_bytes: Of the body.
    """

    status: int
    reason: str = ""
    degraded: str = ""
    length_bytes: int = 0


class Client:
    """Exchange one request at a time per connection, at most ``size`` at once."""

    def __init__(self, base_url: str, size: int) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"host is {base_url!r}; it must look like http://127.0.0.1:8080")
        self.host = parts.netloc
        port = parts.port or 80
        self._pool = _Pool(
            parts.hostname, port, parts.hostname, port, size, connection_timeout=CONNECT_TIMEOUT_S
        )

    def exchange(self, request: bytes, method: str, give_up_s: float) -> Answer:
        """Send a request and read its answer; never raises for what the network does.

        Args:
            request: Head and body.
            method: Says whether the answer may have a body.
            give_up_s: When to close the connection and leave.
        """
        answer, _ = self.exchange_with_body(request, method, give_up_s)
        return answer

    def exchange_with_body(
        self, request: bytes, method: str, give_up_s: float
    ) -> tuple[Answer, bytes]:
        """Do as ``exchange`` does, and hand back the body too."""
        limit = gevent.Timeout(give_up_s)
        limit.start()
        try:
            status, body = self._attempt(request, method)
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            return Answer(0, GAVE_UP), b""
        except ConnectionRefusedError:
            return Answer(0, CONNECT_FAILED), b""
        except HTTPParseError as error:
            return Answer(0, _broken(str(error))), b""
        except OSError:
            return Answer(0, RESET), b""
        finally:
            limit.close()
        return Answer(status, _reason(status, body), _degraded(body), len(body)), body

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _attempt(self, request: bytes, method: str) -> tuple[int, bytes]:
        connection = self._pool.get_socket()
        try:
            connection.sendall(request)
        except BaseException:
            self._pool.release_socket(connection)
            raise
        # From here on the response gives the connection back, whatever happens.
        response = HTTPSocketPoolResponse(
            connection, self._pool, block_size=READ_BLOCK_BYTES, method=method
        )
        return response.status_code, response.read()


class _Pool(ConnectionPool):
    def after_connect(self, sock: socket) -> None:
        sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


def _broken(parser_says: str) -> str:
    """Name what was wrong with an answer; the parser has one exception for all of it."""
    if parser_says == "connection closed.":
        return RESET
    is_short = "closed before end" in parser_says or "Incomplete" in parser_says
    return CUT_OFF if is_short else BAD_ANSWER


def _reason(status: int, body: bytes) -> str:
    if 200 <= status < 300:
        return ""
    found = _REASON.search(body)
    return found[1].decode() if found else f"HTTP_{status}"


def _degraded(body: bytes) -> str:
    if b'"degraded"' not in body:
        return ""
    found = _DEGRADED.search(body)
    if found is None:
        return ""
    return "|".join(name.strip().strip(b'"').decode() for name in found[1].split(b",") if name)
