"""The station as a gRPC interceptor: the innermost, right in front of the handler.

The work of a handler (a look-up in the store) comes after its station time, so a request that is
dropped or cancelled while it waits has cost the store nothing.

When the caller will have left is told by the load generator in the baggage (``squall.gone_at``), so
that work for nobody can be counted also where nothing cancels it. It is measurement only: no
decision looks at it.
"""

import time
from typing import Any

from kit.station import Station
from resilience.context import Context, current
from resilience.rpc.wrap import ServicerContext, Unary, UnaryInterceptor


class StationInterceptor(UnaryInterceptor):
    """Hold each unary call in the station until it is served.

    Args:
        station: The process's.
    """

    def __init__(self, station: Station) -> None:
        super().__init__()
        self._station = station

    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Wait for the station, then serve the call."""
        context = current()
        arrived_s = time.monotonic()
        deadline_s = context.deadline_s if context else None
        await self._station.serve(deadline_s, arrived_s, _gone_s(context, arrived_s))
        if context is not None:
            now_s = time.monotonic()
            context.note("station", "served", now_s, ms=round((now_s - arrived_s) * 1000.0, 2))
        return await inner(request, servicer)


def _gone_s(context: Context | None, now_s: float) -> float | None:
    """Return when the caller will have left, by our monotonic clock."""
    if context is None or context.gone_at_unix_ms is None:
        return None
    return now_s + context.gone_at_unix_ms / 1000.0 - time.time()
