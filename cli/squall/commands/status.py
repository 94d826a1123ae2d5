"""``squall status``: every process, as its driver and as control see it."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from squall.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from chaos.drivers.contract import InstanceStatus
    from kit.members import Member


def status(as_json: JsonFlag = False) -> None:
    """Show every process: state, ready, rps, p99, memory; exit code 3 if control is silent."""
    from chaos.lab import load_lab
    from chaos.readiness import missing_instances, read_members
    from kit.errors import EXIT_ENVIRONMENT, LabEnvironmentError

    lab = load_lab()
    members = asyncio.run(read_members(lab.control))
    topology = lab.topology().only_members() if lab.inside else lab.topology()
    driver = lab.driver()
    statuses = driver.instances()
    if not statuses:
        raise LabEnvironmentError("the lab is not running: make up")
    memory = driver.memory()
    missing = missing_instances(topology, statuses, members)
    rows = [describe(one, members.get(one.instance), memory, missing) for one in statuses]
    data = {
        "mode": lab.mode,
        "url": lab.base_url,
        "store": None if lab.inside else f"127.0.0.1:{lab.ports.store}",
        "control_answers": lab.is_answering(),
        "is_ready": not missing,
        "memory_bytes": sum(memory.values()),
        "processes": rows,
    }
    emit("squall.status/1", data, as_json=as_json, text=as_text(data))
    raise typer.Exit(0 if data["control_answers"] else EXIT_ENVIRONMENT)


def describe(
    status: "InstanceStatus",
    member: "Member | None",
    memory: Mapping[str, int],
    missing: list[str],
) -> dict[str, Any]:
    """Join what the driver and the lease say about one instance."""
    return {
        "instance": status.instance,
        "state": status.state,
        "up": status.is_up,
        "ready": status.instance not in missing,
        "up_s": None if status.up_s is None else round(status.up_s),
        "restarts": status.restarts,
        "host": status.host,
        "port": member.port if member else None,
        "rps": round(member.digest.rps, 1) if member else None,
        "p99_ms": round(member.digest.p99_ms, 1) if member else None,
        "memory_bytes": memory.get(status.instance),
        "version_seen": member.version_seen if member else None,
    }


def as_text(data: Mapping[str, Any]) -> str:
    """Lay the status out for people."""
    head = ["instance", "state", "ready", "up s", "restarts", "rps", "p99 ms", "MiB", "version"]
    rows = [
        [
            row["instance"],
            row["state"],
            "yes" if row["ready"] else "no",
            *(row[key] for key in ("up_s", "restarts", "rps", "p99_ms")),
            _mib(row["memory_bytes"]),
            row["version_seen"],
        ]
        for row in data["processes"]
    ]
    control = "" if data["control_answers"] else ", control doesn't answer"
    state = "ready" if data["is_ready"] else "not ready"
    store = f", store at {data['store']}" if data.get("store") else ""
    size = f"{_mib(data['memory_bytes'])} MiB"
    title = f"{data['mode']} at {data['url']}{store}: {state}, {size}{control}"
    return f"{title}\n\n{table(head, rows)}"


def _mib(size: int | None) -> int | None:
    return None if size is None else round(size / 2**20)
