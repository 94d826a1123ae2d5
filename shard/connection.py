"""One connection to one node: pipelines by itself, answers in order, never waits without end.

Why: a round trip costs more in system calls than in work. All commands of one turn of the event
loop leave in one write, and the replies of one read are matched in order; at 64 callers that is a
write for some 40 commands. No task, timer or lock per command: a slotted object and a future.

- *Cancelled* before the write, a command is not sent; after it, its reply is dropped when it comes.
  Either way nothing has to be undone: a future that is done is skipped.
- *Deadlines* are kept by one sweep timer per connection (10 ms), running only while something is in
  flight; ``asyncio.timeout`` costs 6 to 8 µs a call.
- *The oldest reply overdue* means the node hangs: the connection is closed, everything on it fails.
- *Held back*, by the kernel (the node doesn't read) or by the owner (``hold``), commands stay
  queued, expire unsent and count as refused.
- *Bounded*: at most ``max_in_flight`` commands, abandoned ones counted, since the node still works
  on them. Beyond: ``Failure.FULL`` at once.
- *Pushes* (RESP3) belong to no command: they go to ``on_push``, in order with the replies.
- *What can't be trusted* (not RESP, a reply nobody asked for, a reply without end) closes the
  connection: nothing behind it can be matched.

A command always gets an answer: a reply, a ``ReplyError`` or a ``Failure``. Nothing is raised.
Source: hiredis for parsing; group by loop turn as in h2 and uvicorn's httptools path (call_soon).
Not handled: RESP3 attributes, which no server sends unasked; commands that subscribe or block
(``shard.subscription``, ``shard.own``); who greets (HELLO, AUTH) is ``shard.link``.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

import hiredis

from shard.command import (
    DEFAULT_CONNECT_TIMEOUT_S,
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_MAX_REPLY_BYTES,
    DEFAULT_REPLY_TIMEOUT_S,
    Command,
    Limits,
)
from shard.guard import Guard, TooMuchError
from shard.policy.attempt import Failure
from shard.resp import Answer, ReplyError

__all__ = [
    "DEFAULT_CONNECT_TIMEOUT_S",
    "DEFAULT_MAX_IN_FLIGHT",
    "DEFAULT_MAX_REPLY_BYTES",
    "DEFAULT_REPLY_TIMEOUT_S",
    "Command",
    "Connection",
    "Limits",
]

SWEEP_INTERVAL_S = 0.010

_NOT_ENOUGH = object()
_Push = hiredis.PushNotification
_NOT_TO_BE_TRUSTED = (
    hiredis.ProtocolError,  # not RESP
    IndexError,  # a reply nobody asked for
    TypeError,  # a map or set whose keys no dict takes
    TooMuchError,  # a list header that can't be true
)


class Connection(asyncio.Protocol):
    """An open connection; made by ``loop.create_connection`` and used from that loop only.

    Args:
        limits: See ``Limits``; the connect timeout is the caller's to keep.
        on_lost: Called once when the connection is gone, whoever ended it.
        on_push: Called with each push frame, such as ``[b"invalidate", [b"key"]]``, by the loop:
            after whoever waited for a reply before it has been told. Without it pushes are dropped.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        on_lost: Callable[[], None] = lambda: None,
        on_push: Callable[[list[object]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._on_lost = on_lost
        self._on_push = on_push
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_NOT_ENOUGH)
        self._guard = Guard(self._reader, limits.max_reply_bytes)
        self._transport: asyncio.Transport | None = None
        self._queued: list[Command] = []
        self._held: list[Command] = []
        self._unanswered: deque[Command] = deque()
        self._flush_is_due = False
        self._is_paused = False
        self._is_held = False
        self._is_leaving = False
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._partial_bytes = 0  # of a reply that has begun and not ended
        self.push_count = 0
        self.write_count = 0
        self.command_count = 0
        self.dropped_count = 0

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"<Connection {state}, {self.in_flight} in flight>"

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None

    @property
    def peer(self) -> str:
        """The other side's address in digits; "" when closed."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return name[0] if name else ""

    @property
    def own_host(self) -> str:
        """This side's address in digits; "" when closed."""
        name = self._transport.get_extra_info("sockname") if self._transport else None
        return name[0] if name else ""

    @property
    def in_flight(self) -> int:
        """Commands queued or unanswered, abandoned ones included."""
        return len(self._queued) + len(self._held) + len(self._unanswered)

    def send(
        self,
        payload: bytes,
        deadline_s: float | None = None,
        leaders: Sequence[Command] = (),
    ) -> asyncio.Future[Answer]:
        """Queue a command; it leaves with all others of this turn of the loop.

        Arguments as ``Command``; ``leader`` makes a leader. The future always gets a result (see
        ``Answer``); cancelling it abandons the command.
        """
        future: asyncio.Future[Answer] = self._loop.create_future()
        # ``in_flight`` written out: this is the hottest line of the client.
        flying = len(self._unanswered) + len(self._queued) + len(self._held)
        if flying >= self._limits.max_in_flight:
            future.set_result(Failure.FULL)
        else:
            self.enqueue(Command(payload, future, deadline_s, leaders))
        return future

    def leader(self, payload: bytes) -> Command:
        """Make a command for another one's ``leaders``."""
        return Command(payload, self._loop.create_future(), None)

    def enqueue(self, command: Command) -> None:
        """Queue a command made by the caller, in flight or not: the bound isn't checked."""
        if self._transport is None:
            command.answer(Failure.DOWN)
            return
        if self._is_held:
            self._held.append(command)
        else:
            self._queued.append(command)
            if not self._flush_is_due:
                self._flush_soon()
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(SWEEP_INTERVAL_S, self._sweep)

    def flush(self) -> None:
        """Send what is queued without waiting for the end of the turn."""
        self._flush()

    def hold(self) -> None:
        """Hold back what is enqueued from now on, until ``release``."""
        self._is_held = True

    def release(self) -> None:
        """Let what was held back go; it leaves at the end of this turn."""
        self._is_held = False
        if self._held:
            self._queued.extend(self._held)
            self._held.clear()
            self._flush_soon()

    def refuse_held(self, failure: Failure) -> None:
        """Answer everything that is held back instead of sending it."""
        held, self._held = self._held, []
        for command in held:
            command.answer(failure)

    def close_when_done(self) -> None:
        """End the connection once all that is on it has its answer; send nothing new on it."""
        self._is_leaving = True
        self._leave_if_done()

    def close(self) -> None:
        """End the connection; everything on it fails now."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        transport.abort()  # not close(): a node that hangs would keep the write buffer alive
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self._fail_all()
        self._on_lost()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # A cast, not an isinstance: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is still here; the other side closed, or reading or writing failed."""
        self.close()

    def pause_writing(self) -> None:
        """Hold commands back: the node doesn't read. They expire unsent, so refused."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Send what was held back."""
        self._is_paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Match replies to commands in order."""
        unanswered = self._unanswered
        next_reply = self._reader.gets
        before = len(unanswered), self.push_count
        try:
            for piece in self._guard.pieces(data):
                self._reader.feed(piece)
                while (reply := next_reply()) is not _NOT_ENOUGH:
                    if reply.__class__ is _Push:
                        self._push(reply)
                        continue
                    command = unanswered.popleft()
                    if command.followers is None and not command.future.done():
                        command.future.set_result(reply)
                    elif not command.answer(reply):
                        self.dropped_count += 1
        except _NOT_TO_BE_TRUSTED:
            self.close()
        if before == (len(unanswered), self.push_count):
            self._partial_bytes += len(data)
            if self._partial_bytes > self._limits.max_reply_bytes:
                self.close()
        else:
            self._partial_bytes = 0
            self._guard.on_reply()
        if self._is_leaving:
            self._leave_if_done()

    def _push(self, frame: list[object]) -> None:
        self.push_count += 1
        if self._on_push is not None:
            self._loop.call_soon(self._on_push, frame)

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        if self._is_paused or self._transport is None:
            return
        now_s = self._clock()
        payloads: list[bytes] = []
        for command in self._queued:
            if command.future.done():  # cancelled or expired before the write
                continue
            if command.leaders:
                for leader in command.leaders:
                    leader.sent_s = now_s
                    payloads.append(leader.payload)
                    self._unanswered.append(leader)
            command.sent_s = now_s
            payloads.append(command.payload)
            self._unanswered.append(command)
        self._queued.clear()
        if payloads:
            self.write_count += 1
            self.command_count += len(payloads)
            self._transport.write(b"".join(payloads))

    def _sweep(self) -> None:
        now_s = self._clock()
        for commands in (self._unanswered, self._queued, self._held):
            for command in commands:
                command.expire(now_s)
        if self._unanswered and self._is_overdue(self._unanswered[0], now_s):
            self.close()
            return
        # What expired while it was held back must not fill the bound.
        if self._is_paused:
            self._queued = [each for each in self._queued if not each.future.done()]
        self._held = [each for each in self._held if not each.future.done()]
        self._leave_if_done()
        busy = self.is_open and bool(self.in_flight)
        later = self._loop.call_later
        self._sweep_timer = later(SWEEP_INTERVAL_S, self._sweep) if busy else None

    def _leave_if_done(self) -> None:
        if self._is_leaving and not self.in_flight:
            self.close()

    def _is_overdue(self, command: Command, now_s: float) -> bool:
        return command.sent_s is not None and now_s - command.sent_s > self._limits.reply_timeout_s

    def _fail_all(self) -> None:
        unanswered, unsent = self._unanswered, self._queued + self._held
        self._unanswered, self._queued, self._held = deque(), [], []
        for command in unanswered:
            command.answer(Failure.LOST)
        for command in unsent:
            command.answer(Failure.DOWN)
