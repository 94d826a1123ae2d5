"""Where a RESP command or reply ends, without decoding it.

Why: a toxic that answers commands must know where one ends and the next begins, and nothing else of
them; so this skips from header to header, and never looks at a value's bytes.
Source: the RESP3 specification (redis/redis-specifications: protocol/RESP3.md).
Not handled: streamed strings and aggregates of unknown length (``$?``), which no server sends.
"""

from enum import Enum

CRLF = b"\r\n"
MAX_LINE_BYTES = 65_536  # valkey: PROTO_INLINE_MAX_SIZE 64 KiB

_SIZED = b"$!="  # followed by so many bytes and CRLF
_PAIRS = b"%|"  # followed by twice so many elements
_MANY = b"*~>"  # followed by so many elements
_ATTRIBUTE = ord("|")
_PUSH = ord(">")


class NotRespError(ValueError):
    """The bytes are none of this protocol."""


class ReplyKind(Enum):
    """Whether a message answers a command."""

    REPLY = "reply"
    PUSH = "push"  # sent unasked: it answers nothing


def message_end(buffer: bytes | bytearray, start: int = 0) -> int | None:
    """Return where the message that begins at ``start`` ends; None when it isn't whole.

    Raises:
        NotRespError: What should be a header is none.

    O(elements); a value's bytes are skipped.
    """
    missing = 1
    position = start
    while missing:
        line_end = buffer.find(CRLF, position, position + MAX_LINE_BYTES)
        if line_end < 0:
            if len(buffer) - position > MAX_LINE_BYTES:
                raise NotRespError(f"no line ends within {MAX_LINE_BYTES} bytes")
            return None
        kind = buffer[position]
        missing -= kind != _ATTRIBUTE  # an attribute comes before what it is about
        if kind in _SIZED or kind in _PAIRS or kind in _MANY:
            size = _number(buffer[position + 1 : line_end])
            position = line_end + len(CRLF)
            if kind in _SIZED:
                position += size + len(CRLF) if size >= 0 else 0
            else:
                missing += max(0, size) * (2 if kind in _PAIRS else 1)
        else:
            position = line_end + len(CRLF)  # a simple value, or an inline command
        if position > len(buffer):
            return None
    return position


def kind_of(buffer: bytes | bytearray, start: int = 0) -> ReplyKind:
    """Say what a message is."""
    return ReplyKind.PUSH if buffer[start] == _PUSH else ReplyKind.REPLY


def command_words(command: bytes) -> tuple[bytes, bytes]:
    """Return a whole command's first two words, in capitals and empty where there are none."""
    is_inline = command[:1] != b"*"
    words = command.split(maxsplit=2)[:2] if is_inline else command.split(CRLF, 5)[2:5:2]
    first, second = (*words, b"", b"")[:2]
    return first.upper(), second.upper()


def _number(text: bytes | bytearray) -> int:
    try:
        return int(text)
    except ValueError:
        raise NotRespError(f"{bytes(text[:32])!r} is no length") from None
