"""Slow clients: how long one may take for a head, a body, or the answer it asked for.

Why: a connection is a resource, and whoever sends a byte a second holds one for nothing. A limit
between two bytes is none: Slowloris keeps it for ever. So a head has one limit for the whole of it,
a body one between its pieces and a least rate over any five seconds, an answer one in which nothing
of it was taken. Clients are looked at once a second; a request costs nothing here.
Source: Apache mod_reqtimeout (``header=20-40,MinRate=500 body=20,MinRate=500``), nginx
``client_header_timeout``, ``client_body_timeout``, ``send_timeout``; 408: RFC 9110 15.5.9.
Not handled: time that the proxy itself makes a client wait, which is counted for nobody: while a
backend takes nothing, a body may stand still.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

from kit.source import DataPath
from kit.source_types import Part
from lb.l7.errors import Problem
from lb.l7.settings import (
    CLIENT_BODY_S,
    CLIENT_HEAD_S,
    CLIENT_IDLE_S,
    CLIENT_MIN_RATE,
    CLIENT_WRITE_S,
    RATE_WINDOW_S,
)
from resilience.policy.contract import Mode, Snapshot

POLICY = "slow_clients"
Kind: TypeAlias = Literal["header", "body", "rate", "write"]
KINDS: tuple[Kind, ...] = ("header", "body", "rate", "write")


class TimeoutOptions(Part, frozen=True):
    """Section ``timeouts``; seconds, more than 0 each.

    Args:
        header_s: For a whole head, from its first byte; for the first, from the connection's start.
        body_s: Between two pieces of a body.
        min_rate: Bytes a second that a body must come with over any 5 s; 0: none.
        write_s: In which a client takes nothing of its answer.
        idle_s: Without a request.
    """

    header_s: float = CLIENT_HEAD_S
    body_s: float = CLIENT_BODY_S
    min_rate: float = CLIENT_MIN_RATE
    write_s: float = CLIENT_WRITE_S
    idle_s: float = CLIENT_IDLE_S


def timeout_mistakes(options: TimeoutOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range."""
    for name in ("header_s", "body_s", "write_s", "idle_s"):
        value = getattr(options, name)
        if not 0.0 < value < float("inf"):
            yield (*at, name), f"{name} is {value:g}; give more than 0"
    if not 0.0 <= options.min_rate < float("inf"):
        yield (*at, "min_rate"), f"min_rate is {options.min_rate:g}; give 0 or more"


class SlowClients:
    """Whether slow clients are sent away, and how many were.

    Args:
        mode: Position of the switch ``slow_clients``: off lets them be, shadow counts.
    """

    __slots__ = ("_mode", "closed", "would_close")

    def __init__(self, mode: Callable[[str], Mode]) -> None:
        self._mode = mode
        self.closed: Counter[str] = Counter()
        self.would_close: Counter[str] = Counter()

    def sends_away(self, kind: Kind) -> bool:
        """Whether one that was too slow in this way has to go."""
        mode = self._mode(POLICY)
        if mode is not Mode.OFF:
            (self.closed if mode is Mode.ON else self.would_close)[kind] += 1
        return mode is Mode.ON

    def snapshot(self) -> Snapshot:
        """Counts by kind since the start: sent away, and in shadow those who would have been."""
        return {
            **{f"slow.{kind}": self.closed[kind] for kind in KINDS},
            **{f"would_close.{kind}": self.would_close[kind] for kind in KINDS},
        }

    def reset(self) -> None:
        """Count anew."""
        self.closed.clear()
        self.would_close.clear()


class BodyPace:
    """How fast a body comes, in windows of five seconds that a pause begins anew."""

    __slots__ = ("_bytes", "_since_s")

    def __init__(self) -> None:
        self._since_s = 0.0
        self._bytes = 0

    def add(self, size: int) -> None:
        """Count a piece."""
        self._bytes += size

    def restart(self) -> None:
        """Begin anew: another body, or one that had to wait for us."""
        self._since_s = 0.0

    def is_too_slow(self, min_rate: float, now_s: float) -> bool:
        """Whether the window that ends now had too few bytes; False while it lasts."""
        if not self._since_s:
            self._since_s, self._bytes = now_s, 0
            return False
        took_s = now_s - self._since_s
        if took_s < RATE_WINDOW_S:
            return False
        is_slow = self._bytes < min_rate * took_s
        self._since_s, self._bytes = now_s, 0
        return is_slow


class WriteStall:
    """For how long so many bytes of an answer have not been taken."""

    __slots__ = ("_held_bytes", "_since_s")

    def __init__(self) -> None:
        self._held_bytes: int | None = None
        self._since_s = 0.0

    def end(self) -> None:
        """The client takes them."""
        self._held_bytes = None

    def lasts_s(self, held_bytes: int, now_s: float) -> float:
        """Return how long this many have been held; from when it was first asked."""
        if self._held_bytes != held_bytes:
            self._held_bytes, self._since_s = held_bytes, now_s
        return now_s - self._since_s


def request_timeout(kind: Kind, options: TimeoutOptions) -> Problem:
    """408: what came, came too slowly; nothing can follow on this connection."""
    told = {
        "header": f"the head wasn't complete within {options.header_s:g} s",
        "body": f"nothing of the body came for {options.body_s:g} s",
        "rate": f"the body came slower than {options.min_rate:g} bytes a second",
    }
    return Problem(408, "REQUEST_TIMEOUT", told[kind], closes=True)
