"""How much slower the station is to serve the request at hand: what ``slow`` hands down to it.

Why: whether a request is hit depends on its route and tenant, which the injection point knows; how
long it takes is drawn by the station, behind it. A context variable joins the two without the
station knowing of rules. The factor is asked when service begins, not when the request arrives:
once the fault has ended, what waited meanwhile is served at the usual pace.
Not handled: a process without a station; there nothing is slowed, and so nothing is proven.
"""

from collections.abc import Callable
from contextvars import ContextVar


class Slowness:
    """One request's; made by ``faults.act``.

    Args:
        factor: Returns how many times as long as usual service takes now, >= 1.
        on_slowed: Told in seconds how much longer the request was in service for it.
    """

    __slots__ = ("factor", "on_slowed")

    def __init__(self, factor: Callable[[], float], on_slowed: Callable[[float], None]) -> None:
        self.factor = factor
        self.on_slowed = on_slowed


slowness: ContextVar[Slowness | None] = ContextVar("slowness", default=None)
