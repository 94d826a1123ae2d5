"""HTTP/2 frames: split a stream into them, and make the few that we send ourselves.

Source: RFC 9113, sections 3.4 (the client's preface), 4.1 (frame format) and 6 (frames).
Not handled: their contents; header blocks stay as they are, so HPACK's state does too.
"""

from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9

DATA = 0x0
HEADERS = 0x1
RST_STREAM = 0x3
PUSH_PROMISE = 0x5
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9
LAST_KNOWN = CONTINUATION

END_STREAM = 0x1  # of DATA and HEADERS
END_HEADERS = 0x4  # of HEADERS, PUSH_PROMISE and CONTINUATION

CANCEL = 0x8


class NotHttp2Error(ValueError):
    """The bytes are none of this protocol."""


class Frame(NamedTuple):
    """One frame.

    Args:
        kind: Its type.
        flags: As sent.
        stream: Which it belongs to; 0 is the connection.
        data: All of it, head included.
    """

    kind: int
    flags: int
    stream: int
    data: bytes

    @property
    def size(self) -> int:
        """Bytes without the head: what flow control counts of a DATA frame."""
        return len(self.data) - HEAD_BYTES

    def without(self, flag: int) -> bytes:
        """Return the frame's bytes with a flag taken off."""
        return self.data[:4] + bytes([self.flags & ~flag]) + self.data[5:]


class FrameReader:
    """Split one direction of a connection into frames.

    Args:
        has_preface: Whether it is the client's, which begins with ``PREFACE``.
    """

    def __init__(self, has_preface: bool) -> None:
        self._preface = PREFACE if has_preface else b""
        self._buffer = bytearray()

    @property
    def partial(self) -> bytes:
        """What has come of the next frame."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """Take bytes; return the preface when it is whole now, and the frames that are.

        Raises:
            NotHttp2Error: The preface or the first frame is none.
        """
        self._buffer += data
        preface = self._take_preface()
        frames: list[Frame] = []
        while not self._preface and (frame := self._take_frame()) is not None:
            frames.append(frame)
        return preface, frames

    def _take_preface(self) -> bytes:
        preface = self._preface
        if not preface:
            return b""
        if not preface.startswith(self._buffer[: len(preface)]):
            raise NotHttp2Error("the client sent no HTTP/2 preface")
        if len(self._buffer) < len(preface):
            return b""
        self._preface = b""
        del self._buffer[: len(preface)]
        return preface

    def _take_frame(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES:
            return None
        end = HEAD_BYTES + int.from_bytes(buffer[:3])
        if len(buffer) < end:
            return None
        data = bytes(buffer[:end])
        del buffer[:end]
        return Frame(data[3], data[4], int.from_bytes(data[5:9]) & 0x7FFF_FFFF, data)


def rst_stream(stream: int, code: int) -> bytes:
    """Make the frame that ends a stream with an error code."""
    return _frame(RST_STREAM, stream, code.to_bytes(4))


def window_update(size: int) -> bytes:
    """Make the frame that gives so many bytes back to the connection's window."""
    return _frame(WINDOW_UPDATE, 0, size.to_bytes(4))


def _frame(kind: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, 0]) + stream.to_bytes(4) + payload
