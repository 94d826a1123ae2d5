"""One gRPC channel per endpoint of a service, opened and closed as endpoints come and go.

Why not gRPC's own balancing: the picker must know which replica a call went to, and be able to
leave one out. A channel whose endpoint left is closed with grace, since a draining server still
answers what it has begun; so is one whose endpoint is reached another way now (a fault of the link
began or ended), and the new calls take a new channel at once.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from kit.directory import Endpoint

StubT = TypeVar("StubT")

CLOSE_GRACE_S = 5.0  # longer than any budget, and as long as a link proxy carries on
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_retries", 0),  # the pipeline retries, and counts it
    ("grpc.use_local_subchannel_pool", 1),  # a new channel means a new connection
    ("grpc.initial_reconnect_backoff_ms", 100),  # gRPC's default of 1 s hides a restart
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),  # gRPC's default, said aloud
)


class Connection(Generic[StubT]):
    """A channel to one endpoint and what is called over it."""

    __slots__ = ("channel", "endpoint", "health", "stub")

    def __init__(self, endpoint: Endpoint, make_stub: Callable[[grpc.aio.Channel], StubT]) -> None:
        target = f"{endpoint.host}:{endpoint.port}"
        self.endpoint = endpoint
        self.channel = grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        self.stub = make_stub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)


class Channels(Generic[StubT]):
    """The open connections of one service, by instance.

    Args:
        make_stub: Makes the service's stub on a channel.
    """

    def __init__(self, make_stub: Callable[[grpc.aio.Channel], StubT]) -> None:
        self._make_stub = make_stub
        self._open: dict[str, Connection[StubT]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Channels {' '.join(self._open) or 'none'}, closing {len(self._closing)}>"

    def set_endpoints(self, endpoints: Iterable[Endpoint]) -> None:
        """Connect to these from now on; what stays where it was keeps its connection."""
        wanted = {each.instance: each for each in endpoints}
        for instance, connection in list(self._open.items()):
            if wanted.get(instance) != connection.endpoint:
                self._close(self._open.pop(instance))
        for instance, endpoint in wanted.items():
            if instance not in self._open:
                self._open[instance] = Connection(endpoint, self._make_stub)

    def get(self, instance: str) -> Connection[StubT] | None:
        """Return the connection of an instance, or None when it has left."""
        return self._open.get(instance)

    def connections(self) -> list[Connection[StubT]]:
        """Return all open connections."""
        return list(self._open.values())

    async def close(self) -> None:
        """Close everything at once."""
        self.set_endpoints(())
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _close(self, connection: Connection[StubT]) -> None:
        # Kept until done: the loop itself holds tasks only weakly.
        task = asyncio.get_running_loop().create_task(connection.channel.close(CLOSE_GRACE_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
