"""The lab as it is seen from inside its own network: by its leases, with no engine to ask.

Why: in the container `lab` there is no engine's socket (whoever holds it holds the machine), and
the leases say of every process of ours what a driver would: whether it lives and is ready, since
when, and how much memory it takes.
Not handled: stores, caches and one-shots, which hold no lease.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from chaos.compose import Topology
from chaos.drivers.contract import InstanceStatus
from chaos.readiness import POLL_S, READY_LIMIT_S, read_members
from kit.errors import LabEnvironmentError
from kit.members import Member

ABSENT = "absent"


def leased(
    topology: Topology, members: Mapping[str, Member], now_unix_s: float
) -> list[InstanceStatus]:
    """Return every instance that should hold a lease, in the order of the file.

    Args:
        topology: What should run.
        members: The live leases by instance.
        now_unix_s: Wall clock, as leases say when their process started.
    """
    return [
        _status(name, service.name, members.get(name), now_unix_s)
        for service in topology.services.values()
        if service.is_member
        for name in service.instances
    ]


def memory_bytes(members: Mapping[str, Member]) -> dict[str, int]:
    """Return what each process says it takes (resident: shared pages count in each)."""
    return {name: member.digest.rss_bytes for name, member in members.items()}


async def wait_leases(
    topology: Topology,
    control: tuple[str, int],
    is_complete: Callable[[], bool],
    *,
    limit_s: float = READY_LIMIT_S,
) -> Mapping[str, Member]:
    """Return the leases once all are there and ready, and everything else is complete too.

    Args:
        topology: What should run.
        control: Where the leases are.
        is_complete: Asked (in a thread) once all leases are ready.
        limit_s: When to give up.

    Raises:
        LabEnvironmentError: The limit is reached; names who is missing.
    """
    until_s = time.monotonic() + limit_s
    while True:
        members = await read_members(control)
        missing = _missing(topology, members)
        if not missing and await asyncio.to_thread(is_complete):
            return members
        if time.monotonic() > until_s:
            who = ", ".join(missing) or "the data set, or the way through l4 and l7 to it"
            raise LabEnvironmentError(
                f"not ready in {limit_s:.0f} s: {who}: look at docker compose ps and logs"
            )
        await asyncio.sleep(POLL_S)


def _missing(topology: Topology, members: Mapping[str, Member]) -> Sequence[str]:
    statuses = leased(topology, members, time.time())
    return [s.instance for s in statuses if s.state == ABSENT or not members[s.instance].ready]


def _status(
    instance: str, service: str, member: Member | None, now_unix_s: float
) -> InstanceStatus:
    if member is None:
        return InstanceStatus(instance, service, ABSENT, "", None, None, 0)
    up_s = max(0.0, now_unix_s - member.started_unix_s)
    return InstanceStatus(instance, service, "running", member.host, up_s, None, 0)
