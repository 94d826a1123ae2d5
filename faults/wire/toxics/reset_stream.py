"""Reset stream: some answers on an HTTP/2 connection end in RST_STREAM, the others are untouched.

Why: gRPC multiplexes calls, so a connection that breaks takes all of them along, and a stream that
breaks only one. Clients that know just the first kind of failure retry the wrong thing.

Both compress headers with a table that both ends keep (HPACK), so a header block taken out would
garble every later one. Therefore the answer's headers pass, without the flag that they end the
stream; RST_STREAM follows at once; DATA of that stream is dropped, and header blocks that still
come pass too: a client decodes them for the table's sake and throws them away.
Dropped DATA counts against the connection's window at the server, whose client never sees it; so we
give the window back, and tell the server that nobody listens any more (RST_STREAM CANCEL).
Source: RFC 9113, sections 4.3, 5.1, 5.2, 6.4, 8.1; RFC 7541, section 2.2.
Not handled: a request that is still being sent when its answer is reset: its server hears of it.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable

from faults.kinds import DEFAULT_RESET_CODE, HTTP2_CODES
from faults.wire.http2 import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PUSH_PROMISE,
    Frame,
    FrameReader,
    NotHttp2Error,
    rst_stream,
    window_update,
)
from faults.wire.piece import Piece, Timed, Way
from faults.wire.proof import WireProof
from faults.wire.spec import ToxicSpec
from faults.wire.stage import Stage, Stages

DEFAULT_CODE = HTTP2_CODES[DEFAULT_RESET_CODE]
REMEMBERED_STREAMS = 10_000  # reset lately, of which frames may still come


def make_reset_stream(spec: ToxicSpec, proof: WireProof, rng: random.Random) -> Stages:
    """Make both halves."""
    requests = _Requests(spec, proof, rng)
    return {Way.UPSTREAM: requests, Way.DOWNSTREAM: _Answers(spec, proof, rng, requests)}


class _Half(Stage, ABC):
    """A half that reads frames, as long as it understands them."""

    has_preface = False

    def __init__(self, spec: ToxicSpec, proof: WireProof, rng: random.Random) -> None:
        super().__init__(spec, proof, rng)
        self._reader: FrameReader | None = FrameReader(self.has_preface)
        self._in_headers = False  # between HEADERS and its last CONTINUATION no other frame may be

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Split into frames; what is left over waits for its rest."""
        if self._reader is None:
            return (Timed(now_s, piece),)
        if not isinstance(piece, bytes):
            rest = self._reader.partial
            return (*((Timed(now_s, rest),) if rest else ()), Timed(now_s, piece))
        try:
            preface, frames = self._reader.feed(piece)
        except NotHttp2Error as error:
            self.proof.error = f"not an HTTP/2 link: {error}"
            rest, self._reader = self._reader.partial, None
            return (Timed(now_s, rest),)
        return self._join(preface, frames, now_s)

    @abstractmethod
    def on_frame(self, frame: Frame, now_s: float) -> bytes:
        """Return what is sent for a frame."""

    @property
    def is_needed(self) -> bool:
        """Until the frame that has begun is whole."""
        return super().is_needed or bool(self._reader and self._reader.partial)

    def _join(self, preface: bytes, frames: list[Frame], now_s: float) -> Iterable[Timed]:
        out = bytearray(preface)
        for frame in frames:
            out += self.on_frame(frame, now_s)
            if frame.kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
                self._in_headers = not frame.flags & END_HEADERS
        return (Timed(now_s, bytes(out)),) if out else ()

    def _count(self, piece: Piece, planned: list[Timed], now_s: float) -> None:
        """Count streams that are reset only, not how bytes are grouped."""


class _Requests(_Half):
    """Client to server: everything passes; frames of ours go in between."""

    has_preface = True

    def __init__(self, spec: ToxicSpec, proof: WireProof, rng: random.Random) -> None:
        super().__init__(spec, proof, rng)
        self._waiting = bytearray()

    def on_frame(self, frame: Frame, now_s: float) -> bytes:
        ends_headers = frame.flags & END_HEADERS
        if self._waiting and (not self._in_headers or ends_headers):
            waiting = bytes(self._waiting)
            self._waiting.clear()
            return waiting + frame.data if not self._in_headers else frame.data + waiting
        return frame.data

    def send(self, frames: bytes, now_s: float) -> None:
        """Send frames of ours to the server, at the next place where one may be."""
        if self._reader is None:
            return
        if self._in_headers or self._reader.partial:
            self._waiting += frames
        else:
            self.put(Timed(now_s, frames))


class _Answers(_Half):
    """Server to client: reset some streams."""

    def __init__(
        self, spec: ToxicSpec, proof: WireProof, rng: random.Random, requests: _Requests
    ) -> None:
        super().__init__(spec, proof, rng)
        self._requests = requests
        self._seen: dict[int, bool] = {}  # streams that have an answer: whether it is reset
        self._resetting = 0  # its headers are passing; RST_STREAM follows their last frame

    def on_frame(self, frame: Frame, now_s: float) -> bytes:
        if frame.kind == HEADERS and frame.stream not in self._seen:
            return self._begin(frame, now_s)
        is_reset = self._seen.get(frame.stream, False)
        if frame.kind in (DATA, HEADERS) and frame.flags & END_STREAM:
            self._seen.pop(frame.stream, None)
        if not is_reset:
            return frame.data
        if frame.kind == DATA:
            self._give_back(frame.size, now_s)
            return b""
        if frame.kind == CONTINUATION and self._resetting == frame.stream:
            return frame.data + self._end_headers(frame)
        return frame.data

    def _begin(self, frame: Frame, now_s: float) -> bytes:
        is_reset = not self.is_over and self.rng.random() < self.spec.share
        if not frame.flags & END_STREAM:
            self._remember(frame.stream, is_reset)
        if not is_reset:
            return frame.data
        self.hit(frame.size)
        self.proof.resets += 1
        self._resetting = frame.stream
        if not frame.flags & END_STREAM:
            self._requests.send(rst_stream(frame.stream, CANCEL), now_s)
        return frame.without(END_STREAM) + self._end_headers(frame)

    def _end_headers(self, frame: Frame) -> bytes:
        if not frame.flags & END_HEADERS:
            return b""
        self._resetting = 0
        return rst_stream(frame.stream, int(self.spec.number("code", DEFAULT_CODE)))

    def _give_back(self, size: int, now_s: float) -> None:
        """Return a dropped frame's share of the connection's window to the server."""
        if size:
            self._requests.send(window_update(size), now_s)

    def _remember(self, stream: int, is_reset: bool) -> None:
        self._seen[stream] = is_reset
        if len(self._seen) > REMEMBERED_STREAMS:
            del self._seen[next(iter(self._seen))]

    @property
    def is_needed(self) -> bool:
        """As long as frames of a stream that was reset may still come."""
        return super().is_needed or any(self._seen.values())
