"""The gateway as a process: upstreams, application, server."""

from typing import Protocol

from api.account.v1.account_pb2_grpc import AccountServiceStub
from api.comment.v1.comment_pb2_grpc import CommentServiceStub
from api.counter.v1.counter_pb2_grpc import CounterServiceStub
from api.video.v1.video_pb2_grpc import VideoServiceStub
from gateway.app import Door, build_app, build_routes
from gateway.clients import Clients
from gateway.quota import Quota
from gateway.settings import LiveSettings
from gateway.upstreams import Lab, Upstream
from gateway.views import ViewCounter
from kit.asgi_server import GATEWAY_PORT, serve_asgi
from kit.node import Node
from kit.summaries import record_to


class Ground(Door, Lab, Protocol):
    """All that the gateway needs of the node it runs on."""

    def setting(self, name: str, default: float) -> float:
        """Return a number of the newest state, or the default."""


class Gateway:
    """The application with its upstreams; ``start`` before serving ``app``, ``close`` after.

    Args:
        ground: The node.
        quota: What all gateways together may let in; None: one that no store supplies.
    """

    def __init__(self, ground: Ground, quota: Quota | None = None) -> None:
        account = Upstream("account", AccountServiceStub, ground)
        video = Upstream("video", VideoServiceStub, ground)
        comment = Upstream("comment", CommentServiceStub, ground)
        counter = Upstream("counter", CounterServiceStub, ground)
        clients = Clients(account, video, comment, counter)
        self.settings = LiveSettings(ground.setting)
        self.quota = quota or Quota(ground)
        self.views = ViewCounter(clients.add_view, ground.pressure)
        self.app = build_app(
            build_routes(clients, self.views, ground),
            ground,
            self.settings,
            self.quota,
            record_to(ground.recorder, ground.instance),
        )
        self._upstreams = (account, video, comment, counter)

    def start(self) -> None:
        """Follow the registry and begin to check endpoints."""
        self.refresh()
        self.quota.start()
        for upstream in self._upstreams:
            upstream.start()

    def refresh(self, _: object = None) -> None:
        """Take the settings of the newest state; give this to ``node.on_change``."""
        self.settings.refresh()
        self.quota.refresh()
        for upstream in self._upstreams:
            upstream.set_bulkhead(self.settings.bulkhead())
            upstream.set_attempts(self.settings.attempts(), self.settings.per_try_s())

    async def close(self) -> None:
        """Send the last views, end all connections."""
        await self.views.close()
        await self.quota.close()
        for upstream in self._upstreams:
            await upstream.close()


async def main(node: Node) -> None:
    """Serve until told to stop."""
    gateway = Gateway(node, Quota(node, node.directory, node.settings.cache))
    node.on_change(gateway.refresh)
    gateway.start()
    try:
        await serve_asgi(node, gateway.app, GATEWAY_PORT)
    finally:
        await gateway.close()
