"""Loading: a store that has just started and answers every command with ``-LOADING``.

Why: a store that accepts connections and doesn't serve is what clients meet after each restart, and
many take the open port for health. With a share below one it is a store that refuses some.

The two halves share one queue, a slot for each command: replies that the server owes, and refusals
of ours between them. So a pipelining client gets every answer in the order of its commands.
A transaction is refused whole or not at all. After a command whose answers have no end (SUBSCRIBE,
MONITOR, SYNC) the connection passes untouched.
Source: valkey's ``shared.loadingerr`` (src/server.c); Shopify/toxiproxy #50 asks for such toxics.
"""

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from enum import Enum

from faults.wire.piece import Piece, Timed, Way
from faults.wire.proof import WireProof
from faults.wire.resp import NotRespError, ReplyKind, command_words, kind_of, message_end
from faults.wire.spec import ToxicSpec
from faults.wire.stage import Stage, Stages

LOADING_REPLY = b"-LOADING Valkey is loading the dataset in memory\r\n"
ENDLESS = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"MONITOR", b"SYNC", b"PSYNC"})
CLIENT_REPLY = (b"CLIENT", b"REPLY")  # switches answers off
TRANSACTION = b"MULTI"
TRANSACTION_ENDS = frozenset({b"EXEC", b"DISCARD"})


class _Slot(Enum):
    OWED = "owed"  # by the server
    REFUSED = "refused"  # by us
    ENDLESS = "endless"  # from here on nobody can tell which answer belongs to what


def make_loading(spec: ToxicSpec, proof: WireProof, rng: random.Random) -> Stages:
    """Make both halves."""
    replies = _Replies(spec, proof, rng)
    return {Way.UPSTREAM: _Commands(spec, proof, rng, replies), Way.DOWNSTREAM: replies}


class _Half(Stage, ABC):
    """A half that reads whole messages, as long as it understands them."""

    def __init__(self, spec: ToxicSpec, proof: WireProof, rng: random.Random) -> None:
        super().__init__(spec, proof, rng)
        self.is_untouched = False
        self._partial = bytearray()

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Split into messages; what is left over waits for its rest."""
        if self.is_untouched:
            return (Timed(now_s, piece),)
        if not isinstance(piece, bytes):
            return (*self._rest(now_s), Timed(now_s, piece))
        self._partial += piece
        planned: list[Timed] = []
        try:
            while not self.is_untouched and self._partial:
                end = message_end(self._partial)
                if end is None:
                    return planned
                message = bytes(self._partial[:end])
                del self._partial[:end]
                planned.extend(self.on_message(message, now_s))
        except NotRespError as error:
            self.proof.error = f"not a RESP link: {error}"
            self.is_untouched = True
        return (*planned, *self._rest(now_s))

    @abstractmethod
    def on_message(self, message: bytes, now_s: float) -> Iterable[Timed]:
        """Say what becomes of a whole message."""

    @property
    def is_needed(self) -> bool:
        """Until the message that has begun is whole."""
        return super().is_needed or bool(self._partial)

    def _rest(self, now_s: float) -> Iterable[Timed]:
        rest = bytes(self._partial)
        self._partial.clear()
        return (Timed(now_s, rest),) if rest else ()

    def _count(self, piece: Piece, planned: list[Timed], now_s: float) -> None:
        """Count refusals only, not how bytes are grouped."""


class _Commands(_Half):
    """Client to server: decide on each command."""

    def __init__(
        self, spec: ToxicSpec, proof: WireProof, rng: random.Random, replies: "_Replies"
    ) -> None:
        super().__init__(spec, proof, rng)
        self._replies = replies
        self._in_transaction: bool | None = None  # whether the one that is open is refused

    def on_message(self, message: bytes, now_s: float) -> Iterable[Timed]:
        words = command_words(message)
        if not words[0]:
            return (Timed(now_s, message),)  # an empty line has no answer
        if self._refuses(words[0]):
            self.hit(len(message))
            self._replies.owe(_Slot.REFUSED, now_s)
            return ()
        self.is_untouched = words[0] in ENDLESS or words == CLIENT_REPLY
        self._replies.owe(_Slot.ENDLESS if self.is_untouched else _Slot.OWED, now_s)
        return (Timed(now_s, message),)

    @property
    def is_needed(self) -> bool:
        """Until a transaction that was refused has been refused to its end."""
        return super().is_needed or bool(self._in_transaction)

    def _refuses(self, name: bytes) -> bool:
        if self._in_transaction is not None:
            refused = self._in_transaction
            if name in TRANSACTION_ENDS:
                self._in_transaction = None
            return refused
        refused = not self.is_over and self.rng.random() < self.spec.share
        if name == TRANSACTION:
            self._in_transaction = refused
        return refused


class _Replies(_Half):
    """Server to client: put our refusals between the server's replies, in the commands' order."""

    def __init__(self, spec: ToxicSpec, proof: WireProof, rng: random.Random) -> None:
        super().__init__(spec, proof, rng)
        self.slots: deque[_Slot] = deque()

    def owe(self, slot: _Slot, now_s: float) -> None:
        """Note whose answer a command gets; ours is given after those before it."""
        self.slots.append(slot)
        for timed in self._due(now_s):
            self.put(timed)

    def on_message(self, message: bytes, now_s: float) -> Iterable[Timed]:
        planned = [Timed(now_s, message)]
        if kind_of(message) is ReplyKind.REPLY and self.slots:
            self.slots.popleft()
            planned.extend(self._due(now_s))
        return planned

    @property
    def is_needed(self) -> bool:
        """Until the last refusal has been given."""
        return super().is_needed or bool(self.slots)

    def _due(self, now_s: float) -> list[Timed]:
        """Take off what the server doesn't answer, up to the next reply that it owes."""
        due = []
        while self.slots and self.slots[0] is not _Slot.OWED:
            if self.slots.popleft() is _Slot.ENDLESS:
                self.is_untouched = True
                self.slots.clear()
            else:
                due.append(Timed(now_s, LOADING_REPLY))
        return due
