"""A body whose length nobody said: refuse it where it grows too large.

Why here: a body with a length is refused before a backend sees it, so only one that comes in
chunks, or over HTTP/2 without a length, has to be counted as it comes. Then the backend that has
begun to read is let go, which cancels its work, and the client is told 413, unless its answer has
begun: that is broken off.
Source: nginx ``client_max_body_size`` for chunked bodies; RFC 9110 15.5.14.
Not handled: trailers, which count as a head does.
"""

from lb.l7.clients import ClientLimits
from lb.l7.exchange import Exchange


def limit_body(exchange: Exchange, limits: ClientLimits) -> None:
    """Refuse a request when more of its body comes than may."""

    def refuse() -> None:
        problem = limits.too_large()
        if exchange.is_started:
            exchange.refuse(problem)
        else:
            exchange.head.problem = problem  # said when its turn comes; nobody has seen it

    exchange.body.limit(limits.options.max_body_bytes, refuse)
