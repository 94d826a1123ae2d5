"""Keys and memory of the store's nodes as Prometheus reads them, from a real store."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit.node import Node
from kit.settings import load_settings
from services.store_nodes import EVERY_S, families, telling_store_nodes
from shard.policy.survey import NodeState
from shard.policy.topology import Address
from shard.policy.view import Row
from shard.store import Durability, StoreClient
from tests.shard.cluster import PORT, free_network, launch_node

LIMIT_S = 20.0
PREFIX = "squall_store_node_"


async def until(holds: Callable[[], bool]) -> None:
    """Wait on a condition."""
    async with asyncio.timeout(LIMIT_S):
        while not holds():  # noqa: ASYNC110  a page of metrics tells nobody
            await asyncio.sleep(0.02)


def told(node: Node) -> dict[tuple[str, str, str], float]:
    """Return what the page says, by figure, node and role."""
    return {
        (
            sample.name.removeprefix(PREFIX),
            sample.labels["node"],
            sample.labels["role"],
        ): sample.value
        for family in text_string_to_metric_families(node.metrics.text().decode())
        for sample in family.samples
        if sample.name.startswith(PREFIX)
    }


@pytest.mark.unit
def test_a_silent_node_is_down_and_holds_nothing_that_is_known() -> None:
    """Its slots are the others' word."""
    row = Row("id", Address("10.0.0.1", 6379), frozenset({"master"}), None, True, frozenset({1, 2}))
    up, keys, memory, slots = families([NodeState(row, trouble="does not answer")])
    labels = {"node": "10.0.0.1:6379", "role": "primary"}
    assert [(one.labels, one.value) for one in up.samples] == [(labels, 0.0)]
    assert [(one.labels, one.value) for one in slots.samples] == [(labels, 2.0)]
    assert keys.samples == memory.samples == []
    assert EVERY_S == 15.0


@pytest.mark.integration
async def test_every_node_is_told_of_with_its_role(
    store: StoreClient, six_nodes: list[Address]
) -> None:
    """Three primaries with all slots and keys, as many replicas with the same keys."""
    for number in range(30):
        done = await store.write("SET", f"counted:{number}", "x", durability=Durability.REPLICATED)
        done.raise_for_status()
    listed = ",".join(map(str, six_nodes))
    node = Node(load_settings("account", {"SQUALL_CONTROL": "127.0.0.1:1", "SQUALL_STORE": listed}))
    async with telling_store_nodes(node, every_s=0.05):
        await until(lambda: bool(told(node)))
        found = told(node)
        assert {where for _, where, _ in found} == set(map(str, six_nodes))
        assert {value for (what, _, _), value in found.items() if what == "up"} == {1.0}
        of = {
            (what, role): sum(v for (w, _, r), v in found.items() if (w, r) == (what, role))
            for what in ("keys", "slots", "memory_bytes")
            for role in ("primary", "replica")
        }
        assert (of["slots", "primary"], of["slots", "replica"]) == (16384, 0)
        assert of["keys", "primary"] == of["keys", "replica"] >= 30
        assert of["memory_bytes", "primary"] > 100_000

        (await store.write("SET", "counted:more", "x")).raise_for_status()
        before = of["keys", "primary"]
        await until(
            lambda: (
                sum(v for (w, _, r), v in told(node).items() if (w, r) == ("keys", "primary"))
                == before + 1
            )
        )


@pytest.mark.integration
async def test_a_store_that_goes_away_is_told_to_be_down_and_comes_back(tmp_path: Path) -> None:
    """The page goes on, with who was there last."""
    host = f"{free_network(84)}.1"
    server = launch_node(host, tmp_path)
    where = f"{host}:{PORT}"
    node = Node(load_settings("account", {"SQUALL_CONTROL": "127.0.0.1:1", "SQUALL_STORE": where}))

    def is_up() -> list[float]:
        return [value for (what, _, _), value in told(node).items() if what == "up"]

    try:
        async with telling_store_nodes(node, every_s=0.02):
            await until(lambda: is_up() == [1.0])
            server.stop()
            await until(lambda: is_up() == [0.0])
            assert not any(what == "keys" for what, _, _ in told(node))
            server = launch_node(host, tmp_path)
            await until(lambda: is_up() == [1.0])
    finally:
        server.stop()
