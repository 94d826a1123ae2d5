"""Find where RESP frames end, without building what is in them: a proxy hands bytes on.

Why: of a frame that is handed on as it came, its key and its end are all that has to be known.
Taking it apart and packing it again costs more than the rest of a proxy's work.

- *Requests* are arrays of bulk strings (``RequestCut``), or a line of words (``inline_words``).
  Lengths are read as strictly as the server reads them (digits, no leading zero, both ends of a
  bulk): what one of the two took for a frame and the other didn't would shift every later command.
- *Replies* are anything (``ReplyCut``): what is nested is walked over, never recursed into.

Both take up a frame where they left it when more bytes come: a frame of a million parts that comes
in a thousand pieces is walked once.
Source: RESP specification; valkey: src/networking.c, ``processMultibulkBuffer`` (the wording of
errors, the limits for who isn't logged in), ``processInlineBuffer``, src/sds.c ``sdssplitargs``.
Not handled: streamed strings and aggregates of RESP3 (``$?``), which no server sends.
"""

import re
from dataclasses import dataclass

MAX_BULK_BYTES = 16 * 1024 * 1024  # valkey takes 512 MiB: here everybody behind would wait for it
MAX_ARGUMENTS = 65_536  # valkey: 1,048,576
MAX_COMMAND_BYTES = 64 * 1024 * 1024
MAX_INLINE_BYTES = 64 * 1024  # valkey: PROTO_INLINE_MAX_SIZE
STRANGER_BULK_BYTES = 16_384  # valkey, of who isn't logged in
STRANGER_ARGUMENTS = 10
MAX_NUMBER_BYTES = 32  # a length of more digits is no length

_CRLF = b"\r\n"
_DIGITS = re.compile(rb"0|[1-9][0-9]{0,18}")
LENGTHS = {b"%d" % number: number for number in range(4096)}
"""Lengths as they are written: reading most of them costs one look."""


class ProtocolError(ValueError):
    """Not RESP, or too much of it; the text is what a client is told."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What one request may take.

    Args:
        bulk_bytes: Of one argument, >= 0.
        arguments: The name included, >= 1.
        command_bytes: Of the whole frame, >= 1.
        inline_bytes: Of a command that is a line, >= 1.
    """

    bulk_bytes: int = MAX_BULK_BYTES
    arguments: int = MAX_ARGUMENTS
    command_bytes: int = MAX_COMMAND_BYTES
    inline_bytes: int = MAX_INLINE_BYTES


DEFAULT_FRAME_LIMITS = FrameLimits()
STRANGER_LIMITS = FrameLimits(bulk_bytes=STRANGER_BULK_BYTES, arguments=STRANGER_ARGUMENTS)


def length_of(text: bytes) -> int | None:
    """Read a length as the server does: -1, or digits without a leading zero; None: it isn't."""
    known = LENGTHS.get(text)
    if known is not None:
        return known
    if text == b"-1":
        return -1
    return int(text) if _DIGITS.fullmatch(text) else None


class RequestCut:
    """One request being cut out of a buffer that begins with it."""

    __slots__ = ("_at", "_left", "_limits", "needed", "words")

    def __init__(self, limits: FrameLimits = DEFAULT_FRAME_LIMITS) -> None:
        self.words: list[bytes] = []
        self.needed = 0  # bytes the buffer must have before it is worth looking again
        self._limits = limits
        self._at = 0
        self._left = -1  # words still to come; -1: their number isn't known yet

    def go_on(self, buffer: bytes, begin: int = 0) -> int:
        """Walk on; return where the frame ends, or -1 when it hasn't all come.

        Args:
            buffer: It stands at ``begin``, with an asterisk.
            begin: The same frame may stand elsewhere the next time.

        Raises:
            ProtocolError: It can't become a frame.
        """
        if self._left < 0 and not self._read_count(buffer, begin):
            return -1
        while self._left > 0:
            if not self._read_word(buffer, begin):
                return -1
        return begin + self._at

    def _read_count(self, buffer: bytes, begin: int) -> bool:
        end = buffer.find(_CRLF, begin)
        if end < 0:
            self._wait_for_line(buffer, begin, "too big mbulk count string")
            return False
        count = length_of(buffer[begin + 1 : end])
        if count is None or count > self._limits.arguments:
            stranger = self._limits is STRANGER_LIMITS and count is not None
            who = "unauthenticated" if stranger else "invalid"
            raise ProtocolError(f"Protocol error: {who} multibulk length")
        self._left, self._at = max(0, count), end + 2 - begin
        return True

    def _read_word(self, buffer: bytes, begin: int) -> bool:
        at = begin + self._at
        end = buffer.find(_CRLF, at)
        if at < len(buffer) and buffer[at] != 36:
            raise ProtocolError(f"Protocol error: expected '$', got {chr(buffer[at])!r}")
        if end < 0:
            self._wait_for_line(buffer, at, "too big bulk count string")
            return False
        size = length_of(buffer[at + 1 : end])
        if size is None or not 0 <= size <= self._limits.bulk_bytes:
            stranger = self._limits is STRANGER_LIMITS and size is not None and size >= 0
            who = "unauthenticated" if stranger else "invalid"
            raise ProtocolError(f"Protocol error: {who} bulk length")
        stop = end + 2 + size + 2
        if stop - begin > self._limits.command_bytes:
            raise ProtocolError("Protocol error: too big command")
        if stop > len(buffer):
            self.needed = stop - begin
            return False
        if buffer[stop - 2 : stop] != _CRLF:
            raise ProtocolError("Protocol error: bulk string of another length than announced")
        self.words.append(buffer[end + 2 : stop - 2])
        self._at, self._left = stop - begin, self._left - 1
        return True

    def _wait_for_line(self, buffer: bytes, at: int, what: str) -> None:
        if len(buffer) - at > MAX_NUMBER_BYTES:
            raise ProtocolError(f"Protocol error: {what}")
        self.needed = 0


