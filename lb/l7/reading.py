"""Whether a connection is read from: for several reasons at once it may not be."""

import asyncio

WAITING_LINE, BODY, EARLY = 1, 2, 4
"""Why nothing is read: a request waits behind another, the backend takes nothing, no room."""


class ReadGate:
    """Pause a transport while there is a reason to, and resume it when the last one has gone."""

    __slots__ = ("reasons",)

    def __init__(self) -> None:
        self.reasons = 0

    def set(self, transport: asyncio.ReadTransport, reasons: int, wanted: bool) -> bool:
        """Add or take away reasons; whether reading begins anew."""
        before = self.reasons
        self.reasons = before & ~reasons if wanted else before | reasons
        if bool(before) is bool(self.reasons):
            return False
        if self.reasons:
            transport.pause_reading()
            return False
        transport.resume_reading()
        return True
