"""Cut what an HTTP/2 client sends into frames, and count those that only cost.

Why before the library: it reads all that a socket had before it tells of any, and forgets what it
has read when a later frame is wrong; one frame at a time, a flood ends at its limit and a request
before the error still counts. And a client that says GOAWAY only opens no more streams; the library
would take it for the end of those it has.
Source: RFC 9113 4.1 (frame header), 6 (types), 10.5; CVE-2024-27316 (CONTINUATION without end);
envoy:source/common/http/http2/protocol_constraints.cc (``checkInboundFrameLimits``).
Not handled: a budget of bytes for control frames; their number is what costs.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from h2.errors import ErrorCodes

from lb.l7.http2.options import Http2Options
from lb.l7.settings import MAX_HEAD_BYTES

MAX_FRAME_BYTES = 16_384  # RFC 9113 4.2: what everyone may send; we allow no more
WINDOW_S = 1.0  # over which frames are counted
FREE_WINDOW_UPDATES = 5  # Envoy's: before anything was sent
WINDOW_UPDATES_PER_FRAME = 10  # Envoy's: for each DATA frame that we have sent

_HEADER_BYTES = 9
_END_HEADERS = 0x4
_DATA = b"\0"


class FrameType(IntEnum):
    """RFC 9113 6."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Breach(Exception):
    """The connection ends: ``code`` is what GOAWAY says, the message why."""

    def __init__(self, code: ErrorCodes, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_flood(self) -> bool:
        """Whether it was the number of frames."""
        return self.code is ErrorCodes.ENHANCE_YOUR_CALM


class RawFrame(NamedTuple):
    """One frame, uninterpreted."""

    kind: int
    flags: int
    data: bytes  # its header included


class FrameCutter:
    """Cut a stream of bytes into frames; holds less than one frame."""

    def __init__(self) -> None:
        self._held = b""

    @property
    def is_within(self) -> bool:
        """Whether a frame has begun and not ended, other than one of a body."""
        return bool(self._held) and self._held[3:4] != _DATA

    def cut(self, data: bytes) -> Iterator[RawFrame]:
        """Return what is complete; O(bytes).

        Raises:
            Breach: A frame longer than was allowed.
        """
        if self._held:
            data = self._held + data
        at = 0
        while len(data) - at >= _HEADER_BYTES:
            size = int.from_bytes(data[at : at + 3], "big")
            if size > MAX_FRAME_BYTES:
                limit = f"a frame of {size} bytes; at most {MAX_FRAME_BYTES}"
                raise Breach(ErrorCodes.FRAME_SIZE_ERROR, limit)
            end = at + _HEADER_BYTES + size
            if end > len(data):
                break
            yield RawFrame(data[at + 3], data[at + 4], data[at:end])
            at = end
        self._held = data[at:]


class FloodGuard:
    """Count what one client sends beside its requests; every call is O(1).

    Args:
        options: The limits.

    ``is_in_head`` says that a head has begun and not ended.
    """

    def __init__(self, options: Http2Options) -> None:
        self._options = options
        self._since_s = float("-inf")
        self._resets = 0
        self._control = 0
        self._window_updates = 0
        self._head_bytes = 0
        self.sent_data_frames = 0
        self.opened_streams = 0
        self.is_in_head = False

    def on_frame(self, frame: RawFrame, now_s: float) -> None:
        """Count one that has come.

        Raises:
            Breach: It is one too many.
        """
        kind = frame.kind
        if kind == FrameType.DATA:
            return  # an empty one is known when its padding is off
        if kind in (FrameType.HEADERS, FrameType.CONTINUATION):
            self._on_head(frame, now_s)
        elif kind == FrameType.RST_STREAM:
            self.on_reset(now_s)
        elif kind == FrameType.WINDOW_UPDATE:
            self._on_window_update()
        else:
            self.on_control(now_s)

    def on_reset(self, now_s: float) -> None:
        """Count a stream that the client took back, or made us break."""
        self._turn(now_s)
        self._resets += 1
        if self._resets > self._options.resets_per_s:
            self._refuse(f"more than {self._options.resets_per_s} streams reset in a second")

    def on_control(self, now_s: float) -> None:
        """Count a frame that carries nothing of a request."""
        self._turn(now_s)
        self._control += 1
        limit = self._options.control_frames_per_s
        if self._control > limit:
            self._refuse(f"more than {limit} control frames in a second")

    def _on_head(self, frame: RawFrame, now_s: float) -> None:
        size = len(frame.data) - _HEADER_BYTES
        if frame.kind == FrameType.HEADERS:
            self._head_bytes = size
        else:
            self._head_bytes += size
            if not size:
                self.on_control(now_s)
        self.is_in_head = not frame.flags & _END_HEADERS
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(f"a head of more than {MAX_HEAD_BYTES} bytes")

    def _on_window_update(self) -> None:
        self._window_updates += 1
        earned = self.opened_streams + WINDOW_UPDATES_PER_FRAME * self.sent_data_frames
        if self._window_updates > FREE_WINDOW_UPDATES + 2 * earned:
            self._refuse("more window updates than there was data")

    def _turn(self, now_s: float) -> None:
        if now_s - self._since_s >= WINDOW_S:
            self._since_s = now_s
            self._resets = self._control = 0

    def _refuse(self, message: str) -> None:
        raise Breach(ErrorCodes.ENHANCE_YOUR_CALM, message)
