"""Who stands in for a cache node that is dead, and nobody where the switch says so."""

from random import Random

import pytest

from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from shard.cache import EJECTION, CacheClient, Hit, Miss
from tests.shard.cache_nodes import node_of, start_cache_nodes, until_up
from tests.shard.fake import until

pytestmark = pytest.mark.integration

KEYS = [f"video:{number}" for number in range(1, 31)]


@pytest.mark.parametrize(("mode", "stands_in"), [(Mode.ON, True), (Mode.OFF, False)])
async def test_a_dead_node_s_keys_are_hits_again_only_with_a_stand_in(
    mode: Mode, stands_in: bool
) -> None:
    """One fill brings a key back where another node takes it; else it is missed until then."""
    with start_cache_nodes() as nodes:
        client = CacheClient(
            nodes.addresses, rng=Random(3), switches=FixedSwitches({EJECTION: mode})
        )
        await client.connect()
        await until_up(client)
        lost = [key for key in KEYS if client.owner(key) == "cache-2"]
        kept = [key for key in KEYS if client.owner(key) != "cache-2"]
        assert lost
        assert kept
        nodes.kill("cache-2")
        await until(lambda: node_of(client, "cache-2")["state"] == "ejected")
        for key in KEYS:
            missed = await client.get(key)
            assert isinstance(missed, Miss)
            assert await client.fill(missed, key, b"x", 30.0) is (stands_in or key in kept)
        assert all(isinstance(each, Hit) for each in await client.get_many(kept))
        again = {isinstance(each, Hit) for each in await client.get_many(lost)}
        assert again == {stands_in}
        await client.close()
