"""``squall restart``: end instances with SIGTERM and start them again, one after the other."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag, emit, nearest, say

if TYPE_CHECKING:
    from chaos.drivers.contract import Driver
    from chaos.lab import Lab

READY_LIMIT_S = 30.0
POLL_S = 0.1


def restart(
    target: Annotated[str, typer.Argument(help="A service (video) or one instance (video.2).")],
    as_json: JsonFlag = False,
) -> None:
    """Restart instances; each is ready before the next one ends."""
    from chaos.lab import load_lab
    from kit.errors import ConfigError, LabEnvironmentError

    lab = load_lab()
    driver = lab.driver()
    statuses = driver.instances()
    if not statuses:
        raise LabEnvironmentError("the lab is not running: make up")
    meant = [status.instance for status in statuses if target in (status.instance, status.service)]
    if not meant:
        known = {status.service for status in statuses} | {status.instance for status in statuses}
        raise ConfigError(f"no service or instance {target!r} runs here; {nearest(target, known)}")
    seconds = {instance: asyncio.run(_restart(lab, driver, instance)) for instance in meant}
    text = "\n".join(f"{name} is ready again after {spent} s" for name, spent in seconds.items())
    emit("squall.restart/1", {"restarted": seconds}, as_json=as_json, text=text)


async def _restart(lab: "Lab", driver: "Driver", instance: str) -> float:
    """Restart one instance and return the seconds until it is ready again."""
    from chaos.readiness import missing_instances, read_members
    from kit.errors import LabEnvironmentError

    topology = lab.topology()
    say(f"squall: restarting {instance}")
    before = (await read_members(lab.control)).get(instance)
    began_s = time.monotonic()
    await asyncio.to_thread(driver.restart, instance)
    while time.monotonic() < began_s + READY_LIMIT_S:
        members = await read_members(lab.control)
        if before is None or members.get(instance, before).started_unix_s != before.started_unix_s:
            statuses = await asyncio.to_thread(driver.instances)
            if instance not in missing_instances(topology, statuses, members):
                return round(time.monotonic() - began_s, 1)
        await asyncio.sleep(POLL_S)
    raise LabEnvironmentError(
        f"{instance} is not ready {READY_LIMIT_S:.0f} s after its restart: ./squall status"
    )
