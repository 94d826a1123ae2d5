"""What flows through a link: bytes, and the three ways in which they may end.

Why: a delay must also hold up the end of a stream, and a cut must overtake nothing that was sent
before it. So ends travel in the same line as bytes, and order comes for free.
Source: Toxiproxy's chunks, of which None is the end (Shopify/toxiproxy: stream/io_chan.go); a reset
is one of ours, since there it is a property of the socket.
"""

from enum import Enum
from typing import NamedTuple, TypeAlias


class Way(Enum):
    """Direction of a flow, named as Toxiproxy names it."""

    UPSTREAM = "upstream"  # client to server
    DOWNSTREAM = "downstream"  # server to client

    @property
    def other(self) -> "Way":
        """The opposite direction."""
        return Way.DOWNSTREAM if self is Way.UPSTREAM else Way.UPSTREAM


class Signal(Enum):
    """How a flow ends."""

    END = "end"  # no more bytes this way; the other way goes on (FIN, half-close)
    CLOSE = "close"  # both connections end in order, after what was sent
    RESET = "reset"  # both connections are cut (RST)


Piece: TypeAlias = bytes | Signal


class Timed(NamedTuple):
    """A piece and when it may leave, in monotonic seconds."""

    due_s: float
    piece: Piece
