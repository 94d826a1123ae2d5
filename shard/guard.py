"""Whether list headers promise more than a reply may carry: looked at before they are read.

Why: the parser makes room for a list when it reads its header. Twelve bytes, ``*536870912``, thus
cost a client 4 GiB of address space and a second of its loop to free them, and a list header inside
another one as much again. No element has fewer than three bytes, so what all headers of a reply
promise together can be held against the bytes that a reply may have.
How: data without a header of two digits or more passes as it is (some tens of nanoseconds). Else it
is fed up to the header, and the parser itself says whether that stands inside a value (something
is left unread: the value isn't whole) or is a header (nothing is).
Source: found by the tests that let a node lie. redis-py and hiredis have no such bound.
Not handled: lists of fewer than ten; nested without end they take some 40 times their bytes.
"""

import re
from collections.abc import Iterator, Sequence

import hiredis

LEAST_ELEMENT_BYTES = 3  # ``_`` or ``+`` and the line's end

_HEADER = re.compile(rb"(?:\A|(?<=\n))[*~>|](\d{2,20})\r\n")
_BEGINNING = re.compile(rb"[*~>|]\d{0,20}\r?\Z")


class TooMuchError(Exception):
    """A reply that promises more than may come."""


class Guard:
    """Looks at what goes into one parser.

    Args:
        reader: The parser; each piece is fed to it, and its replies taken, before the next.
        max_reply_bytes: What one reply may have, > 0.
    """

    __slots__ = ("_cut", "_most", "_promised", "_reader")

    def __init__(self, reader: hiredis.Reader, max_reply_bytes: int) -> None:
        self._reader = reader
        self._most = max_reply_bytes // LEAST_ELEMENT_BYTES
        self._promised = 0
        self._cut = b""  # the beginning of what may be a header, kept until its end comes

    def pieces(self, data: bytes) -> Sequence[bytes] | Iterator[bytes]:
        """Cut data where a header is to be looked at.

        Raises:
            TooMuchError: While iterating: the reply can't be taken.
        """
        if self._cut:
            data, self._cut = self._cut + data, b""
        if not data.endswith(b"\n"):
            data = self._without_beginning(data)
        if b"*" in data or b">" in data or b"~" in data or b"|" in data:
            return self._looked_at(data)
        return (data,)

    def on_reply(self) -> None:
        """Forget what was promised: it has come."""
        self._promised = 0

    def _looked_at(self, data: bytes) -> Iterator[bytes]:
        at = 0
        for header in _HEADER.finditer(data):
            if header.start() > at:
                yield data[at : header.start()]
                at = header.start()
            if not self._reader.has_data():
                self._promise(int(header[1]))
        yield data[at:]

    def _promise(self, elements: int) -> None:
        self._promised += elements
        if self._promised > self._most:
            raise TooMuchError(f"{self._promised} elements promised, {self._most} may come")

    def _without_beginning(self, data: bytes) -> bytes:
        """Keep back a header that isn't whole yet; what follows it comes with it."""
        begin = data.rfind(b"\n") + 1
        if _BEGINNING.match(data, begin):
            self._cut = data[begin:]
            return data[:begin]
        return data
