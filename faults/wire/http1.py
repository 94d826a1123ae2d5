"""Where heads and bodies are in a stream of HTTP/1 messages, without understanding them.

Why: what slows heads down must leave bodies alone, also when the connection is kept and requests
are pipelined; and how long an answer's body is depends on its request's method.
Source: RFC 9112, sections 2.1 (message), 6.3 (message body length), 7.1 (chunked), 9.3.2
(pipelining); RFC 9110, section 15.2 (1xx answers come before the final one).
Not handled: HTTP/2, and messages whose framing contradicts itself, which pass as a body without
end.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

HEAD_END = b"\r\n\r\n"
LINE_END = b"\r\n"
MAX_HEAD_BYTES = 65_536  # twice what nginx allows (large_client_header_buffers 4 x 8k)
WITHOUT_BODY = frozenset({204, 304})  # RFC 9112, section 6.3, rule 1
SWITCHED = 101  # what follows is another protocol


class NotHttpError(ValueError):
    """The bytes are none of this protocol."""


class Part(Enum):
    """What bytes of a message are."""

    HEAD = "head"
    BODY = "body"


class Span(NamedTuple):
    """Bytes of one part; a part may come in several spans."""

    part: Part
    data: bytes


class _State(Enum):
    HEAD = "head"
    SIZED = "sized"  # so many bytes of a body
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    TRAILERS = "trailers"
    ENDLESS = "endless"  # until the connection closes


class MessageReader:
    """Split one direction of a connection; pure.

    Args:
        is_answers: Whether it is the server's; otherwise the client's.
        methods: Of requests whose final answer is still to come: the reader of requests adds them,
            the reader of answers takes them off.
    """

    def __init__(self, is_answers: bool, methods: deque[bytes]) -> None:
        self._is_answers = is_answers
        self._methods = methods
        self._state = _State.HEAD
        self._head = bytearray()  # of the message that is coming
        self._line = bytearray()  # of a chunk's size, or a trailer
        self._left = 0

    @property
    def is_between(self) -> bool:
        """Whether no message has begun."""
        return self._state is _State.HEAD and not self._head

    def feed(self, data: bytes) -> Iterator[Span]:
        """Take bytes and say what they are; nothing is held back.

        Raises:
            NotHttpError: A head isn't one.
        """
        start = 0
        while start < len(data):
            if self._state is _State.HEAD:
                end = self._read_head(data, start)
                yield Span(Part.HEAD, data[start:end])
            else:
                end = self._read_body(data, start)
                yield Span(Part.BODY, data[start:end])
            start = end

    def _read_head(self, data: bytes, start: int) -> int:
        before = len(self._head)
        self._head += data[start:]
        found = self._head.find(HEAD_END, max(0, before - len(HEAD_END) + 1))
        if found < 0:
            if len(self._head) > MAX_HEAD_BYTES:
                raise NotHttpError(f"no head ends within {MAX_HEAD_BYTES} bytes")
            return len(data)
        end = found + len(HEAD_END)
        head = bytes(self._head[:end])
        self._head.clear()
        self._begin_body(head)
        return start + end - before

    def _begin_body(self, head: bytes) -> None:
        first, *fields = head.rstrip().split(LINE_END)
        words = first.split(b" ", 2)
        headers = dict(_field(line) for line in fields)
        if self._is_answers:
            self._begin_answer(words, headers)
        else:
            if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
                raise NotHttpError(f"{first[:40]!r} is no request")
            self._methods.append(words[0])
            self._begin_framed(headers, _State.HEAD)

    def _begin_answer(self, words: list[bytes], headers: dict[bytes, bytes]) -> None:
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise NotHttpError(f"{b' '.join(words)[:40]!r} is no answer")
        status = int(words[1])
        if status == SWITCHED:
            self._state = _State.ENDLESS
            return
        if status < 200:
            return  # the final one follows; the state stays HEAD
        method = self._methods.popleft() if self._methods else b""
        if method == b"CONNECT" and status < 300:
            self._state = _State.ENDLESS
        elif method != b"HEAD" and status not in WITHOUT_BODY:
            self._begin_framed(headers, _State.ENDLESS)

    def _begin_framed(self, headers: dict[bytes, bytes], unframed: _State) -> None:
        """Find out how the body's end is told; ``unframed`` is what it is when it isn't."""
        if headers.get(b"transfer-encoding", b"").lower().endswith(b"chunked"):
            self._state = _State.CHUNK_SIZE
        elif b"content-length" in headers:
            length = headers[b"content-length"]
            if not length.isdigit():
                raise NotHttpError(f"{length[:40]!r} is no content-length")
            self._sized(int(length), _State.SIZED)
        else:
            self._state = unframed

    def _sized(self, size: int, state: _State) -> None:
        self._left = size
        self._state = state if size else _State.HEAD

    def _read_body(self, data: bytes, start: int) -> int:
        if self._state is _State.ENDLESS:
            return len(data)
        if self._state in (_State.SIZED, _State.CHUNK):
            end = min(len(data), start + self._left)
            self._left -= end - start
            if not self._left:
                self._state = _State.HEAD if self._state is _State.SIZED else _State.CHUNK_SIZE
            return end
        return self._read_line(data, start)

    def _read_line(self, data: bytes, start: int) -> int:
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline + 1
        self._line += data[start:end]
        if newline >= 0:
            line = bytes(self._line).strip()
            self._line.clear()
            self._on_line(line)
        elif len(self._line) > MAX_HEAD_BYTES:
            raise NotHttpError(f"no line ends within {MAX_HEAD_BYTES} bytes")
        return end

    def _on_line(self, line: bytes) -> None:
        if self._state is _State.TRAILERS:
            if not line:
                self._state = _State.HEAD
            return
        try:
            size = int(line.split(b";", 1)[0], 16)
        except ValueError:
            raise NotHttpError(f"{line[:40]!r} is no chunk size") from None
        if size:
            self._sized(size + len(LINE_END), _State.CHUNK)
        else:
            self._state = _State.TRAILERS


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()
