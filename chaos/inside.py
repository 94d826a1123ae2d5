"""The lab as it is seen from inside its own network: by its leases, with no engine to ask.

Why: in the container `lab` there is no engine's socket (whoever holds it holds the machine), and
the leases say of every process of ours what a driver would: whether it lives and is ready, since
when, and how much memory it takes. What a driver would do to instances is refused here.
Not handled: stores, caches and one-shots, which hold no lease.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from chaos.compose import Topology
from chaos.drivers.contract import (
    DEFAULT_LEASE_S,
    NO_ENGINE_HERE,
    Capability,
    HostFault,
    HostProof,
    InstanceStatus,
)
from chaos.readiness import POLL_S, READY_LIMIT_S, read_members
from kit.errors import LabEnvironmentError
from kit.members import Member

ABSENT = "absent"


class InsideDriver:
    """Looks by the leases, and can do nothing to instances.

    Args:
        topology: What should run.
        control: Where the leases are.
    """

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, topology: Topology, control: tuple[str, int]) -> None:
        self._topology = topology
        self._control = control

    def instances(self) -> Sequence[InstanceStatus]:
        """See `Driver.instances`; those that should hold a lease."""
        return leased(self._topology, self._members(), time.time())

    def memory(self) -> Mapping[str, int]:
        """What each process says it takes (resident: shared pages count in each)."""
        return {name: one.digest.rss_bytes for name, one in self._members().items()}

    def run_inside(self, service: str, argv: Sequence[str]) -> int:
        """Run a command here: this is a place of the lab, with the same environment."""
        return subprocess.run(list(argv), check=False).returncode  # noqa: S603 - a command of ours

    def host_faults(self) -> Sequence[HostProof]:
        """None can be begun here."""
        return ()

    def start(self, target: str) -> None:
        """Refused; see `Driver.start`."""
        refuse(f"start {target}")

    def stop(self, target: str) -> None:
        """Refused; see `Driver.stop`."""
        refuse(f"stop {target}")

    def kill(self, target: str) -> None:
        """Refused; see `Driver.kill`."""
        refuse(f"kill {target}")

    def pause(self, target: str) -> None:
        """Refused; see `Driver.pause`."""
        refuse(f"pause {target}")

    def resume(self, target: str) -> None:
        """Refused; see `Driver.resume`."""
        refuse(f"resume {target}")

    def restart(self, target: str) -> None:
        """Refused; see `Driver.restart`."""
        refuse(f"restart {target}")

    def begin(self, fault: HostFault, *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """Refused; see `Driver.begin`."""
        refuse(f"{fault.kind} {fault.target}")

    def renew(self, fault_ids: Sequence[str], *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """Nothing to renew."""

    def end(self, fault_id: str) -> HostProof:
        """Refused; see `Driver.end`."""
        refuse(f"end {fault_id}")

    def logs(self, target: str, lines: int) -> Mapping[str, Sequence[str]]:
        """Refused; see `Driver.logs`."""
        refuse(f"read the log of {target}")

    def _members(self) -> Mapping[str, Member]:
        return asyncio.run(read_members(self._control))


def refuse(what: str) -> NoReturn:
    """Say that something needs the engine.

    Raises:
        LabEnvironmentError: Always.
    """
    raise LabEnvironmentError(f"cannot {what}: {NO_ENGINE_HERE}")


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
        for service in topology.only_members().services.values()
        for name in service.instances
    ]


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
