"""An exchange's answer, read back from HTTP/1.1 into what HTTP/2 is made of.

Why read back: an exchange writes HTTP/1.1, whose clients are the many, at no cost for the few that
speak HTTP/2; these pay for a parser in C. It also holds that an answer is one answer: what isn't
a whole HTTP/1.1 message never becomes a stream. HAProxy began its HTTP/2 in the same way (1.8).
Source: RFC 9113 8.1 (framing of messages), 8.2.2 (what of HTTP/1.1 has no place in it).
Not handled: 101; an HTTP/2 request asks for no upgrade.
"""

from typing import Protocol

import httptools
from hpack import NeverIndexedHeaderTuple

from lb.l7.headers import Headers

_FINAL = 200  # below it an answer is interim
_NOT_SAID = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
# Another value each time: in HPACK's table they would only drive out what comes again.
_NEVER_AGAIN = frozenset({b"x-request-id", b"server-timing", b"traceparent"})


class AnswerTaker(Protocol):
    """The stream, as its answer's reader sees it."""

    def on_answer_head(self, status: int, headers: Headers) -> None:
        """Take a head, names in lower case; below 200 another one follows."""

    def on_answer_body(self, data: bytes) -> None:
        """Take a piece of the body."""

    def on_answer_end(self, trailers: Headers) -> None:
        """The answer is complete."""


class AnswerReader:
    """Read one answer, interim ones before it included.

    Args:
        taker: Gets what is read.
        is_head: Whether HEAD was asked, whose answer ends with its head whatever length it says.
    """

    def __init__(self, taker: AnswerTaker, *, is_head: bool) -> None:
        self._taker = taker
        self._is_head = is_head
        self._parser = httptools.HttpResponseParser(self)
        self._lines: Headers = []
        self._has_head = False
        self._is_over = False

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            HttpParserError: It is not HTTP/1.1.
        """
        self._parser.feed_data(data)

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, or after the head a trailer."""
        key = name.lower()
        if key in _NOT_SAID:
            return
        line = (key, value.strip(b" \t"))
        self._lines.append(NeverIndexedHeaderTuple(*line) if key in _NEVER_AGAIN else line)

    def on_headers_complete(self) -> None:
        """Hand a head on."""
        if self._is_over:
            return
        status = self._parser.get_status_code()
        lines, self._lines = self._lines, []
        self._has_head = status >= _FINAL
        self._taker.on_answer_head(status, lines)
        if self._has_head and self._is_head:
            self._end()

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on."""
        if not self._is_over:
            self._taker.on_answer_body(body)

    def on_message_complete(self) -> None:
        """Note the end of an answer; an interim one's is nothing."""
        if self._has_head and not self._is_over:
            self._end()

    def _end(self) -> None:
        self._is_over = True
        self._taker.on_answer_end(self._lines)
