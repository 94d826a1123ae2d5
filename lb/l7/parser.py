"""HTTP/1.1 from a client as requests: their heads, bodies and ends, and how long a head may be.

Why apart from the connection: a parser says what came; in what order it is answered, and how the
connection ends, is the connection's. Pieces of a body go to it straight, without a call between.
A head, or trailers, are counted while they come, so what doesn't end is refused before it is held.
Source: llhttp through httptools (strict); RFC 6585 5 (431).
Not handled: what a head means (``lb.l7.outline``).
"""

from collections.abc import Callable
from typing import Protocol

import httptools

from lb.l7.clients import ClientLimits
from lb.l7.errors import Problem, bad_request, head_too_large
from lb.l7.headers import Headers


class Taker(Protocol):
    """Who takes what was parsed; a Problem that it raises refuses the request."""

    def on_head(
        self, method: bytes, target: bytes, version: str, headers: Headers, *, keep_alive: bool
    ) -> None:
        """Take a head, which is complete."""

    def on_body(self, body: bytes) -> None:
        """Take a piece of its body."""

    def on_end(self, trailers: Headers) -> None:
        """Take the end of the request."""


class RequestParser:
    """Parse what one client sends.

    Args:
        taker: Who takes it.
        limits: How long a head may be.

    ``head_bytes`` is what came of a head, or of trailers, that are not complete yet.
    """

    on_body: Callable[[bytes], None]

    def __init__(self, taker: Taker, limits: ClientLimits) -> None:
        self._taker = taker
        self._limits = limits
        self._target = b""
        self._headers: Headers = []
        self.head_bytes = 0
        self._has_completed = False  # a message, in this turn
        self._turn_bytes = 0
        self.on_body = taker.on_body
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> Problem | None:
        """Parse; return why it can't be understood, None when it can.

        Raises:
            httptools.HttpParserUpgrade: What follows, from the place in ``args``, is no request.
        """
        self._has_completed = False
        self._turn_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Problem):
                return cause
            return bad_request("MALFORMED_REQUEST", f"not valid HTTP/1.1: {error}")
        return None

    def find_too_large(self, *, is_in_body: bool) -> Problem | None:
        """Count what came as a head, or as trailers; return why it is too much, if it is."""
        if self._has_completed or (is_in_body and not self._headers):
            return None
        self.head_bytes += self._turn_bytes
        limit = self._limits.max_head_bytes
        return head_too_large(limit) if self.head_bytes > limit else None

    # httptools

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, or after the head a trailer."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the head on."""
        parser, limit = self._parser, self._limits.max_head_bytes
        if self.head_bytes + self._turn_bytes > limit:  # maybe: the turn may hold more
            self._check_size(limit)
        headers, self._headers = self._headers, []  # from here on: trailers
        self._taker.on_head(
            parser.get_method(),
            self._target,
            parser.get_http_version(),
            headers,
            keep_alive=parser.should_keep_alive(),
        )

    def on_message_complete(self) -> None:
        """Hand the end on, and begin another."""
        trailers, self._headers = self._headers, []
        self._target = b""
        self.head_bytes = 0
        self._has_completed = True
        self._taker.on_end(trailers)

    def _check_size(self, limit: int) -> None:
        size = len(self._target) + sum(len(name) + len(value) for name, value in self._headers)
        if size > limit:
            raise head_too_large(limit)
