"""The proxy's connection to one node: raw frames out, raw frames back, matched in order.

Like ``shard.connection``, without a future per command and without reading what is in a reply: its
end is found, its bytes go on. Opened by the first command that needs it; those that come meanwhile
wait. When it can't be opened, or ends, each command on it goes back to the router, which knows what
that means for it.

Not handled: RESP3 pushes, which nothing here asks for: they are dropped.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol, cast

from shard.greeting import Greeting
from shard.policy.attempt import Failure
from shard.policy.backoff import Backoff
from shard.policy.frames import LENGTHS, ProtocolError, ReplyCut
from shard.policy.topology import Address
from shard.proxy.request import NOBODY, Inner, Request
from shard.proxy.turn import Turn
from shard.resp import pack

CONNECT_TIMEOUT_S = 0.3  # as the clients (``shard.connection``)
REPLY_TIMEOUT_S = 1.0  # a node silent so long is failed over anyway
MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_HELD_BYTES = 64 * 1024 * 1024  # of commands that a node which doesn't read has yet to get

_ASKING = pack(("ASKING",))
_CRLF = b"\r\n"
_BULK, _ERROR, _PUSH, _ARRAY = b"$->*"
_SHORT = frozenset(b"+-:_#,(")


class Owner(Protocol):
    """Who gets back what a line couldn't bring to an end."""

    def on_error(self, request: Request, reply: bytes, line: "Line") -> None:
        """Take an error reply: the client's answer, or the cause of another attempt."""

    def on_failure(self, request: Request, failure: Failure, line: "Line") -> None:
        """Take a command that got no reply."""

    def on_line(self, line: "Line", event: str) -> None:
        """Note that a line was ``connected``, ``failed`` or ``lost``."""


