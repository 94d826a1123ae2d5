"""The store's shards as ``squall shard`` shows them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from squall.output import table

if TYPE_CHECKING:
    from shard.policy.survey import NodeState, ShardState

SLOTS = 16_384
_HEAD = ("shard", "node", "role", "slots", "share", "keys", "MiB", "lag bytes", "notes")


def status_data(shards: "Sequence[ShardState]") -> dict[str, Any]:
    """Put a look at the store into the shape of its JSON."""
    data = [
        {
            "shard": number,
            "nodes": [_node(shard, each) for each in (shard.primary, *shard.replicas)],
        }
        for number, shard in enumerate(shards, start=1)
    ]
    return {"shards": data, "unowned_slots": unowned(shards), "open_slots": open_slots(shards)}


def status_text(data: dict[str, Any]) -> str:
    """Draw it: a line a node, then what is wrong or on the move."""
    rows = [
        (
            shard["shard"] if node["role"] == "primary" else None,
            node["address"],
            node["role"],
            node["slots"] if node["role"] == "primary" else None,
            f"{node['slots'] / SLOTS:.1%}" if node["role"] == "primary" else None,
            node["keys"],
            None if node["memory_bytes"] is None else f"{node['memory_bytes'] / 2**20:.1f}",
            node["lag_bytes"],
            node["trouble"],
        )
        for shard in data["shards"]
        for node in shard["nodes"]
    ]
    lines = [table(_HEAD, rows)]
    if data["unowned_slots"]:
        lines.append(f"{data['unowned_slots']} slots have no owner: python -m shard.form")
    lines.extend(
        f"slot {each['slot']} is open: {each['node']} {each['is']}" for each in data["open_slots"]
    )
    return "\n".join(lines)


def unowned(shards: "Sequence[ShardState]") -> int:
    """Count the slots that no shard owns."""
    return SLOTS - len(set[int]().union(*(shard.primary.row.slots for shard in shards)))


def open_slots(shards: "Sequence[ShardState]") -> list[dict[str, object]]:
    """List the slots on the move, as both sides of each say it."""
    found: list[dict[str, object]] = []
    for shard in shards:
        one = shard.primary
        for slot in one.importing:
            found.append({"slot": slot, "node": str(one.address), "is": "importing"})
        for slot in one.migrating:
            found.append({"slot": slot, "node": str(one.address), "is": "migrating"})
    return found


def _node(shard: "ShardState", node: "NodeState") -> dict[str, object]:
    is_primary = node is shard.primary
    return {
        "id": node.node_id,
        "address": str(node.address),
        "role": "primary" if is_primary else "replica",
        "slots": len(node.row.slots) if is_primary else 0,
        "keys": node.keys,
        "memory_bytes": node.memory_bytes,
        "lag_bytes": None if is_primary else shard.lag_bytes(node),
        "trouble": node.trouble,
    }
