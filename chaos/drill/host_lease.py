"""The host's faults of a drill, under a lease that a thread of its own renews.

Why: a killed process must come back whatever ends the engine. The driver's keeper undoes a fault
whose lease isn't renewed; this renews each second what acts, and undoes everything when the drill
ends in any way that still runs code.
Source: drills.md R8.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from chaos.drivers.host_fault import HostFault, HostProof
from kit.errors import LabError

LEASE_S = 3.0  # drills.md R8
RENEW_EVERY_S = 1.0  # a third of the lease: two renewals may fail
JOIN_LIMIT_S = 2.0


class Hands(Protocol):
    """The part of a driver that a drill acts through; see ``chaos.drivers.contract.Driver``."""

    def begin(self, fault: HostFault, *, lease_s: float) -> None:
        """Do it."""

    def renew(self, fault_ids: Sequence[str], *, lease_s: float) -> None:
        """Let faults act so many seconds more."""

    def end(self, fault_id: str) -> HostProof:
        """Undo it and tell what was seen."""


class HostLease:
    """Begin, renew and end faults of the host.

    Args:
        driver: Makes one; asked for at the first fault, once for acting and once for renewing, so
            that a slow stop doesn't hold up a renewal.

    A context manager: leaving undoes what still acts.
    """

    def __init__(self, driver: Callable[[], Hands]) -> None:
        self._make_driver = driver
        self._driver: Hands | None = None
        self._acting: dict[str, float] = {}  # id to when it was last renewed
        self._longest_gap_s = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "HostLease":
        return self

    def __exit__(self, *_: object) -> None:
        for fault_id in list(self._acting):
            with contextlib.suppress(LabError):
                self._end(fault_id)
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_LIMIT_S)

    @property
    def has_lapsed(self) -> bool:
        """Whether some renewal came too late, so that a fault may have ended early."""
        return self._longest_gap_s > LEASE_S

    async def begin(self, fault: HostFault) -> None:
        """Let a fault act; returns when it does.

        Raises:
            ConfigError: The target doesn't exist.
            LabEnvironmentError: The driver can't, or doesn't answer.
        """
        await asyncio.to_thread(self._begin, fault)

    async def end(self, fault_id: str) -> HostProof:
        """Undo a fault; returns what was seen of it.

        Raises:
            LabError: The driver doesn't answer; its keeper then undoes it.
        """
        return await asyncio.to_thread(self._end, fault_id)

    def _begin(self, fault: HostFault) -> None:
        driver = self._driver_for_acting()
        if self._thread is None:
            self._thread = threading.Thread(target=self._renew, name="host-lease", daemon=True)
            self._thread.start()
        # Before it acts: what is interrupted half-way is undone as well.
        self._acting[fault.id] = time.monotonic()
        driver.begin(fault, lease_s=LEASE_S)
        self._acting[fault.id] = time.monotonic()

    def _end(self, fault_id: str) -> HostProof:
        # Renewals that failed until the end are a lapse too, and no later one would tell.
        self._note_gap(fault_id)
        try:
            return self._driver_for_acting().end(fault_id)
        finally:
            self._acting.pop(fault_id, None)

    def _driver_for_acting(self) -> Hands:
        if self._driver is None:
            self._driver = self._make_driver()
        return self._driver

    def _renew(self) -> None:
        driver: Hands | None = None
        while not self._stop.wait(RENEW_EVERY_S):
            acting = list(self._acting)
            if not acting:
                continue
            with contextlib.suppress(LabError):
                driver = driver or self._make_driver()
                driver.renew(acting, lease_s=LEASE_S)
                self._note_renewed(acting)

    def _note_renewed(self, renewed: list[str]) -> None:
        for fault_id in renewed:
            self._note_gap(fault_id)
            if fault_id in self._acting:
                self._acting[fault_id] = time.monotonic()

    def _note_gap(self, fault_id: str) -> None:
        """Note how long ago a fault was renewed for the last time."""
        since_s = self._acting.get(fault_id)
        if since_s is not None:
            self._longest_gap_s = max(self._longest_gap_s, time.monotonic() - since_s)
