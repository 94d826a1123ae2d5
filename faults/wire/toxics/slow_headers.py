"""Slow headers: the head of every answer arrives byte by byte, its body at full speed.

Why: a timeout for "connected" is met, one for "the whole answer" takes long to act, and most
clients have nothing in between. The mirror of Slowloris: here the server is the slow one.
Source: Slowloris (R. Hansen, 2009) for the byte at a time; Shopify/toxiproxy #50 asks for toxics
that know HTTP.
"""

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from faults.wire.http1 import MessageReader, NotHttpError, Part
from faults.wire.piece import Piece, Timed, Way
from faults.wire.proof import WireProof
from faults.wire.spec import ToxicSpec
from faults.wire.stage import Stage, Stages


class TimedBytes(NamedTuple):
    """Bytes and when they may leave."""

    due_s: float
    piece: bytes


def make_slow_headers(spec: ToxicSpec, proof: WireProof, rng: random.Random) -> Stages:
    """Make both halves; requests are only read for their methods."""
    methods: deque[bytes] = deque()
    return {
        Way.UPSTREAM: _Requests(spec, proof, rng, MessageReader(False, methods)),
        Way.DOWNSTREAM: _Answers(spec, proof, rng, MessageReader(True, methods)),
    }


class _Half(Stage, ABC):
    """A half that reads messages, as long as it understands them."""

    def __init__(
        self, spec: ToxicSpec, proof: WireProof, rng: random.Random, reader: MessageReader
    ) -> None:
        super().__init__(spec, proof, rng)
        self._reader = reader
        self._is_untouched = False

    def plan(self, piece: Piece, now_s: float) -> Iterable[Timed]:
        """Read along; what isn't HTTP passes untouched from there on."""
        if self._is_untouched or not isinstance(piece, bytes):
            return (Timed(now_s, piece),)
        planned: list[Timed] = []
        done = 0
        try:
            for timed in self.read(piece, now_s):
                planned.append(Timed(*timed))
                done += len(timed.piece)
        except NotHttpError as error:
            self.proof.error = f"not an HTTP/1 link: {error}"
            self._is_untouched = True
        return [*planned, Timed(now_s, piece[done:])] if done < len(piece) else planned

    @abstractmethod
    def read(self, data: bytes, now_s: float) -> Iterator[TimedBytes]:
        """Say when bytes leave, as far as they are understood."""

    def _count(self, piece: Piece, planned: list[Timed], now_s: float) -> None:
        """Count heads only."""


class _Requests(_Half):
    """Client to server: nothing is changed."""

    def read(self, data: bytes, now_s: float) -> Iterator[TimedBytes]:
        for _ in self._reader.feed(data):
            pass  # it notes the methods
        yield TimedBytes(now_s, data)


class _Answers(_Half):
    """Server to client: heads trickle."""

    def read(self, data: bytes, now_s: float) -> Iterator[TimedBytes]:
        gap_s = 0.0 if self.is_over else self.spec.seconds("ms")
        due_s = max(now_s, self.last_s or now_s)
        is_first = self._reader.is_between
        for part, span in self._reader.feed(data):
            if part is Part.HEAD and gap_s:
                self.hit(len(span), count=int(is_first))
                self.proof.delayed_ms += len(span) * gap_s * 1000.0
                for position in range(len(span)):
                    due_s += gap_s
                    yield TimedBytes(due_s, span[position : position + 1])
            else:
                yield TimedBytes(due_s, span)
            is_first = self._reader.is_between
