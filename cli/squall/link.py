"""A command's link to the running lab: its control plane, and a change that waits until it is live.

Every verb that changes the lab does the same three things: check the target against what runs,
write, and wait until each live process named reports the new version.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from kit.errors import ConfigError, LabEnvironmentError
from squall.output import nearest

if TYPE_CHECKING:
    from kit.control import ControlClient, ControlSnapshot
    from kit.entries import Entry
    from kit.members import LiveReport

LIVE_LIMIT_S = 2.0  # design.md: with control dead a change gives up within 2 s


@asynccontextmanager
async def control() -> AsyncIterator["ControlClient"]:
    """Open the control plane of the running lab, and close it again.

    Raises:
        LabEnvironmentError: No lab runs here.
    """
    from chaos.lab import find_lab
    from kit.control import ControlClient

    client = ControlClient(find_lab().control)
    try:
        yield client
    finally:
        await client.close()


async def resolve_target(client: "ControlClient", target: str) -> list[str]:
    """Name the live instances that a target means: ``*``, a service, or a replica.

    Raises:
        ConfigError: Nothing of that name runs; the message names the nearest.
        LabEnvironmentError: No process of the lab lives.
    """
    instances = sorted(member.instance for member in await client.members())
    if not instances:
        raise LabEnvironmentError("control answers, but no process of the lab does: make up")
    meant = [name for name in instances if target in ("*", name, name.rpartition(".")[0])]
    if not meant:
        services = {name.rpartition(".")[0] for name in instances}
        raise ConfigError(
            f"no service or replica called {target!r} runs here; "
            f"{nearest(target, services | set(instances))}"
        )
    return meant


def live_entries(snapshot: "ControlSnapshot") -> dict[str, tuple["Entry", float | None]]:
    """Everything in force: field to entry and the seconds it has left (None: until deleted)."""
    from kit.entries import check_entry, ttl_s

    found: dict[str, tuple[Entry, float | None]] = {}
    for field, value in snapshot.entries.items():
        entry = check_entry(field, value)
        lifetime_s = ttl_s(entry)
        if lifetime_s is None:
            found[field] = (entry, None)
            continue
        left_s = lifetime_s - (snapshot.now_ms - value["created_ms"]) / 1000
        if left_s > 0:
            found[field] = (entry, left_s)
    return found


async def change(
    client: "ControlClient", changes: Mapping[str, object | None], targets: list[str]
) -> "LiveReport":
    """Write to the lab's state and wait until the targets have it, at most 2 s."""
    version = await client.write(changes)
    return await client.wait_live(version, targets=targets, timeout_s=LIVE_LIMIT_S)


def live_data(report: "LiveReport") -> dict[str, object]:
    """A live report as every command's JSON shows it."""
    return {
        "live": report.live,
        "total": report.total,
        "after_ms": round(report.after_ms, 1),
        "missing": list(report.missing),
    }