class ReplyCut:
    """One reply being cut out of a buffer that begins with it."""

    __slots__ = ("_at", "_left", "needed")

    def __init__(self) -> None:
        self.needed = 0
        self._at = 0
        self._left = 1

    def go_on(self, buffer: bytes, begin: int = 0) -> int:
        """Walk on; return where the reply ends, or -1 when it hasn't all come.

        Raises:
            ProtocolError: It isn't RESP.
        """
        while self._left:
            at = begin + self._at
            end = buffer.find(_CRLF, at)
            if end < 0:
                self.needed = 0
                return -1
            stop = end + 2
            kind = buffer[at]
            if kind in _LINES:
                self._left -= 1
            elif kind in _BULKS:
                size = _length(buffer, at, end)
                stop += size + 2 if size >= 0 else 0  # $-1: no value, so no end of one
                if stop > len(buffer):
                    self.needed = stop - begin
                    return -1
                self._left -= 1
            else:
                self._left += _children(buffer, at, end)
            self._at = stop - begin
        return begin + self._at


_LINES = frozenset(b"+-:_#,(")
_BULKS = frozenset(b"$!=")
_AGGREGATES = {42: 1, 126: 1, 62: 1, 37: 2, 124: 2}  # * ~ > have one for each, % | have two
_ATTRIBUTE = 124  # stands before a reply and is none itself


def _length(buffer: bytes, at: int, end: int) -> int:
    size = length_of(buffer[at + 1 : end])
    if size is None:
        raise ProtocolError(f"not a length: {buffer[at:end][:40]!r}")
    return size


def _children(buffer: bytes, at: int, end: int) -> int:
    """Return by how many the elements still to come change."""
    each = _AGGREGATES.get(buffer[at])
    if each is None:
        raise ProtocolError(f"no RESP type {chr(buffer[at])!r}")
    itself = 0 if buffer[at] == _ATTRIBUTE else 1
    return each * max(0, _length(buffer, at, end)) - itself


def elements(array: bytes) -> list[bytes]:
    """Cut a whole array's elements apart, each as its bytes; a null array has none.

    Raises:
        ProtocolError: It isn't an array.
    """
    end = array.find(_CRLF)
    if not array.startswith(b"*"):
        raise ProtocolError(f"not an array: {array[:40]!r}")
    at, found = end + 2, []
    for _ in range(_length(array, 0, end)):
        stop = ReplyCut().go_on(array, at)
        found.append(array[at:stop])
        at = stop
    return found


_WORD = re.compile(
    rb"""\s*(?:"((?:[^"\\]|\\.)*)"(?=\s|\Z)|'((?:[^'\\]|\\.)*)'(?=\s|\Z)|([^\s"']+)(?=\s|\Z))""",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def inline_words(line: bytes) -> list[bytes]:
    """Split a line into words: quotes as ``sdssplitargs`` reads them.

    Raises:
        ProtocolError: A quote isn't closed, or a word follows one at once.
    """
    words, at, line = [], 0, line.strip()
    while at < len(line):
        found = _WORD.match(line, at)
        if found is None:
            raise ProtocolError("Protocol error: unbalanced quotes in request")
        double, single, plain = found.groups()
        if double is not None:
            words.append(_ESCAPED.sub(_unescaped, double))
        else:
            words.append(plain if single is None else single.replace(rb"\'", b"'"))
        at = found.end()
    return words


def _unescaped(found: re.Match[bytes]) -> bytes:
    digits, letter = found.groups()
    return bytes([int(digits, 16)]) if digits else _CONTROLS.get(letter, letter)
