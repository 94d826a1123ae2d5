"""The overlay's lease: what an arm wants stays true only while the engine lives.

Why: whatever ends the engine (Ctrl-C, a crash, kill -9), the lab must be itself again within
seconds. So an arm is one entry with a lease of 3 s, and this renews it each second from a thread of
its own: reading a large file elsewhere doesn't let it lapse.
Source: drills.md R8.
"""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import Future
from typing import Any

from kit.control import ControlClient
from kit.entries import OVERLAY_FIELD, OVERLAY_TTL_S
from kit.errors import LabError

RENEW_EVERY_S = 1.0  # a third of the lease: two renewals may fail
RELEASE_TIMEOUT_S = 2.0


class OverlayLease:
    """Hold the overlay entry.

    Args:
        address: The control plane's.

    A context manager: entering starts the thread, leaving deletes the entry.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._document: dict[str, Any] | None = None
        self._renewed = 0
        self._last_written_s = time.monotonic()
        self._longest_gap_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="overlay-lease", daemon=True)

    def __enter__(self) -> "OverlayLease":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def has_lapsed(self) -> bool:
        """Whether some renewal came too late, so that the arm was off for a while."""
        return self._longest_gap_s > OVERLAY_TTL_S

    async def hold(self, document: dict[str, Any]) -> int:
        """Write an overlay and go on renewing it; returns the state's version.

        Raises:
            LabError: Control refuses it or doesn't answer.
        """
        return await asyncio.wrap_future(self._submit(document))

    def release(self) -> None:
        """Delete the overlay and end the thread; without control the lease ends by itself."""
        if not self._thread.is_alive():
            return
        self._document = None
        with contextlib.suppress(LabError, TimeoutError):
            asyncio.run_coroutine_threadsafe(self._erase(), self._loop).result(RELEASE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(RELEASE_TIMEOUT_S)

    def _submit(self, document: dict[str, Any]) -> "Future[int]":
        return asyncio.run_coroutine_threadsafe(self._write(document), self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._renew_until_stopped())
        self._loop.close()

    async def _renew_until_stopped(self) -> None:
        self._stop = asyncio.Event()
        self._lock = asyncio.Lock()
        self._control = ControlClient(self._address)
        self._ready.set()
        try:
            while not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), RENEW_EVERY_S)
                with contextlib.suppress(LabError):
                    await self._renew()
        finally:
            await self._control.close()

    async def _renew(self) -> None:
        if self._document is not None and not self._stop.is_set():
            await self._write(self._document)

    async def _write(self, document: dict[str, Any]) -> int:
        async with self._lock:
            was_held = self._document is not None
            self._renewed += 1
            version = await self._control.write(
                {OVERLAY_FIELD: {**document, "renewed": self._renewed, "ttl_s": OVERLAY_TTL_S}}
            )
            now_s = time.monotonic()
            if was_held:
                self._longest_gap_s = max(self._longest_gap_s, now_s - self._last_written_s)
            self._last_written_s = now_s
            self._document = document
            return version

    async def _erase(self) -> None:
        async with self._lock:
            await self._control.write({OVERLAY_FIELD: None})
