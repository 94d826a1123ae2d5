"""Tell the lab which paths belong to services of one's own: from labels to control entries.

Why: a label in a compose file is known to who reads the file; l7 reads control. So whoever starts
the lab writes one entry a service: ``squall up``, and in a lab of plain ``docker compose up`` the
container `lab`, which is shown those files as a mount.
Source: Traefik's docker provider (routing by labels), without an engine's socket in the proxy.
Not handled: replicas added by ``docker compose up --scale`` (the file's number counts).
"""

from collections.abc import Mapping
from pathlib import Path

from chaos.compose import Topology
from chaos.labels import entry_of
from chaos.supervisor.plan import assign_addresses
from kit.control import ControlClient

OWN_FOLDER = Path("/own")  # where the container `lab` is shown compose files
FIELD = "route/"

Entries = Mapping[str, dict[str, object]]


def container_routes(topology: Topology) -> Entries:
    """Return the entries of a lab of containers: each replica by its container's name."""
    return _entries(
        topology,
        {name: f"{topology.project}-{name.replace('.', '-')}" for name in topology.instances},
    )


def process_routes(topology: Topology, network: str) -> Entries:
    """Return the entries of a lab of processes: each replica by its address."""
    return _entries(topology, assign_addresses(topology, network))


def shown_files(folder: Path = OWN_FOLDER) -> list[Path]:
    """Return the compose files that the container `lab` is shown."""
    return sorted([*folder.glob("*/compose.yml"), *folder.glob("*.yml")])


async def publish(control: tuple[str, int], entries: Entries, *, forget_others: bool) -> None:
    """Write the entries that are new or differ, and delete those of services that are gone.

    Args:
        control: Where the control plane answers.
        entries: By field.
        forget_others: Whether entries of other services are deleted; one that knows only some of
            the files leaves them.

    Raises:
        LabEnvironmentError: Control doesn't answer.
    """
    client = ControlClient(control)
    try:
        kept = (await client.read()).entries
        changes: dict[str, object | None] = {
            field: entry for field, entry in entries.items() if kept.get(field) != entry
        }
        if forget_others:
            gone = [name for name in kept if name.startswith(FIELD) and name not in entries]
            changes |= dict.fromkeys(gone)
        if changes:
            await client.write(changes)
    finally:
        await client.close()


def _entries(topology: Topology, hosts: Mapping[str, str]) -> Entries:
    return {
        f"{FIELD}{service.name}": entry_of(service.route, [hosts[n] for n in service.instances])
        for service in topology.services.values()
        if service.route is not None
    }
