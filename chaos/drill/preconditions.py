"""What must be so before a drill touches anything: the machine, the driver, the lab's members.

Every refusal names what is missing. A drill that can't be run here ends with exit code 3, one that
names what this lab hasn't with 2; neither ever passes by accident.
"""

import asyncio
import os
import re
from collections.abc import Collection

from chaos.drill.fault import names_in
from chaos.drill.schema import Drill
from chaos.drivers.contract import Driver, require
from chaos.lab import Lab
from kit.control import ControlClient
from kit.errors import ConfigError, LabEnvironmentError, LabError
from kit.members import Member
from kit.nearest import nearest

READY_LIMIT_S = 10.0
READY_POLL_S = 0.1
CUT = "cut"
LINKS = "links"  # the service that carries out faults of links

_NO_MEMBERS = re.compile(r"control|(store|cache)(-[1-9][0-9]*)?")  # they hold no lease


def check_machine(drill: Drill, cores: float | None = None) -> None:
    """Refuse a drill that needs more than there is (R7).

    Raises:
        LabEnvironmentError: Names what is missing.
    """
    there = float(len(os.sched_getaffinity(0))) if cores is None else cores
    if there < drill.needs.cores:
        raise LabEnvironmentError(
            f"{drill.drill} needs {drill.needs.cores:g} cores at peak, and {there:g} are here"
        )


def driver_for(lab: Lab, drill: Drill) -> Driver | None:
    """Return the driver that a drill's faults of the host need; None when there are none.

    Raises:
        LabEnvironmentError: It lacks a capability, which is named, or a fault acts already.
    """
    needed = [name for name in drill.capabilities if name != CUT]
    if not needed:
        return None
    driver = lab.driver()
    try:
        require(driver, *needed)
    except LabEnvironmentError as error:
        raise LabEnvironmentError(f"{drill.drill} can't be run here: {error}") from error
    acting = [proof for proof in driver.host_faults() if not proof.is_over]
    if acting:
        said = ", ".join(f"{proof.kind} on {proof.target} ({proof.id})" for proof in acting)
        raise LabEnvironmentError(f"a fault acts already: {said}; end it: squall fault clear --all")
    return driver


async def check_targets(control: ControlClient, drill: Drill, driver: Driver | None = None) -> None:
    """Wait until everybody is ready, and refuse what the drill names and the lab hasn't.

    Raises:
        ConfigError: A service or replica isn't there; names the nearest.
        LabEnvironmentError: Somebody doesn't become ready, or nobody can break a link.
    """
    others = await _instances(driver)
    limit_s = asyncio.get_running_loop().time() + READY_LIMIT_S
    while True:
        members = await control.members()
        names = {member.service for member in members} | {m.instance for m in members} | others
        unready = [member.instance for member in members if not member.ready]
        missing = [target for target in sorted(targets_of(drill)) if not _is_known(target, names)]
        if members and not unready and not missing:
            break
        if asyncio.get_running_loop().time() > limit_s:
            raise _refusal(members, missing, unready, names)
        await asyncio.sleep(READY_POLL_S)
    if CUT in drill.capabilities and LINKS not in names:
        raise LabEnvironmentError(
            f"{drill.drill} can't be run here: it breaks a link, and this lab runs no {LINKS}"
        )


def targets_of(drill: Drill) -> set[str]:
    """Return every service and replica that a drill names."""
    named = {name for fault in drill.faults for name in names_in(fault.on)}
    setup = drill.setup
    named |= {*setup.stations, *setup.settings, *setup.choices, *setup.drains}
    for switch in drill.policies.values():
        named |= set(switch) if isinstance(switch, dict) else set()
    return named - {"*"}


async def _instances(driver: Driver | None) -> set[str]:
    if driver is None:
        return set()
    try:
        statuses = await asyncio.to_thread(driver.instances)
    except LabError:
        return set()
    return {one.instance for one in statuses} | {one.service for one in statuses}


def _is_known(target: str, names: Collection[str]) -> bool:
    """Whether it is a member, an instance, or of those who are neither where nobody can tell."""
    return target in names or _NO_MEMBERS.fullmatch(target) is not None


def _refusal(
    members: Collection[Member], missing: list[str], unready: list[str], names: Collection[str]
) -> LabError:
    if not members:
        return LabEnvironmentError("no process of the lab is up: make up")
    if missing:
        return ConfigError(f"the lab has no {missing[0]}: {nearest(missing[0], names)}")
    return LabEnvironmentError(f"not ready: {', '.join(unready)}; see squall status")
