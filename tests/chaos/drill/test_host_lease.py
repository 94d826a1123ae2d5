"""Leases: of the host's faults at the driver, of the overlay at a control that goes away."""

import asyncio
import threading
import time
from typing import Any

import pytest

from chaos.drill import host_lease, lease
from chaos.drill.host_lease import HostLease
from chaos.drill.lease import OverlayLease
from chaos.drivers.host_fault import HostFault
from kit.control import ControlClient
from kit.errors import LabEnvironmentError
from tests.chaos.drill.fake_driver import FakeDriver
from tests.ports import free_port
from tests.valkey import launch

pytestmark = pytest.mark.integration

PAUSE = HostFault("one", "pause", "video.1", 20.0)


async def until(holds: Any, limit_s: float = 10.0) -> None:
    """Wait on a condition."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, "not so in time"
        await asyncio.sleep(0.02)


def test_constants_are_the_documented_ones() -> None:
    """A lease of 3 s, renewed each second; control gets 3 s more than it needs to settle."""
    assert (host_lease.LEASE_S, host_lease.RENEW_EVERY_S) == (3.0, 1.0)
    assert (lease.RENEW_EVERY_S, lease.RETRY_EVERY_S, lease.BACK_LIMIT_S) == (1.0, 0.1, 6.0)


async def test_fault_is_renewed_and_ended_once() -> None:
    """Its proof is the driver's."""
    driver = FakeDriver()
    with HostLease(lambda: driver) as held:
        await held.begin(PAUSE)
        await until(lambda: driver.renewed)
        proof = await held.end("one")

    assert driver.renewed[0] == ("one",)
    assert driver.ended == ["one"]
    assert (proof.hits, proof.detail) == (1, "seen")
    assert not held.has_lapsed


async def test_leaving_undoes_what_acts() -> None:
    """Whatever ends the drill."""
    driver = FakeDriver()
    with HostLease(lambda: driver) as held:
        await held.begin(PAUSE)

    assert driver.ended == ["one"]


async def test_fault_that_is_interrupted_half_way_is_undone_too() -> None:
    """The driver may have begun before it failed."""

    def fail(fault: HostFault) -> None:
        raise LabEnvironmentError("the engine is gone")

    driver = FakeDriver(act=fail)
    with (
        pytest.raises(LabEnvironmentError, match="the engine is gone"),
        HostLease(lambda: driver) as held,
    ):
        await held.begin(PAUSE)

    assert driver.ended == ["one"]


async def test_renewals_that_fail_too_long_are_a_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper undoes the fault then, so the arm isn't what it says."""
    monkeypatch.setattr(host_lease, "LEASE_S", 0.3)
    monkeypatch.setattr(host_lease, "RENEW_EVERY_S", 0.05)
    driver = FakeDriver(is_deaf=True)
    with HostLease(lambda: driver) as held:
        await held.begin(PAUSE)
        await until(lambda: driver.refused_count > 6)  # each 0.05 s: longer than the lease
        assert not held.has_lapsed, "known with the first renewal that comes too late"
        driver.is_deaf = False
        await until(lambda: held.has_lapsed)


async def test_renewals_that_fail_until_the_end_are_a_lapse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No later renewal comes to tell of it."""
    monkeypatch.setattr(host_lease, "LEASE_S", 0.1)
    monkeypatch.setattr(host_lease, "RENEW_EVERY_S", 0.05)
    driver = FakeDriver(is_deaf=True)
    with HostLease(lambda: driver) as held:
        await held.begin(PAUSE)
        await until(lambda: driver.refused_count > 2)
        assert not held.has_lapsed
        await held.end("one")
        assert held.has_lapsed


async def test_no_fault_asks_for_no_driver() -> None:
    """Inside a container there is none."""

    def make() -> Any:
        raise AssertionError("nobody asked for a driver")

    with HostLease(make):
        pass


class SlowControl:
    """Remembers what was written; answers only when it may.

    Args:
        address: Nobody's.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.written: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        MADE.append(self)

    async def write(self, changes: dict[str, Any]) -> int:
        """Write at once, and answer when told."""
        overlay = changes["overlay"]
        self.written.append("" if overlay is None else overlay["id"])
        while not self.may_answer.is_set():  # noqa: ASYNC110  another thread sets it
            await asyncio.sleep(0.005)
        return len(self.written)

    async def close(self) -> None:
        """Nothing to do."""


