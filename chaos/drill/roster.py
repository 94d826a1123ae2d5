"""Who belongs to the lab, and who of them isn't back yet.

Why: a fault of the host takes instances away, and an arm that begins before they are back is
measured in another lab than the one before it. So everybody is written down when a drill begins,
and between arms the engine waits until all of them run, are registered and ready, and the store's
replicas are in step.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.drill import shard_role
from chaos.drill.fault import has_shard_role
from chaos.drill.schema import Drill
from chaos.drill.shard_role import StoreNode
from chaos.drivers.contract import Driver, InstanceStatus
from chaos.lab import Lab
from kit.control import ControlClient
from kit.errors import LabError

BACK_LIMIT_S = 20.0  # a service starts in 2 s here, control settles in 3; a busy machine gets more
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Roster:
    """Everybody, as it was when the drill began.

    Args:
        control: Knows who is registered and ready.
        driver: Knows who runs; None when no fault is of the host.
        members: Instances with a lease.
        instances: Instances that the driver saw up.
        store: The store's nodes, where a fault asks for a shard's role.
    """

    control: ControlClient
    driver: Driver | None
    members: Sequence[str]
    instances: Sequence[str] = ()
    store: Sequence[StoreNode] = ()

    async def wait_back(self, limit_s: float = BACK_LIMIT_S) -> list[str]:
        """Wait until everybody is back; returns who isn't within the limit."""
        until_s = asyncio.get_running_loop().time() + limit_s
        while True:
            missing = await self._missing()
            if not missing or asyncio.get_running_loop().time() > until_s:
                return missing
            await asyncio.sleep(POLL_S)

    async def _missing(self) -> list[str]:
        try:
            ready = {member.instance for member in await self.control.members() if member.ready}
            up = {one.instance for one in await _statuses(self.driver) if one.is_up}
        except LabError as error:
            return [str(error)]
        gone = {name for name in self.members if name not in ready}
        gone |= {name for name in self.instances if name not in up}
        return sorted(gone) or await shard_role.ask_gaps(self.store)


async def call_roll(
    control: ControlClient, driver: Driver | None, lab: Lab, drill: Drill
) -> Roster:
    """Write down who is there.

    Args:
        control: Knows the members.
        driver: Knows the instances; None when no fault is of the host.
        lab: Makes a driver where only the store's addresses are needed.
        drill: Says whether they are.

    Raises:
        LabError: Control or driver doesn't answer.
    """
    members = sorted(member.instance for member in await control.members())
    statuses = await _statuses(driver)
    store: Sequence[StoreNode] = ()
    if drill.writes or drill.growth or any(has_shard_role(fault.on) for fault in drill.faults):
        store = shard_role.nodes_of(()) or shard_role.nodes_of(
            statuses or await _statuses(lab.driver())
        )
    up = [one.instance for one in statuses if one.is_up]
    return Roster(control, driver, members, up, store)


async def _statuses(driver: Driver | None) -> Sequence[InstanceStatus]:
    return [] if driver is None else await asyncio.to_thread(driver.instances)