class Line(asyncio.Protocol):
    """One connection at a time to one node.

    Args:
        address: The node.
        greeting: Said first on each connection.
        owner: Gets what fails.
        turn: Says when to write.
        rng: Jitter of the backoff.
        on_open: Packed commands sent once before a connection counts as open; each must succeed.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        address: Address,
        greeting: Greeting,
        owner: Owner,
        turn: Turn,
        rng: Random,
        *,
        on_open: Callable[[], Sequence[bytes]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self.is_ready = False  # open, greeted, and the kernel takes more
        self.count = 0
        self._greeting = greeting
        self._owner = owner
        self._turn = turn
        self.on_open = on_open
        self._clock = clock
        self._backoff = Backoff(rng)
        self._transport: asyncio.Transport | None = None
        self._unanswered: deque[Request] = deque()
        self._queued: list[bytes] = []
        self._held: deque[Request] = deque()
        self._held_bytes = 0
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._cut: ReplyCut | None = None
        self._silent_since_s: float | None = None  # with something unanswered
        self._opening: asyncio.Task[None] | None = None
        self._is_open = False
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<Line {self.address} {'open' if self._is_open else 'closed'}>"

    @property
    def in_flight(self) -> int:
        """Commands that wait for the connection or for their reply."""
        return len(self._unanswered) + len(self._held)

    def send(self, request: Request) -> None:
        """Send at the end of this turn, or once the connection is there."""
        if not self.is_ready or request.__class__ is not Request:
            self._send_slowly(request, asking=False)
            return
        if not self._queued:
            self._turn.add(self)
        self._queued.append(request.payload)
        self._unanswered.append(request)

    def send_asking(self, request: Request) -> None:
        """Send with ASKING before it; a line that isn't open fails it at once."""
        self._send_slowly(request, asking=True)

    def may_open(self, now_s: float) -> bool:
        """Whether it is open, or an attempt is under way or allowed."""
        return self._is_open or self._opening is not None or self._backoff.may_try(now_s)

    def flush(self) -> None:
        """Write what this turn brought."""
        if self._transport is None or not self._queued:
            self._queued.clear()
            return
        payloads, self._queued = self._queued, []
        self.count += len(payloads)
        self._transport.write(b"".join(payloads))

    def sweep(self, now_s: float) -> None:
        """Fail what is past its deadline, and the connection of a node that is silent."""
        for request in [each for each in self._held if now_s >= each.deadline_s]:
            self._held.remove(request)
            self._held_bytes -= len(request.payload)
            self._owner.on_failure(request, Failure.EXPIRED, self)
        for request in self._unanswered:
            if now_s >= request.deadline_s and request.reply is None:
                self._owner.on_failure(request, Failure.OVERDUE, self)
        if not (self._is_open and self._unanswered):
            self._silent_since_s = None
        elif self._silent_since_s is None:
            self._silent_since_s = now_s
        elif now_s - self._silent_since_s > REPLY_TIMEOUT_S:
            self._end(Failure.LOST, f"silent for {REPLY_TIMEOUT_S:g} s")

    def hang_up(self) -> None:
        """End the connection; the next command opens another."""
        self._end(Failure.LOST)

    async def close(self) -> None:
        """End it for good."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        self._end(Failure.LOST)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is here: the node closed, or reading or writing failed."""
        if self._transport is not None and self._transport.is_closing():  # not one before it
            self._end(Failure.LOST)

    def pause_writing(self) -> None:
        """Hold commands back: the node doesn't read."""
        self.is_ready = False

    def resume_writing(self) -> None:
        """Send what was held back."""
        self.is_ready = self._is_open
        self._release()

    def data_received(self, data: bytes) -> None:
        """Hand each reply to whoever waits for it."""
        self._silent_since_s = None
        if self._pieces_bytes:
            self._pieces.append(data)
            self._pieces_bytes += len(data)
            if self._cut is not None and self._pieces_bytes < self._cut.needed:
                return
            if self._pieces_bytes > MAX_REPLY_BYTES:
                self._end(Failure.LOST)
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        try:
            at = self._hand_out(data)
        except (ProtocolError, IndexError):  # not RESP, or a reply nobody asked for
            self._end(Failure.LOST)
            return
        self._pieces_bytes = len(data) - at
        if self._pieces_bytes:
            self._pieces.append(data[at:])

    def _hand_out(self, data: bytes) -> int:
        """Hand out every whole reply; return where the first that isn't begins."""
        at, size = 0, len(data)
        find, known, next_one = data.find, LENGTHS.get, self._unanswered.popleft
        while at < size:
            kind, end = data[at], find(_CRLF, at)
            if kind == _BULK and end > 0 and (length := known(data[at + 1 : end])) is not None:
                stop = end + length + 4
            elif kind in _SHORT and end > 0:
                stop = end + 2
            else:
                stop = self._walk(data, at)
            if stop > size or stop < 0:
                self._cut = self._cut or ReplyCut()
                self._walk(data, at)
                return at
            self._cut = None
            reply, at = data[at:stop], stop
            if kind == _PUSH:
                continue
            request = next_one()
            if kind == _ERROR and not isinstance(request, Inner):
                self._owner.on_error(request, reply, self)
            else:
                request.settle(reply)
        return at

    def _walk(self, data: bytes, at: int) -> int:
        self._cut = self._cut or ReplyCut()
        return self._cut.go_on(data, at)

    def _send_slowly(self, request: Request, *, asking: bool) -> None:
        if self.is_ready:
            self._write(request, asking=asking)
        elif asking or not self.may_open(self._clock()):
            self._owner.on_failure(request, Failure.DOWN, self)
        elif self._held_bytes + len(request.payload) > MAX_HELD_BYTES:
            self._owner.on_failure(request, Failure.FULL, self)
        else:
            self._held.append(request)
            self._held_bytes += len(request.payload)
            self.open()

    def _write(self, request: Request, *, asking: bool = False) -> None:
        if not self._queued:
            self._turn.add(self)
        if asking:
            self._queued.append(_ASKING)
            self._unanswered.append(Inner(NOBODY))
        self._unanswered.extend(request.leaders())
        self._queued.append(request.payload)
        self._unanswered.append(request)

    def _release(self) -> None:
        while self._held and self.is_ready:
            request = self._held.popleft()
            self._held_bytes -= len(request.payload)
            if request.reply is None:
                self._write(request)

    def open(self) -> None:
        """Begin to connect, unless it is open, under way, or the backoff holds."""
        idle = self._opening is None and not self._is_open and not self._is_closed
        if idle and self._backoff.may_try(self._clock()):
            self._opening = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                host, port = self.address
                await loop.create_connection(lambda: self, host, port, ssl=self._greeting.tls)
                await self._greet()
        except OSError as error:  # TimeoutError and ConnectionError are OSErrors too
            self._backoff.on_failure(self._clock())
            self._owner.on_line(self, "failed")
            self._end(Failure.DOWN, str(error))
            return
        finally:
            self._opening = None
        self._backoff.on_success()
        self._is_open = self.is_ready = True
        self._silent_since_s = None
        self._owner.on_line(self, "connected")
        self._release()

    async def _greet(self) -> None:
        """Wait until the node has taken the greeting; -LOADING is no answer yet."""
        done = asyncio.get_running_loop().create_future()
        greeter = _Greeter(done)
        payloads = [*self._greeting.commands(), *self.on_open()]
        greeter.left = len(payloads)
        assert self._transport is not None
        self._unanswered.extend(Inner(greeter) for _ in payloads)
        self._transport.write(b"".join(payloads))
        await done
        if self._transport is None:
            raise ConnectionError("closed right after its greeting")

    def _end(self, failure: Failure, why: str = "") -> None:
        """End the connection and give back everything on it."""
        transport, self._transport = self._transport, None
        was_open, self._is_open, self.is_ready = self._is_open, False, False
        if transport is not None:
            transport.abort()
        unanswered, self._unanswered = self._unanswered, deque()
        held, self._held, self._held_bytes = self._held, deque(), 0
        # At least these many of the last weren't written (a block has one payload, many replies).
        sent = len(unanswered) - len(self._queued) if was_open else 0
        self._queued, self._pieces, self._pieces_bytes, self._cut = [], [], 0, None
        if was_open:
            self._owner.on_line(self, "lost")
        for number, request in enumerate(unanswered):
            self._give_back(request, failure if number < sent else Failure.DOWN, why)
        for request in held:
            self._give_back(request, Failure.DOWN, why)

    def _give_back(self, request: Request, failure: Failure, why: str) -> None:
        if isinstance(request, Inner):
            request.settle(b"-ERR connection lost\r\n")
        elif request.reply is None:
            request.trouble = why
            self._owner.on_failure(request, failure, self)


class _Greeter:
    """Counts the answers to a greeting."""

    def __init__(self, done: "asyncio.Future[None]") -> None:
        self.left = 0
        self._done = done

    def answered(self, request: Request) -> None:
        """Take one; an error among them ends the attempt."""
        self.left -= 1
        reply = request.reply or b""
        if self._done.done():
            return
        if reply[:1] == b"-":
            self._done.set_exception(ConnectionError(reply[1:-2].decode("utf-8", "replace")))
        elif self.left == 0:
            self._done.set_result(None)
