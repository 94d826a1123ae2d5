"""The overlay's lease: what an arm wants stays true only while the engine lives.

Why: whatever ends the engine (Ctrl-C, a crash, kill -9), the lab must be itself again within
seconds. So an arm is one entry with a lease of 3 s, and this renews it each second from a thread of
its own: reading a large file elsewhere doesn't let it lapse.
Source: drills.md R8.

A drill may kill the control plane itself. While it is expected to be silent a failed renewal is no
lapse (processes keep the overlay while they can't reach control: design.md, "fails static"), and it
is tried ten times a second, so that the entry is there again as soon as control takes one.
"""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import Future
from typing import Any

from kit.control import SETTLE_S, ControlClient
from kit.entries import OVERLAY_FIELD, OVERLAY_TTL_S
from kit.errors import LabError

RENEW_EVERY_S = 1.0  # a third of the lease: two renewals may fail
RETRY_EVERY_S = 0.1
RELEASE_TIMEOUT_S = 2.0
BACK_LIMIT_S = SETTLE_S + 3.0  # after its fault control starts, loads its file and settles


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
        self._last_written_s: float | None = None
        self._longest_gap_s = 0.0
        self._is_silent = False
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
        """Whether some renewal came too late, or is too late now, so that the arm was off."""
        gap_s, since_s = self._longest_gap_s, self._last_written_s
        if self._document is not None and since_s is not None and not self._is_silent:
            gap_s = max(gap_s, time.monotonic() - since_s)
        return gap_s > OVERLAY_TTL_S

    async def hold(self, document: dict[str, Any]) -> int:
        """Write an overlay and go on renewing it; returns the state's version.

        Raises:
            LabError: Control refuses it or doesn't answer.
        """
        return await asyncio.wrap_future(self._submit(document))

    async def change(self, document: dict[str, Any]) -> None:
        """Hold another overlay; while control is silent on purpose, as soon as it is back.

        Raises:
            LabError: Control refuses it, or doesn't answer and should.
        """
        if not self._is_silent:
            await self.hold(document)
            return
        self._document = document
        self._loop.call_soon_threadsafe(self._wake.set)

    def expect_silence(self) -> None:
        """Take failed renewals for what a fault of control does."""
        self._is_silent = True

    def expect_answers(self) -> None:
        """The fault is over: from here on control has ``BACK_LIMIT_S`` to take a renewal."""
        # As if written then: only what is later than that can be a lapse.
        self._last_written_s = time.monotonic() + BACK_LIMIT_S
        self._is_silent = False
        self._loop.call_soon_threadsafe(self._wake.set)

    def release(self) -> None:
        """Delete the overlay and end the thread; without control the lease ends by itself."""
        if not self._thread.is_alive():
            return
        self._document = None
        with contextlib.suppress(LabError, TimeoutError):
            asyncio.run_coroutine_threadsafe(self._erase(), self._loop).result(RELEASE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(RELEASE_TIMEOUT_S)

    def _submit(self, document: dict[str, Any]) -> "Future[int]":
        return asyncio.run_coroutine_threadsafe(self._take(document), self._loop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._renew_until_stopped())
        self._loop.close()

    async def _renew_until_stopped(self) -> None:
        self._is_stopped = False
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._control = ControlClient(self._address)
        self._ready.set()
        wait_s = RENEW_EVERY_S
        try:
            while not self._is_stopped:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait_s)
                self._wake.clear()
                wait_s = RENEW_EVERY_S if await self._renew() else RETRY_EVERY_S
        finally:
            await self._control.close()

    def _end(self) -> None:
        self._is_stopped = True
        self._wake.set()

    async def _take(self, document: dict[str, Any]) -> int:
        """Write another document, and hold it before a renewal could write the one before again."""
        async with self._lock:
            version = await self._write(document)
            self._document = document
            return version

    async def _renew(self) -> bool:
        """Write again what is held by the time that it is our turn; False when that failed."""
        async with self._lock:
            document = self._document
            if document is None or self._is_stopped:
                return True
            with contextlib.suppress(LabError):
                await self._write(document)
                return True
            return False

    async def _write(self, document: dict[str, Any]) -> int:
        was_held = self._document is not None
        self._renewed += 1
        version = await self._control.write(
            {OVERLAY_FIELD: {**document, "renewed": self._renewed, "ttl_s": OVERLAY_TTL_S}}
        )
        self._note_written(was_held)
        return version

    def _note_written(self, was_held: bool) -> None:
        now_s = time.monotonic()
        since_s = self._last_written_s
        if was_held and not self._is_silent and since_s is not None:
            self._longest_gap_s = max(self._longest_gap_s, now_s - since_s)
        self._last_written_s = now_s

    async def _erase(self) -> None:
        async with self._lock:
            self._document = None  # a hold that was under way may have put one there
            await self._control.write({OVERLAY_FIELD: None})
