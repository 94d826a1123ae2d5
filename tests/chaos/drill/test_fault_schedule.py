"""The order in which an arm's faults bite."""

import asyncio
from typing import Any, cast

import msgspec
import pytest

from chaos.drill import shard_role
from chaos.drill.arms import FaultWindow
from chaos.drill.fault import Fault
from chaos.drill.fault_schedule import FaultSchedule
from chaos.drill.host_lease import HostLease
from chaos.drill.loadgen import LoadProcess
from chaos.drill.notes import Notes
from chaos.drill.records import Window
from chaos.drivers.host_fault import HostFault, HostProof
from tests.chaos.drill.clock import Clock

pytestmark = pytest.mark.unit


class SlowHost:
    """An engine that takes its time to pause a container."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_bite = asyncio.Event()
        self.done: list[str] = []

    async def begin(self, fault: HostFault) -> None:
        """Let it act when the test says so."""
        self.asked.set()
        await self.may_bite.wait()
        self.done.append(fault.kind)

    async def end(self, fault_id: str) -> HostProof:
        """Undo it."""
        return HostProof(fault_id, "pause", "store-4", ("store-4.1",), 1, 1.0, "seen", True)


def window(kind: str, target: str, from_s: float, to_s: float) -> FaultWindow:
    """Plan a fault on the clock of an arm that began a second ago."""
    fault = msgspec.convert({"kind": kind, "on": target}, Fault)
    return FaultWindow(kind, fault, Window(from_s, to_s), target)


async def test_a_replica_is_dropped_once_it_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be back before the engine has paused it, and have what it should miss."""
    host, notes = SlowHost(), Notes()

    async def drop(target: str, nodes: Any) -> int:
        host.done.append("detach")
        return 1

    monkeypatch.setattr(shard_role, "drop_replicas", drop)
    nothing: Any = None
    schedule = FaultSchedule(
        [window("pause", "store-4", 1.0, 1.2), window("detach", "store-1", 1.01, 1.01)],
        lambda windows: {}, nothing, cast(HostLease, host), nothing, [],
        cast(LoadProcess, Clock()), notes, nothing, "token",
    )  # fmt: skip
    running = asyncio.create_task(schedule.run())
    await host.asked.wait()
    await Clock().sleep_until(1.1)
    assert host.done == []
    host.may_bite.set()
    await running
    assert host.done == ["pause", "detach"]
    assert set(notes.proofs) == {"pause", "detach"}
