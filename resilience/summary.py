"""Summary of one request on one hop, handed to whoever keeps it (``squall explain``, metrics)."""

from collections.abc import Callable
from dataclasses import dataclass

from resilience.context import Context

OK = "OK"


@dataclass(slots=True)
class Finished:
    """What became of a request.

    Args:
        context: Its ids and notes.
        route: Template or method, never a raw path: it labels metrics.
        status: ``OK`` or the error's reason.
        code: HTTP status, also for gRPC (by the table of ``errors.Code``).
        started_unix_s: Wall clock at arrival, for people; never for arithmetic.
        duration_s: Until the answer was complete.
        remaining_in_s: Time left at arrival; None without a deadline.
        remaining_out_s: Time left at the end, negative when late; None without a deadline.
    """

    context: Context
    route: str
    status: str
    code: int
    started_unix_s: float
    duration_s: float
    remaining_in_s: float | None
    remaining_out_s: float | None


OnFinish = Callable[[Finished], None]


def ignore(finished: Finished) -> None:
    """Keep nothing: the default."""
