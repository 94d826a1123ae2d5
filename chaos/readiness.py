"""Wait until the lab is ready: every process holds a ready lease, and every one-shot is done.

Why: readiness is asked of control, once, by whoever waits; a probe in each container would start a
Python each time.
Source: design.md, "Control plane" and "One topology, two ways to run it".
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from chaos.compose import Topology
from chaos.drivers.contract import Driver, InstanceStatus
from kit.control import ControlClient
from kit.errors import LabEnvironmentError
from kit.members import Member

READY_LIMIT_S = 180.0
POLL_S = 0.2
GIVE_UP_RESTARTS = 8  # by then a process has failed for 12 s: it will not come up by itself
LOG_LINES = 8


def missing_instances(
    topology: Topology, statuses: Sequence[InstanceStatus], members: Mapping[str, Member]
) -> list[str]:
    """Return the instances that aren't ready, in the order of the file.

    Ready is: a one-shot done, a process of ours with a ready lease, anything else running.
    """
    states = {status.instance: status.state for status in statuses}
    missing = []
    for service in topology.services.values():
        for instance in service.instances:
            state = states.get(instance, "absent")
            is_ready = state == ("done" if service.is_one_shot else "running")
            if service.is_member:
                is_ready = is_ready and instance in members and members[instance].ready
            if not is_ready:
                missing.append(instance)
    return missing


async def read_members(control: tuple[str, int]) -> dict[str, Member]:
    """Return the live leases by instance; none while control doesn't answer."""
    client = ControlClient(control)
    try:
        return {member.instance: member for member in await client.members()}
    except LabEnvironmentError:
        return {}
    finally:
        await client.close()


async def wait_ready(
    topology: Topology,
    driver: Driver,
    control: tuple[str, int],
    *,
    limit_s: float = READY_LIMIT_S,
    on_missing: Callable[[Sequence[str]], None] = lambda missing: None,
) -> None:
    """Return once everything is ready.

    Args:
        topology: What should run.
        driver: Who knows what runs.
        control: Where the leases are.
        limit_s: When to give up.
        on_missing: Told who isn't ready, each time that changes.

    Raises:
        LabEnvironmentError: Somebody fails again and again, or the limit is reached; names them,
            with the last lines they wrote.
    """
    until_s = time.monotonic() + limit_s
    told: list[str] = []
    while True:
        statuses = await asyncio.to_thread(driver.instances)
        missing = missing_instances(topology, statuses, await read_members(control))
        if not missing:
            return
        if missing != told:
            told = missing
            on_missing(missing)
        failing = [
            status.instance
            for status in statuses
            if status.state == "failed" or status.restarts >= GIVE_UP_RESTARTS
        ]
        if failing:
            raise LabEnvironmentError(_not_ready(driver, failing, "failing again and again"))
        if time.monotonic() > until_s:
            raise LabEnvironmentError(_not_ready(driver, missing, f"not ready in {limit_s:.0f} s"))
        await asyncio.sleep(POLL_S)


def _not_ready(driver: Driver, instances: Sequence[str], what: str) -> str:
    first = instances[0]
    lines = driver.logs(first, LOG_LINES).get(first, ())
    wrote = "\n  ".join(lines) or "nothing"
    return (
        f"{what}: {', '.join(instances)}\n{first} wrote:\n  {wrote}\n"
        "look at ./squall status; end it with make down"
    )
