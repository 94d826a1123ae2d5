"""One client: its bytes cut into commands, its answers in the order of its commands.

The hot path is ``_take_known``: a command whose beginning is known (``shard.proxy.heads``) costs a
comparison, or one pattern and one look-up, and the making of a ``Request``; its own bytes go to the
node unchanged. All else, and all that a user isn't free to do, goes by ``shard.proxy.dispatch``.
Its answer is only noted: at the end of the turn those that are next go out together.

- *Bounded*: of a client with ``pipeline`` commands unanswered, or which doesn't read its answers,
  nothing more is read; one whose answers pile up past ``output_bytes`` all the same is closed.
- *What isn't RESP* is answered with an error, after what came before it, and closes the connection:
  nothing behind it can be told apart.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from shard.policy.acl import User
from shard.policy.attempt import Work
from shard.policy.frames import STRANGER_LIMITS, ProtocolError, RequestCut, inline_words
from shard.proxy.dispatch import dispatch
from shard.proxy.heads import HEAD, MARKED_LENGTHS
from shard.proxy.request import Request
from shard.proxy.router import error
from shard.resp import pack

if TYPE_CHECKING:
    from shard.proxy.front import Front
    from shard.proxy.transaction import Transaction

LINGER_S = 1.0  # for what a client still writes after the error that ends it

_CRLF = b"\r\n"
_ASTERISK = 42


class Session(asyncio.Protocol):
    """A client's connection.

    Args:
        front: What all clients share.
        number: Told as CLIENT ID.
    """

    def __init__(self, front: "Front", number: int) -> None:
        self.front = front
        self.number = number
        self.name = b""
        self.protocol = 2
        self.user: User | None = None
        self.transaction: Transaction | None = None
        self.is_plain = False  # nothing has to be asked before a command goes on
        self.heard_s = front.clock()
        self._waiting: deque[Request] = deque()
        self._transport: asyncio.Transport | None = None
        self._is_noted = False  # to be flushed at the end of this turn
        self._held_bytes = 0  # answers that haven't been written
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._needed = 0
        self._cut: RequestCut | None = None
        self._is_paused = False  # nothing is read
        self._is_choked = False  # it doesn't read
        self._is_ending = False
        self._is_lingering = False
        self.log_in(front.users.first)

    @property
    def is_idle(self) -> bool:
        """Whether it has no command under way."""
        return not (self._waiting or self._pieces_bytes)

    @property
    def under_way(self) -> int:
        """Commands that have no answer yet."""
        return len(self._waiting)

    def log_in(self, user: User | None) -> None:
        """Be that user from now on."""
        self.user = user
        self.settle_mode()

    def settle_mode(self) -> None:
        """Find out anew whether commands can take the short way."""
        self.is_plain = self.user is not None and self.user.is_free and self.transaction is None

    def forward(self, request: Request) -> None:
        """Send a command whose answer is this client's next."""
        self._waiting.append(request)
        self.front.router.send(request)

    def expect(self, request: Request) -> None:
        """Wait for a command that others settle."""
        self._waiting.append(request)

    def request(self, payload: bytes, place: int, key: bytes, work: Work) -> Request:
        """Make a command of this client."""
        deadline_s = self.heard_s + self.front.settings.command_timeout_s
        return Request(self, payload, place, key, work, deadline_s, self.protocol)

    def reply(self, reply: bytes) -> None:
        """Answer a command here, in its turn."""
        self.front.own_answers += 1
        request = self.request(b"", 0, b"", Work.READ)
        self._waiting.append(request)
        request.settle(reply)

    def say_last(self, reply: bytes) -> None:
        """Answer in its turn, and close."""
        self.reply(reply)
        self.finish()

    def answered(self, request: Request) -> None:
        """Let answers go at the end of this turn, as many as are next by then."""
        assert request.reply is not None
        self._held_bytes += len(request.reply)
        if not self._is_noted:
            self._is_noted = True
            self.front.turn.add(self)

    def flush(self) -> None:
        """Write the answers of this turn; read on when there is room again."""
        self._is_noted = False
        if self._transport is None:
            return
        self._write_next()
        if (self._held_bytes or self._is_choked) and self._too_much_output():
            return
        if self._is_ending and not self._waiting:
            self._close()
        elif self._is_paused:
            self._go_on()

    def _write_next(self) -> None:
        """Write what has an answer up to the first that has none."""
        waiting = self._waiting
        out: list[bytes] = []
        while waiting and (reply := waiting[0].reply) is not None:
            waiting.popleft()
            out.append(reply)
        if out and self._transport is not None:
            data = out[0] if len(out) == 1 else b"".join(out)
            self._held_bytes -= len(data)
            self._transport.write(data)

    def finish(self) -> None:
        """Read nothing more; close once everything is answered."""
        self._is_ending = True
        if self._transport is not None:
            if not self._is_lingering:
                self._pause()
            if not self._waiting:
                self._close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, or refuse the client when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        refusal = self.front.admit(self)
        if refusal is not None:
            self._is_ending = True
            self._transport.write(error(refusal))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client; answers that still come are dropped."""
        self._transport = None
        self._waiting.clear()
        self.front.buffered_bytes -= self._pieces_bytes
        self._pieces, self._pieces_bytes = [], 0
        self.front.leave(self)

    def eof_received(self) -> bool:
        """Answer what came before the end."""
        self.finish()
        return not self.is_idle

    def pause_writing(self) -> None:
        """Read nothing from a client that doesn't read."""
        self._is_choked = True
        self._pause()

    def resume_writing(self) -> None:
        """Read on."""
        self._is_choked = False
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Take the commands in what came."""
        self.heard_s = self.front.clock()
        if self._is_ending:
            return
        if self._pieces_bytes or self._is_paused:
            self._keep(data)
            if self._is_paused or self._pieces_bytes < self._needed:
                return
            data = self._kept()
        self._take_all(data)

    def _take_all(self, data: bytes) -> None:
        try:
            at = self._take(data)
        except ProtocolError as wrong:
            self.front.counts["protocol_errors"] += 1
            self._is_lingering = True
            self.say_last(error(f"ERR {wrong}"))
            return
        if at < len(data):
            self._keep(data[at:])

    def _take(self, data: bytes) -> int:
        """Take whole commands; return where the first stands that isn't, or has to wait."""
        at, size, pipeline = 0, len(data), self.front.settings.pipeline
        while at < size and not self._is_ending:
            room = pipeline - len(self._waiting)
            if room <= 0 or self._is_choked:
                self._pause()
                break
            if self.is_plain and self._cut is None:
                stop = self._take_known(data, at, room)
                if stop > at:
                    at = stop
                    continue
            stop = self._take_slowly(data, at)
            if stop < 0:
                break
            at = stop
        return at

    def _take_known(self, data: bytes, at: int, room: int) -> int:
        """Take commands while their beginnings are known; return where the first stands that isn't.

        The same beginning comes again and again, so it is compared with before it is looked up.
        """
        router, heads, protocol = self.front.router, self.front.heads, self.protocol
        note, send, place_of = self._waiting.append, router.send, router.place_of
        deadline_s = self.heard_s + self.front.settings.command_timeout_s
        head, begin, size = None, b"", len(data)
        while at < size and room:
            if head is None or not data.startswith(begin, at):
                found = HEAD.match(data, at)
                head = None if found is None else heads.get(found[0])
                if head is None or found is None:
                    break
                begin = found[0]
                begin_bytes, (key_bytes, values, work) = len(begin), head
            key_at = at + begin_bytes
            key_end = stop = key_at + key_bytes
            if values:
                stop = _end_of_values(data, key_end, values)
            stop += 2
            if data[stop - 2 : stop] != _CRLF:
                break
            key = data[key_at:key_end]
            one = Request(self, data[at:stop], place_of(key), key, work, deadline_s, protocol)
            note(one)
            send(one)
            at, room = stop, room - 1
        return at

    def _take_slowly(self, data: bytes, at: int) -> int:
        """Take one command of any kind; -1: it hasn't all come."""
        if data[at] != _ASTERISK:
            return self._take_line(data, at)
        if self._cut is None:
            limits = STRANGER_LIMITS if self.user is None else self.front.settings.frames
            self._cut = RequestCut(limits)
        cut = self._cut
        stop = cut.go_on(data, at)
        self._needed = cut.needed if stop < 0 else 0
        if stop < 0:
            return -1
        self._cut = None
        if cut.words:
            if len(cut.words) > 1 and (begin := HEAD.match(data, at)) is not None:
                self.front.heads.learn(begin[0], cut.words)
            dispatch(self, cut.words, data[at:stop])
        return stop

    def _take_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        most = self.front.settings.frames.inline_bytes
        if (end if end >= 0 else len(data)) - at > most:
            raise ProtocolError("Protocol error: too big inline request")
        self._needed = 0
        if end < 0:
            return -1
        words = inline_words(data[at:end])
        if words:
            dispatch(self, words, pack(tuple(words)))
        return end + 1

    def _close(self) -> None:
        """Close; a client that still writes is let finish, or it would never see the answer."""
        if self._transport is None:
            return
        if not self._is_lingering:
            self._transport.close()
            return
        self._is_lingering = False
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self.abort)

    def _keep(self, data: bytes) -> None:
        self._pieces.append(data)
        self._pieces_bytes += len(data)
        self.front.buffered_bytes += len(data)
        if self.front.buffered_bytes > self.front.settings.buffered_bytes:
            self.front.counts["overflows"] += 1
            self._is_lingering = True
            self.say_last(error("ERR the proxy holds too much of unfinished commands: try again"))

    def _kept(self) -> bytes:
        data = b"".join(self._pieces)
        self.front.buffered_bytes -= self._pieces_bytes
        self._pieces, self._pieces_bytes = [], 0
        return data

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Read on, first what is here, once half of the room is free again."""
        room = len(self._waiting) <= self.front.settings.pipeline // 2
        if not self._is_paused or self._is_choked or self._is_ending or not room:
            return
        self._is_paused = False
        if self._pieces_bytes and self._pieces_bytes >= self._needed:
            self._take_all(self._kept())
        if not self._is_paused and self._transport is not None:
            self._transport.resume_reading()

    def _too_much_output(self) -> bool:
        assert self._transport is not None
        piled = self._held_bytes + self._transport.get_write_buffer_size()
        if piled <= self.front.settings.output_bytes:
            return False
        self.front.counts["output_overflows"] += 1
        self._transport.abort()
        return True


def _end_of_values(data: bytes, at: int, values: int) -> int:
    """Return where the last word behind a key ends; the end of the data: look more slowly."""
    for _ in range(values):
        begin = at + 2
        end = data.find(_CRLF, begin)
        length = MARKED_LENGTHS.get(data[begin:end]) if end > 0 else None
        if length is None or data[at:begin] != _CRLF:
            return len(data)
        at = end + 2 + length
    return at
