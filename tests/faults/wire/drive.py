"""Drive an exchange by plain numbers: feed pieces at times, collect what leaves and when."""

import random
from collections.abc import Sequence

from faults.wire.exchange import Exchange, Told
from faults.wire.piece import Piece, Signal, Way

Timeline = list[tuple[float, Piece]]

DOWN = Way.DOWNSTREAM
UP = Way.UPSTREAM


def exchange_with(*toxics: Told, seed: int = 7, now_s: float = 0.0) -> Exchange:
    """Make a connection with these toxics from its beginning."""
    exchange = Exchange(random.Random(seed))
    exchange.set_toxics(toxics, now_s)
    return exchange


def flow(
    exchange: Exchange, feeds: Sequence[tuple[float, Piece]] = (), way: Way = DOWN
) -> Timeline:
    """Feed a direction and follow it to its end; times rounded to microseconds."""
    left: Timeline = []
    for at_s, piece in feeds:
        left += until(exchange, at_s, way)
        exchange.take(way, piece, at_s)
        left += drain(exchange, at_s, way)
    return left + until(exchange, float("inf"), way)


def until(exchange: Exchange, limit_s: float, way: Way = DOWN) -> Timeline:
    """Let pass what leaves before a time."""
    left: Timeline = []
    while (next_s := exchange.next_s(way)) is not None and next_s < limit_s:
        left += drain(exchange, next_s, way)
    return left


def drain(exchange: Exchange, now_s: float, way: Way = DOWN) -> Timeline:
    """Let pass what may leave now."""
    left: Timeline = []
    while (piece := exchange.leave(way, now_s)) is not None:
        left.append((round(now_s, 6), piece))
    return left


def data(timeline: Timeline) -> bytes:
    """Join the bytes of what left."""
    return b"".join(piece for _, piece in timeline if isinstance(piece, bytes))


def times(timeline: Timeline) -> list[float]:
    """Return when things left."""
    return [at_s for at_s, _ in timeline]


def signals(timeline: Timeline) -> list[Signal]:
    """Return the ends among what left."""
    return [piece for _, piece in timeline if isinstance(piece, Signal)]
