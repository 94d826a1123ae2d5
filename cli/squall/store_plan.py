"""A plan to move slots as ``squall shard`` shows it: what lies in the slots, and who gets them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shard.move.node import Cluster
from shard.policy.plan import Plan, moved_ratio, owners_of, shares
from shard.policy.survey import ShardState
from squall.output import table

if TYPE_CHECKING:
    from shard.resp import Reply

SAMPLED_KEYS = 200
PER_SLOT_S = 0.016  # measured: 4096 slots of a key or two in 66 s, on two busy cores


async def plan_data(cluster: Cluster, shards: Sequence[ShardState], plan: Plan) -> dict[str, Any]:
    """Count what lies in the slots that move; bytes by a sample."""
    by_name = {one.primary.node_id: one.primary for one in shards}
    owners = owners_of({name: state.row.slots for name, state in by_name.items()})
    keys, sizes = 0, list[int]()
    for name, state in by_name.items():
        moving = [move.slot for move in plan.moves if move.source == name]
        if not moving:
            continue
        link = cluster.link(state.address)
        counts = await link.ask_all([("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in moving])
        held = [slot for slot, count in zip(moving, counts, strict=True) if count]
        keys += sum(count for count in counts if isinstance(count, int))
        firsts = await link.ask_all(
            [("CLUSTER", "GETKEYSINSLOT", slot, 1) for slot in held[:SAMPLED_KEYS]]
        )
        found = [key for reply in firsts for key in _list(reply) if isinstance(key, bytes)]
        usage = await link.ask_all([("MEMORY", "USAGE", key) for key in found])
        sizes += [size for size in usage if isinstance(size, int)]
    newcomers = [
        name for name in plan.members if name not in by_name or not by_name[name].row.slots
    ]
    named = {name: str(state.address) for name, state in by_name.items()}
    named.update({name: plan.members[name][0] for name in plan.members if name not in named})
    flows: dict[tuple[str, str], int] = {}
    for move in plan.moves:
        flow = named[move.source], named[move.target]
        flows[flow] = flows.get(flow, 0) + 1
    return {
        "algorithm": plan.algorithm,
        "slots": len(plan.moves),
        "keys": keys,
        "bytes": round(keys * sum(sizes) / len(sizes)) if sizes else 0,
        "sampled_keys": len(sizes),
        "moved_over_gained": moved_ratio(plan, newcomers),
        "estimated_s": round(len(plan.moves) * PER_SLOT_S + keys / 5000.0, 1),
        "moves": [{"from": a, "to": b, "slots": n} for (a, b), n in sorted(flows.items())],
        "shares": [
            {"shard": named[name], "before": before, "after": after}
            for name, (before, after) in shares(owners, plan).items()
        ],
    }


def plan_text(data: dict[str, Any]) -> str:
    """Draw it."""
    flows = table(
        ("from", "to", "slots"), [(m["from"], m["to"], m["slots"]) for m in data["moves"]]
    )
    parts = table(
        ("shard", "slots before", "after"),
        [
            (s["shard"], f"{s['before']} ({s['before'] / 163.84:.1f}%)",
             f"{s['after']} ({s['after'] / 163.84:.1f}%)")
            for s in data["shares"]
        ],
    )  # fmt: skip
    ratio = data["moved_over_gained"]
    least = f", {ratio:.2f} times what the new shard gets" if ratio is not None else ""
    size = f"about {data['bytes'] / 2**20:.1f} MiB by a sample of {data['sampled_keys']}"
    head = (
        f"{data['slots']} slots move{least}, by {data['algorithm']}: {data['keys']} keys, {size}; "
        f"about {data['estimated_s']:.0f} s"
    )
    return "\n".join([head, *([flows] if data["moves"] else []), parts])


def _list(reply: "Reply") -> list[object]:
    return reply if isinstance(reply, list) else []
