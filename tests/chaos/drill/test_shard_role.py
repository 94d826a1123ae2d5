"""Who is a shard's primary: plain rows, and a real cluster of six nodes."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from chaos.drill.shard_role import StoreNode, ask_gaps, ask_roles, holder, resolve
from kit.errors import ConfigError, LabEnvironmentError
from shard.form import form
from shard.policy.topology import Address
from shard.policy.view import Row
from tests.valkey import Valkey, start_cluster_nodes

IDS = {f"store-{n}": f"{n:040x}" for n in range(1, 9)}


def row(name: str, follows: str | None = None, *flags: str) -> Row:
    """Make a node's line."""
    role = {"slave"} if follows else {"master"}
    return Row(
        IDS[name], Address("127.0.0.1", 6379), frozenset(role | set(flags)),
        IDS[follows] if follows else None, True, frozenset(),
    )  # fmt: skip


ROLES = {
    "store-1": row("store-1", "store-4"),
    "store-2": row("store-2"),
    "store-3": row("store-3", None, "fail"),
    "store-4": row("store-4"),
    "store-5": row("store-5", "store-2"),
    "store-6": row("store-6", "store-3"),
}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("shard", "role", "name"),
    [
        (1, "primary", "store-4"),  # after a failover
        (1, "replica", "store-1"),
        (2, "primary", "store-2"),
        (2, "replica", "store-5"),
        (3, "replica", "store-6"),
    ],
)
def test_roles_are_those_of_the_shard_that_the_number_belongs_to(
    shard: int, role: str, name: str
) -> None:
    """Whoever its primary is now."""
    assert holder(ROLES, shard, role) == name


@pytest.mark.unit
def test_role_that_nobody_has_is_refused() -> None:
    """A failed primary is none; a fourth shard isn't there."""
    with pytest.raises(LabEnvironmentError, match="shard 3 has no primary now"):
        holder(ROLES, 3, "primary")
    with pytest.raises(ConfigError, match="the store has no shard 4: it has 1 to 3"):
        holder(ROLES, 4, "primary")


SPARES = {name: row(name, None, "myself") for name in ("store-7", "store-8")}
ADDED = {"store-7": row("store-7", None, "myself"), "store-8": row("store-8", "store-7")}


@pytest.mark.unit
def test_spare_nodes_are_no_shard_until_they_are_added() -> None:
    """Then theirs has the next number."""
    with pytest.raises(ConfigError, match="the store has no shard 4: it has 1 to 3"):
        holder(ROLES | SPARES, 4, "primary")
    assert holder(ROLES | ADDED, 4, "primary") == "store-7"
    assert holder(ROLES | ADDED, 1, "primary") == "store-4"


@pytest.mark.unit
def test_a_primary_that_is_away_keeps_its_shard_s_number() -> None:
    """Its heir is found once it has told of itself; nobody else is taken for it."""
    roles = ROLES | {"store-1": row("store-1", None, "fail"), "store-4": row("store-4", "store-1")}
    with pytest.raises(LabEnvironmentError, match="shard 1 has no primary now"):
        holder(roles, 1, "primary")
    assert holder(roles, 2, "primary") == "store-2"


@pytest.mark.integration
async def test_real_cluster_says_who_is_who_before_and_after_a_kill() -> None:
    """The replica takes over; the role leads to it, and the gap is named."""
    with start_cluster_nodes(node_timeout_ms=3_000) as servers:
        nodes = [StoreNode(f"store-{n}", s.host, s.port) for n, s in enumerate(servers, start=1)]
        await form([Address(node.host, node.port) for node in nodes])

        assert await resolve("shard.1.primary", nodes) == "store-1"
        replica = await resolve("link:video>shard.1.replica", nodes)
        assert replica.startswith("link:video>store-")
        assert await ask_gaps(nodes) == []

        heir = replica.removeprefix("link:video>")
        await _kill(servers[0], nodes, heir)
        assert await ask_gaps(nodes) == ["store-1"]


@pytest.mark.integration
async def test_store_that_doesnt_answer_is_an_error_with_its_addresses() -> None:
    """Exit code 3."""
    with pytest.raises(LabEnvironmentError, match=r"don't answer from here \(127.0.0.1:1\)"):
        await ask_roles([StoreNode("store-1", "127.0.0.1", 1)])


async def _kill(server: Valkey, nodes: Sequence[StoreNode], heir: str) -> None:
    server.stop()
    end_s = time.monotonic() + 40
    while True:
        roles = await ask_roles(nodes)
        if not roles[heir].is_replica:
            return
        assert time.monotonic() < end_s, "nobody took over"
        await asyncio.sleep(0.1)  # between two looks
