"""Contenders: our store client and those that Python programs install, each as its README says.

Each as it comes, but for one setting: redis-py's pool is given as many connections as there are
callers (at its default of 100 a node it raises beyond). All run on uvloop.
Not handled: glide-sync, redis-py's threads: the question is asyncio.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from shard.policy.topology import Address
from shard.store import StoreClient

OURS = "ours"


class Client(NamedTuple):
    """What is measured: each package's own methods, without a call between.

    Args:
        get: Reads the value of a key.
        set: Writes one.
        close: Ends every connection.
    """

    get: Callable[[str], Awaitable[object]]
    set: Callable[[str, bytes], Awaitable[object]]
    close: Callable[[], Awaitable[object]]


class Contender(NamedTuple):
    """A client to measure.

    Args:
        name: As shown.
        package: Whose version is told; "" is ours.
        open: Connects it to the cluster of these nodes, for so many callers.
    """

    name: str
    package: str
    open: Callable[[Sequence[Address], int], Awaitable[Client]]

    @property
    def version(self) -> str | None:
        """The installed version; None when the package is missing."""
        try:
            return version(self.package or "squall-lab")
        except PackageNotFoundError:
            return None


async def _open_ours(nodes: Sequence[Address], callers: int) -> Client:
    store = StoreClient(nodes)
    await store.connect()

    async def get(key: str) -> object:
        return await store.read("GET", key)

    async def put(key: str, value: bytes) -> object:
        return (await store.write("SET", key, value)).raise_for_status()

    return Client(get, put, store.close)


async def _open_redis(nodes: Sequence[Address], callers: int) -> Client:
    from redis.asyncio.cluster import ClusterNode, RedisCluster

    startup = [ClusterNode(each.host, each.port) for each in nodes]
    client = RedisCluster(startup_nodes=startup, max_connections=callers + 8)
    await client.initialize()
    return Client(client.get, client.set, client.aclose)


async def _open_coredis(nodes: Sequence[Address], callers: int) -> Client:
    from coredis import RedisCluster
    from coredis.connection import TCPLocation

    startup = [TCPLocation(each.host, each.port) for each in nodes]
    client = RedisCluster(startup_nodes=startup)
    await client.__aenter__()

    async def close() -> None:
        await client.__aexit__(None, None, None)

    return Client(client.get, client.set, close)


async def _open_glide(nodes: Sequence[Address], callers: int) -> Client:
    from glide import GlideClusterClient, GlideClusterClientConfiguration, NodeAddress

    startup = [NodeAddress(each.host, each.port) for each in nodes]
    client = await GlideClusterClient.create(GlideClusterClientConfiguration(startup))
    return Client(client.get, client.set, client.close)


CONTENDERS: Mapping[str, Contender] = {
    each.name: each
    for each in (
        Contender(OURS, "", _open_ours),
        Contender("redis-py", "redis", _open_redis),
        Contender("coredis", "coredis", _open_coredis),
        Contender("valkey-glide", "valkey-glide", _open_glide),
    )
}