MADE: list[SlowControl] = []


async def test_renewal_beside_a_change_does_not_bring_the_old_overlay_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Due while the change is being written, and while the engine is too busy to hear of it."""
    monkeypatch.setattr(lease, "ControlClient", SlowControl)
    monkeypatch.setattr(lease, "RENEW_EVERY_S", 300.0)  # none but the one below
    with OverlayLease(("nowhere", 1)) as held:
        control = MADE[-1]
        await held.hold({"id": "old"})
        control.may_answer.clear()
        changing = asyncio.create_task(held.change({"id": "new"}))
        await until(lambda: control.written[-1] == "new")
        held._loop.call_soon_threadsafe(held._wake.set)  # a renewal is due
        _wait_blocking(lambda: getattr(held._lock, "_waiters", None))  # it waits for its turn
        control.may_answer.set()
        _wait_blocking(lambda: len(control.written) > 2)
        await changing

    assert control.written[:3] == ["old", "new", "new"]
    assert control.written[-1] == ""


async def test_renewal_that_never_comes_is_a_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control falls silent before the arm's end, and nobody expected it."""
    monkeypatch.setattr(lease, "ControlClient", SlowControl)
    with OverlayLease(("nowhere", 1)) as held:
        control = MADE[-1]
        await held.hold({"id": "arm"})
        assert not held.has_lapsed
        control.may_answer.clear()
        await until(lambda: held.has_lapsed)
        control.may_answer.set()


def _wait_blocking(holds: Any, limit_s: float = 10.0) -> None:
    """Wait as a busy engine does: its loop stands still."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, "not so in time"
        time.sleep(0.005)  # between two looks; the loop is to stand still meanwhile


async def test_overlay_is_back_as_soon_as_control_is(tmp_path: Any) -> None:
    """Killed and started empty: silence was expected, so nothing lapsed, and the newest stands."""
    control = launch(free_port(), folder=tmp_path)
    address = (control.host, control.port)
    try:
        with OverlayLease(address) as held:
            await held.hold({"id": "tiny/main"})
            held.expect_silence()
            control.stop()
            await held.change({"id": "tiny/main", "reset_epoch": 7})
            await until(lambda: not _answers(held))
            control = launch(control.port, folder=tmp_path)
            held.expect_answers()
            await _until_entry(address, 7)
            assert not held.has_lapsed
    finally:
        control.stop()


async def test_control_that_stays_away_is_a_lapse(tmp_path: Any) -> None:
    """It has some seconds after its fault, and no more."""
    control = launch(free_port(), folder=tmp_path)
    address = (control.host, control.port)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "BACK_LIMIT_S", -9.0)  # as if that time had passed
        try:
            with OverlayLease(address) as held:
                await held.hold({"id": "tiny/main"})
                held.expect_silence()
                held.expect_answers()
                await until(lambda: held.has_lapsed)
        finally:
            control.stop()


async def test_change_that_fails_unexpectedly_is_told(tmp_path: Any) -> None:
    """Only a fault of control excuses it."""
    control = launch(free_port(), folder=tmp_path)
    with OverlayLease((control.host, control.port)) as held:
        await held.hold({"id": "tiny/main"})
        control.stop()
        with pytest.raises(LabEnvironmentError, match="control does not answer"):
            await held.change({"id": "tiny/main"})


def _answers(held: OverlayLease) -> bool:
    return held._document == {"id": "tiny/main"}


async def _until_entry(address: tuple[str, int], epoch: int) -> None:
    client = ControlClient(address)
    end_s = time.monotonic() + 15
    try:
        while True:
            assert time.monotonic() < end_s, "the overlay didn't come back"
            try:
                entry = (await client.read()).entries.get("overlay")
            except LabEnvironmentError:
                entry = None
            if entry is not None and entry["reset_epoch"] == epoch:
                return
            await asyncio.sleep(0.05)
    finally:
        await client.close()
