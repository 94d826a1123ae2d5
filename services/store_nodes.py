"""What each node of the store holds, as metrics: keys, memory, slots, whether it answers.

One process of the lab tells it (``account``), since each would tell the same. Asked for every 15 s,
which is how often Prometheus usually scrapes, so a figure is that old at most.
Source: redis_exporter's ``redis_db_keys`` and ``redis_memory_used_bytes``, from the same INFO.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

from prometheus_client.core import GaugeMetricFamily, Metric

from kit.node import Node
from shard.move.node import Cluster, NodeTrouble
from shard.policy.survey import NodeState
from shard.policy.topology import Address

EVERY_S = 15.0
_LABELS = ("node", "role")


@asynccontextmanager
async def telling_store_nodes(node: Node, *, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Keep the figures fresh for the length of a with block.

    Args:
        node: Whose process it is; its settings name the store's nodes.
        every_s: Between two looks, seconds, > 0.
    """
    cluster = Cluster([Address(*each) for each in node.settings.require_store()])
    states: list[NodeState] = []
    node.metrics.families(lambda: families(states))
    looking = asyncio.create_task(_look_forever(cluster, states, every_s), name="store nodes")
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        cluster.close()


def families(states: Sequence[NodeState]) -> Iterator[Metric]:
    """Put a look at all nodes into Prometheus' words; a silent node is only told to be down."""
    up = _family("up", "Whether a node of the store answers.")
    keys = _family("keys", "Keys that a node of the store holds.")
    memory = _family("memory_bytes", "What the data of a node of the store take.")
    slots = _family("slots", "Slots that a node of the store owns.")
    for one in states:
        labels = (str(one.address), "replica" if one.row.is_replica else "primary")
        up.add_metric(labels, 0.0 if one.trouble else 1.0)
        slots.add_metric(labels, len(one.row.slots))
        if one.keys is not None and one.memory_bytes is not None:
            keys.add_metric(labels, one.keys)
            memory.add_metric(labels, one.memory_bytes)
    yield from (up, keys, memory, slots)


async def _look_forever(cluster: Cluster, states: list[NodeState], every_s: float) -> None:
    while True:
        try:
            states[:] = await cluster.look()
        except NodeTrouble:  # nobody answers: what was known last says who is meant
            states[:] = [_silent(one) for one in states]
        await asyncio.sleep(every_s)


def _silent(state: NodeState) -> NodeState:
    return NodeState(state.row, trouble="no node of the store answers")


def _family(name: str, what: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"squall_store_node_{name}", what, labels=_LABELS)
